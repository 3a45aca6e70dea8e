//! Keyless signers: an identity that an issuer vouches for, as short-lived certificates name it (Sigstore's Fulcio).
//! The runtime verifies certificates; here names are compared.

use std::fmt;

use super::key_id::KeyId;
use crate::limits::load::IDENTITY_BYTES_MAX;
use crate::redact::printable;
use crate::{Digest, InvalidValueError};

/// Permitted signer: an exact issuer, and a name or a pattern of names that it vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    issuer: String,
    san: San,
}

/// A name in a certificate (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum San {
    /// An e-mail address, such as `a@example.com`.
    Email(String),
    /// A URI, such as `https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1`.
    Uri(String),
}

impl Identity {
    /// Reads an issuer, and a name in which `*` matches any characters but `/` and `@`. A pattern must identify the
    /// owner: the domain of an address, and the host and first path segment of a URI, have no star.
    pub fn parse(issuer: &str, san: &str) -> Result<Self, InvalidValueError> {
        let host = issuer.strip_prefix("https://").unwrap_or_default();
        if !is_plain(issuer) || issuer.contains(['*', '?', '#']) || host.is_empty() || host.starts_with('/') {
            let why =
                "write the whole URL of one issuer, such as \"https://token.actions.githubusercontent.com\"";
            return Err(InvalidValueError::at("issuer", why));
        }
        let san = pattern(san).map_err(|why| InvalidValueError::at("san", why))?;
        Ok(Self { issuer: issuer.to_owned(), san })
    }

    /// URL of the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Identifier used like a key's. It includes the digest of the root, as another root is another trust anchor. No
    /// SubjectPublicKeyInfo begins like the hashed text, so it equals no key's.
    pub fn id(&self, root: Digest) -> KeyId {
        let (issuer, San::Email(san) | San::Uri(san)) = (&self.issuer, &self.san);
        KeyId::of_digest(Digest::of(format!("toolgate identity\0{issuer}\0{san}\0{root}").as_bytes()))
    }

    /// Whether the pattern covers a name that `issuer` vouches for.
    pub fn matches(&self, issuer: &str, san: &San) -> bool {
        self.issuer == issuer && self.san.meets(san, false)
    }

    /// Whether one name could match both, so that one person's signatures would count twice.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.san.meets(&other.san, true)
    }
}

impl San {
    /// Whether this pattern matches a name of the same kind; or, if the other is a pattern too, whether some name
    /// matches both.
    fn meets(&self, other: &Self, other_is_pattern: bool) -> bool {
        match (self, other) {
            (Self::Email(pattern), Self::Email(other)) | (Self::Uri(pattern), Self::Uri(other)) => {
                meet(pattern, other, other_is_pattern)
            }
            (Self::Email(_), Self::Uri(_)) | (Self::Uri(_), Self::Email(_)) => false,
        }
    }
}

/// Reads a name or a pattern of names.
fn pattern(san: &str) -> Result<San, String> {
    const EXAMPLES: &str = "such as \"release@example.com\", \"*@example.com\" or \
        \"https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/*\"";
    if !is_plain(san) {
        return Err(format!("write a name of at most {IDENTITY_BYTES_MAX} characters of ASCII, {EXAMPLES}"));
    }
    let is_pattern = san.contains('*');
    if is_pattern && (san.contains("**") || san.contains(['?', '[', ']', '{', '}', '\\'])) {
        return Err("in a pattern only single stars stand for something; write no ** ? [ ] { } \\".to_owned());
    }
    let any = || Err(format!("this would be anybody; write whose names are meant, {EXAMPLES}"));
    if let Some((scheme, rest)) = san.split_once("://") {
        let mut parts = rest.splitn(3, '/');
        let (host, first) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if scheme.is_empty() || host.is_empty() {
            return Err(format!("it is not a URI; write one, {EXAMPLES}"));
        }
        let named = [scheme, host, first].iter().all(|part| !part.contains('*'));
        return if is_pattern && (!named || first.is_empty()) { any() } else { Ok(San::Uri(san.to_owned())) };
    }
    match san.rsplit_once('@') {
        Some((name, domain)) if !name.is_empty() && !domain.is_empty() && !domain.contains('*') => {
            Ok(San::Email(san.to_owned()))
        }
        Some(_) => any(),
        None if is_pattern => any(),
        None => Err(format!("it is neither an address nor a URI; write one, {EXAMPLES}")),
    }
}

fn is_plain(text: &str) -> bool {
    (1..=IDENTITY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// See [`San::meets`].
fn meet(pattern: &str, other: &str, other_is_pattern: bool) -> bool {
    let (pattern, other) = (pattern.as_bytes(), other.as_bytes());
    let star = |byte: Option<&u8>, counts: bool| counts && byte == Some(&b'*');
    let free = |byte: &u8| !matches!(byte, b'/' | b'@');
    // One row for each position in the pattern: the positions in the other reachable together with it.
    let mut row = vec![false; other.len() + 1];
    row.first_mut().into_iter().for_each(|start| *start = true);
    for at in 0..=pattern.len() {
        let here = pattern.get(at);
        let mut next = vec![false; other.len() + 1];
        for place in 0..=other.len() {
            if !row.get(place).copied().unwrap_or(false) {
                continue;
            }
            let there = other.get(place);
            let (ours, theirs) = (star(here, true), star(there, other_is_pattern));
            let reach =
                |row: &mut Vec<bool>, place: usize| row.get_mut(place).into_iter().for_each(|to| *to = true);
            // A star matches nothing, or the other side's next character.
            if theirs || (ours && there.is_some_and(free)) {
                reach(&mut row, place + 1);
            }
            if ours || (theirs && here.is_some_and(free)) {
                reach(&mut next, place);
            }
            if !ours && !theirs && here.is_some() && here == there {
                reach(&mut next, place + 1);
            }
        }
        if at == pattern.len() {
            break;
        }
        row = next;
    }
    row.last().copied().unwrap_or(false)
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(name) | Self::Uri(name) => f.write_str(&printable(name, 200)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://token.actions.githubusercontent.com";
    const WORKFLOW: &str = "https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1";

    fn identity(san: &str) -> Identity {
        Identity::parse(ISSUER, san).unwrap()
    }

    fn uri(name: &str) -> San {
        San::Uri(name.to_owned())
    }

    #[test]
    fn another_root_issuer_or_name_is_another_anchor() {
        let (root, other) = (Digest::of(b"root"), Digest::of(b"other"));
        let one = identity("https://github.com/acme/tool/.github/workflows/a.yml@refs/tags/*");
        let two = identity("https://github.com/acme/tool/.github/workflows/b.yml@refs/tags/*");
        assert_eq!(one.id(root), one.clone().id(root));
        assert_ne!(one.id(root), one.id(other), "what one root proved says nothing under another");
        assert_ne!(one.id(root), two.id(root));
    }

    #[test]
    fn a_name_matches_exactly_or_by_stars_that_stay_within_a_part() {
        let release = |repository: &str, of: &str| {
            format!("https://github.com/{repository}/.github/workflows/release.yml@refs/{of}")
        };
        let (one, tags) = (identity(WORKFLOW), identity(&release("acme/*", "tags/v*")));
        for (pattern, repository, of, meant) in [
            (&one, "acme/tool", "tags/v1", true),
            (&one, "acme/tool", "tags/v12", false),
            (&tags, "acme/tool", "tags/v1", true),
            (&tags, "acme/", "tags/v", true),
            (&tags, "acme/a/b", "tags/v1", false),
            (&tags, "acme/tool", "tags/v1/x", false),
            (&tags, "acme/tool", "heads/v1", false),
            (&tags, "acme/tool@x", "tags/v1", false),
            (&tags, "acme-evil/tool", "tags/v1", false),
        ] {
            let name = release(repository, of);
            assert_eq!(pattern.matches(ISSUER, &uri(&name)), meant, "{pattern:?} {name}");
        }
        assert!(!one.matches(ISSUER, &uri(&format!("x{WORKFLOW}"))));
        let anyone = identity("*@example.com");
        for (name, meant) in [
            ("a@example.com", true),
            ("a@example.com.evil.net", false),
            ("a@b@example.com", false),
            ("a@evil.net/@example.com", false),
            ("a@Example.com", false),
        ] {
            assert_eq!(anyone.matches(ISSUER, &San::Email(name.to_owned())), meant, "{name}");
            assert!(!anyone.matches(ISSUER, &uri(name)), "an address is not a URI");
        }
        assert!(!identity(WORKFLOW).matches("https://other.example", &uri(WORKFLOW)), "another issuer");
        assert!(!identity(WORKFLOW).matches("", &uri(WORKFLOW)));
    }

    #[test]
    fn a_star_in_a_certificate_stands_for_itself() {
        let exact = identity("a@example.com");
        assert!(!exact.matches(ISSUER, &San::Email("*@example.com".into())));
        assert!(identity("*@example.com").matches(ISSUER, &San::Email("*@example.com".into())));
    }

    #[test]
    fn a_pattern_that_could_be_anybody_is_refused() {
        for san in [
            "",
            "*",
            "**",
            "*@*",
            "a@*",
            "*@*.com",
            "https://*",
            "https://*/*",
            "https://github.com/*",
            "https://github.com/*/tool/x",
            "https://github.com//*",
            "*://github.com/acme/x",
            "https://git*/acme/x",
            "nobody",
            "@example.com",
            "a@",
            "https://",
            "https:///acme",
            "a b@example.com",
            "ä@example.com",
            "https://github.com/acme/**",
            "https://github.com/acme/[ab]*",
            "https://github.com/acme/?*",
        ] {
            assert_eq!(
                Identity::parse(ISSUER, san).map_err(|problem| problem.at),
                Err("san".to_owned()),
                "{san}"
            );
        }
        let long = format!("{}@example.com", "a".repeat(IDENTITY_BYTES_MAX));
        assert!(Identity::parse(ISSUER, &long).is_err());
        for issuer in
            ["", "*", "https://*", "https://*.example.com", "http://a.example", "https://", "https:///x", "a"]
        {
            let problem = Identity::parse(issuer, WORKFLOW).map_err(|problem| problem.at);
            assert_eq!(problem, Err("issuer".to_owned()), "{issuer}");
        }
    }

    #[test]
    fn patterns_that_share_a_name_overlap() {
        for (one, other, overlap) in [
            (WORKFLOW, WORKFLOW, true),
            ("https://a.example/x/*", "https://a.example/x/y", true),
            ("https://a.example/x/*", "https://a.example/x/y/z", false),
            ("https://a.example/x/a*", "https://a.example/x/*b", true),
            ("https://a.example/x/a*c", "https://a.example/x/*b", false),
            ("https://a.example/x/a*b*c", "https://a.example/x/*abc", true),
            ("https://a.example/x/*", "https://a.example/y/*", false),
            ("https://a.example/x/*/*", "https://a.example/x/*", false),
            ("*@example.com", "a*@example.com", true),
            ("*a@example.com", "*b@example.com", false),
            ("*@example.com", "*@example.org", false),
        ] {
            assert_eq!(identity(one).overlaps(&identity(other)), overlap, "{one} {other}");
            assert_eq!(identity(other).overlaps(&identity(one)), overlap, "{other} {one}");
        }
        let elsewhere = Identity::parse("https://other.example", WORKFLOW).unwrap();
        assert!(!elsewhere.overlaps(&identity(WORKFLOW)));
        let root = Digest::of(b"root");
        assert_ne!(elsewhere.id(root), identity(WORKFLOW).id(root));
    }
}
