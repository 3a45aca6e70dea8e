//! URL paths that every server reads alike. An ambiguous path is refused, so that the pattern of a grant and the server
//! agree on the request.

use crate::redact::is_invisible;

/// Reason why a text cannot be a granted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{0}")]
pub struct PathError(pub(crate) &'static str);

/// Checks a path, without its query. Refuses characters outside RFC 3986, and encoded slashes, backslashes, dots,
/// percent signs, control characters and invalid UTF-8 (such as overlong dots). Also characters that some servers turn
/// into one of these, empty segments, and segments that are dots after everything that a server may remove is removed.
pub(crate) fn check_path(path: &str) -> Result<(), PathError> {
    if !path.starts_with('/') {
        return Err(PathError("the path does not begin with a slash"));
    }
    if !path.bytes().all(|b| {
        b.is_ascii_graphic()
            && !matches!(b, b'\\' | b'#' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    }) {
        return Err(PathError("the path has characters that a URL cannot hold"));
    }
    let last = path.matches('/').count();
    for (index, segment) in path.split('/').enumerate().skip(1) {
        check_segment(&decoded(segment)?, index == last)?;
    }
    Ok(())
}

/// A percent-decoded segment.
fn decoded(segment: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((plain, tail)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let code = tail.get(..2).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        let byte = byte.ok_or(PathError("the path has a percent sign that encodes nothing"))?;
        if matches!(byte, b'/' | b'\\' | b'.' | b'%' | 0) {
            return Err(PathError("the path has an encoded slash, backslash, dot, percent sign or NUL"));
        }
        bytes.push(byte);
        rest = tail.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| PathError("the path has encoded bytes that are not UTF-8"))
}

fn check_segment(segment: &str, is_last: bool) -> Result<(), PathError> {
    if segment.chars().any(char::is_control) {
        return Err(PathError("the path has an encoded control character"));
    }
    if segment.chars().any(is_like_separator) {
        return Err(PathError(
            "the path has a character that some servers read as a slash, backslash or percent sign",
        ));
    }
    // Some servers cut a segment at its parameters, and some remove white space and invisible characters.
    let name = segment.split(is_like_end).next().unwrap_or_default();
    let mut left = name.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).peekable();
    let is_empty = left.peek().is_none();
    if is_empty && !(is_last && (name.is_empty() || segment.is_empty())) {
        return Err(PathError("the path has an empty or dot segment"));
    }
    if !is_empty && left.all(is_like_dots) {
        return Err(PathError("the path has an empty or dot segment"));
    }
    Ok(())
}

/// Characters that become a slash, a backslash or a percent sign by Unicode NFKC, or by "best fit" conversion to an
/// older code page.
fn is_like_separator(c: char) -> bool {
    matches!(
        c,
        '\u{ff0f}' | '\u{2044}' | '\u{2215}' | '\u{29f8}' // slash
        | '\u{ff3c}' | '\u{fe68}' | '\u{2216}' | '\u{29f5}' | '\u{a5}' | '\u{20a9}' // backslash
        | '\u{ff05}' | '\u{fe6a}' // percent sign
    )
}

/// Characters after which a server may read parameters, a query or a fragment.
fn is_like_end(c: char) -> bool {
    ";?#\u{ff1b}\u{fe54}\u{37e}\u{ff1f}\u{fe56}\u{ff03}\u{fe5f}".contains(c)
}

/// Characters that become one dot or several.
fn is_like_dots(c: char) -> bool {
    ".\u{ff0e}\u{fe52}\u{3002}\u{ff61}\u{fe12}\u{2024}\u{2025}\u{2026}\u{fe19}\u{fe30}".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_servers_read_differently_is_refused() {
        for path in [
            // Overlong forms of dots and slashes, a lone continuation byte, half a character.
            "/v1/%c0%ae%c0%ae/admin",
            "/v1/%e0%80%ae%e0%80%ae/admin",
            "/v1/%f0%80%80%ae/admin",
            "/v1/%c0%af..",
            "/v1/a%80",
            "/v1/a%e2%82",
            // Full-width and other dots, alone, doubled and mixed.
            "/v1/%ef%bc%8e%ef%bc%8e/admin",
            "/v1/.%ef%bc%8e/admin",
            "/v1/%e3%80%82%e3%80%82/admin",
            "/v1/%ef%bd%a1%ef%bd%a1/admin",
            "/v1/%e2%80%a4%e2%80%a4/admin",
            "/v1/%e2%80%a5/admin",
            "/v1/%EF%BC%8E/admin",
            "/v1/%ef%b9%92./admin",
            "/v1/.../admin",
            // Dots with characters that a server may remove.
            "/v1/..%20/admin",
            "/v1/%20../admin",
            "/v1/.%20./admin",
            "/v1/..%09/admin",
            "/v1/..%0d%0a/admin",
            "/v1/..%7f",
            "/v1/..%c2%a0/admin",
            "/v1/..%c2%85/admin",
            "/v1/..%e3%80%80/admin",
            "/v1/..%e2%80%8b/admin",
            "/v1/..%ef%bb%bf/admin",
            "/v1/..;x=1/admin",
            "/v1/..%3bx/admin",
            "/v1/..%3fx",
            "/v1/..%23x",
            "/v1/..%ef%bc%9bx/admin",
            "/v1/..%20;x/admin",
            // Segments that are empty after such a removal.
            "/v1/%20/admin",
            "/v1/;x/admin",
            "/v1/%20",
            // Other slashes.
            "/v1/..%ef%bc%8fadmin",
            "/v1/..%e2%88%95admin",
            "/v1/..%ef%bc%bcadmin",
            "/v1/..%c2%a5admin",
            "/v1/%ef%bc%852e%ef%bc%852e/admin",
            // Control characters anywhere.
            "/v1/a%0ab",
            "/v1/a%1f",
            "/v1/%u002e%u002e/admin",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn ordinary_paths_are_not_refused() {
        for path in [
            "/",
            "/v1/",
            "/v1/a.b..c",
            "/.well-known/x",
            "/compare/main...feature",
            "/wiki/M%C3%BCnchen%20Ost",
            "/wiki/%E6%97%A5%E6%9C%AC",
            "/wiki/Wait%E2%80%A6",
            "/v1/a;b=c/d",
            "/v1/;jsessionid=1",
            "/v1/what%3F",
            "/~user/@x/a:b,(c)!*'$&+=",
            "/v1/*/x",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }
}
