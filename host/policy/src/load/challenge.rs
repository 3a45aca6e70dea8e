//! `WWW-Authenticate` (RFC 9110 §11.6.1): the authentication a registry asks for. Ambiguous headers are not read.

const BLANK: [char; 2] = [' ', '\t'];

/// One authentication scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password (RFC 7617).
    Basic,
    /// A token (RFC 6750) from another service.
    Bearer {
        /// URL of that service, chosen by the registry.
        realm: String,
        /// Name of the registry at that service, according to the registry.
        service: Option<String>,
    },
}

/// The known challenges of one header, in their order. Empty if any part of it violates the RFC.
pub fn read(header: &str) -> Vec<Challenge> {
    let mut rest = header;
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return all;
        }
        let Some((challenge, tail)) = one(rest) else { return Vec::new() };
        all.extend(challenge);
        rest = tail;
    }
}

/// A scheme with its parameters, and the rest of the text.
fn one(text: &str) -> Option<(Option<Challenge>, &str)> {
    let (scheme, mut rest) = token(text)?;
    let (mut realm, mut service, mut doubled) = (None, None, false);
    let mut read = 0;
    while let Some((name, value, tail)) = parameter(rest, read > 0) {
        let slot = match name.to_ascii_lowercase().as_str() {
            "realm" => Some(&mut realm),
            "service" => Some(&mut service),
            _ => None,
        };
        if let Some(slot) = slot {
            doubled |= slot.is_some();
            *slot = Some(value);
        }
        (rest, read) = (tail, read + 1);
    }
    // Some schemes have one token68 instead of parameters.
    let word = rest.trim_start_matches(BLANK);
    if read == 0 && word.len() < rest.len() {
        rest = word.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c));
    }
    let rest = rest.trim_start_matches(BLANK);
    if !(rest.is_empty() || rest.starts_with(',')) {
        return None;
    }
    let challenge = match scheme.to_ascii_lowercase().as_str() {
        _ if doubled => None,
        "basic" => Some(Challenge::Basic),
        "bearer" => realm.map(|realm| Challenge::Bearer { realm, service }),
        _ => None,
    };
    Some((challenge, rest))
}

/// A name, its value and the rest. The first parameter follows a blank, each further one a comma.
fn parameter(text: &str, further: bool) -> Option<(&str, String, &str)> {
    let begins = text.trim_start_matches(BLANK);
    let text = match further {
        true => begins.strip_prefix(',')?.trim_start_matches([' ', '\t', ',']),
        false => Some(begins).filter(|begins| begins.len() < text.len())?,
    };
    let (name, rest) = token(text)?;
    let rest = rest.trim_start_matches(BLANK).strip_prefix('=')?.trim_start_matches(BLANK);
    let (value, tail) = match rest.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None => token(rest).map(|(value, tail)| (value.to_owned(), tail))?,
    };
    let ended = tail.trim_start_matches(BLANK);
    (ended.is_empty() || ended.starts_with(',')).then_some((name, value, ended))
}

/// The text of a quoted string without its opening quote, and the rest after the closing one.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, text.get(at + 1..)?)),
            (_, '\\') => value.push(chars.next()?.1),
            (_, c) => value.push(c),
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let length = text.bytes().take_while(|b| is_token(*b)).count();
    (length > 0).then(|| text.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn each_challenge_of_a_header_is_read_with_its_own_parameters() {
        const TOKENS: &str = "https://auth.example.com/token";
        for (header, wanted) in [
            (
                r#"Bearer realm="https://auth.example.com/token",service="a,b=c",scope="x""#,
                vec![bearer(TOKENS, Some("a,b=c"))],
            ),
            (r#"bearer Realm = "https://auth.example.com/token""#, vec![bearer(TOKENS, None)]),
            (r#"BASIC realm="x""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            (
                r#"Basic realm="x", Bearer service="s" , realm="https://auth.example.com/token""#,
                vec![Challenge::Basic, bearer(TOKENS, Some("s"))],
            ),
            (
                r#"Bearer realm="https://auth.example.com/token",Basic realm="https://other.example""#,
                vec![bearer(TOKENS, None), Challenge::Basic],
            ),
            (
                r#"Negotiate, Negotiate YWJj==, Digest realm="https://x", qop=auth, Bearer realm="https://auth.example.com/token""#,
                vec![bearer(TOKENS, None)],
            ),
            (r#"Bearer realm="a\"b\\c""#, vec![bearer(r#"a"b\c"#, None)]),
        ] {
            assert_eq!(read(header), wanted, "{header}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for header in [
            "",
            " , ",
            "Bearer",
            r#"Bearer service="x""#,
            r#"Bearer realm="https://a", realm="https://b""#,
            r#"Bearer realm="https://a", service=a, service=b"#,
            r#"Bearer realm="https://a"#,
            r#"Bearer realm="https://a" service="x""#,
            r#"Bearer realm=https://a"#,
            r#"Bearer,realm="https://a""#,
            r#"Basic realm="x"; Bearer realm="https://a""#,
            r#"Digest realm="https://a""#,
            r#"Bearer service="x", Digest realm="https://a""#,
        ] {
            assert_eq!(read(header), [], "{header}");
        }
    }
}
