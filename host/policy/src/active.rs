//! Active content: media types that run where they are shown, and URI schemes that act where they are opened. Both are
//! refused in answers, because a client shows an answer in its own window, with its own rights.

/// Schemes that run a script, carry a document, or open something on the reader's machine or in its browser.
const SCHEMES: [&str; 24] = [
    "about",
    "blob",
    "chrome",
    "chrome-extension",
    "data",
    "feed",
    "file",
    "filesystem",
    "intent",
    "jar",
    "javascript",
    "jscript",
    "livescript",
    "mhtml",
    "mocha",
    "moz-extension",
    "ms-its",
    "res",
    "resource",
    "search-ms",
    "shell",
    "vbscript",
    "view-source",
    "wyciwyg",
];

/// Prefixes of schemes that Windows and Office programs register.
const SCHEME_PREFIXES: [&str; 1] = ["ms-"];

/// Active types beside XML and multipart: HTML, scripts (WHATWG MIME Sniffing, "JavaScript MIME type"), programs.
const TYPES: [&str; 25] = [
    "application/ecmascript",
    "application/hta",
    "application/javascript",
    "application/x-ecmascript",
    "application/x-httpd-php",
    "application/x-javascript",
    "application/x-ms-application",
    "application/x-shockwave-flash",
    "application/xml",
    "message/rfc822",
    "text/ecmascript",
    "text/html",
    "text/javascript",
    "text/javascript1.0",
    "text/javascript1.1",
    "text/javascript1.2",
    "text/javascript1.3",
    "text/javascript1.4",
    "text/javascript1.5",
    "text/jscript",
    "text/livescript",
    "text/vbscript",
    "text/x-ecmascript",
    "text/x-javascript",
    "text/xml",
];

/// Reason why a media type or an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not a media type, or not an address.
    Malformed,
    /// Active content.
    Active,
}

/// Judges a media type (RFC 9110, section 8.3.1), with or without parameters.
///
/// # Errors
/// [`Refusal`].
pub fn media_type(text: &str) -> Result<(), Refusal> {
    let is_shown = text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b',');
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_name = |name: &str| {
        let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        (1..=127).contains(&name.len()) && name.bytes().all(is_name_byte)
    };
    match essence.split_once('/') {
        Some((kind, subtype)) if is_shown && is_name(kind) && is_name(subtype) => {
            let is_active = TYPES.contains(&essence.as_str())
                || kind == "multipart"
                || subtype == "xsl"
                || subtype.ends_with("+xml")
                || subtype.starts_with("xml-");
            if is_active { Err(Refusal::Active) } else { Ok(()) }
        }
        _ => Err(Refusal::Malformed),
    }
}

/// Judges a URI by its scheme (RFC 3986, section 3.1), which it must have.
///
/// # Errors
/// [`Refusal`].
pub fn address(uri: &str) -> Result<(), Refusal> {
    let (scheme, _) = uri.split_once(':').ok_or(Refusal::Malformed)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !is_scheme {
        return Err(Refusal::Malformed);
    }
    let scheme = scheme.to_ascii_lowercase();
    let is_active =
        SCHEMES.contains(&scheme.as_str()) || SCHEME_PREFIXES.iter().any(|prefix| scheme.starts_with(prefix));
    if is_active { Err(Refusal::Active) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_that_are_run_where_they_are_shown_are_active() {
        for text in [
            "text/html",
            "TEXT/HTML",
            " text/html ; charset=utf-8",
            "text/html;profile=mcp-app",
            "application/xhtml+xml",
            "image/svg+xml",
            "application/xml",
            "text/xml",
            "text/xsl",
            "application/rss+xml",
            "text/javascript",
            "application/x-javascript",
            "text/vbscript",
            "multipart/related",
            "message/rfc822",
        ] {
            assert_eq!(media_type(text), Err(Refusal::Active), "{text}");
        }
        for text in
            ["text/plain; charset=utf-8", "image/png", "application/json", "application/pdf", "text/csv"]
        {
            assert_eq!(media_type(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        for text in [
            "",
            "png",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "a b/c",
            "a/b, text/html",
            "text/html\u{0}",
            "é/b",
            "*/*",
            "a/b;\u{85}",
        ] {
            assert_eq!(media_type(text), Err(Refusal::Malformed), "{text:?}");
        }
    }

    #[test]
    fn addresses_that_do_something_where_they_are_opened_are_active() {
        for text in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "vbscript:x",
            "data:text/html,x",
            "data:image/png;base64,",
            "file:///etc/passwd",
            "FILE:x",
            "blob:https://example.com/1",
            "view-source:https://example.com",
            "ms-msdt:/id",
            "search-ms:query=x",
        ] {
            assert_eq!(address(text), Err(Refusal::Active), "{text}");
        }
        for text in [
            "https://example.com/?a=javascript:b",
            "notes://a",
            "mailto:a@example.com",
            "urn:isbn:1",
            "x-data:1",
        ] {
            assert_eq!(address(text), Ok(()), "{text}");
        }
        for text in ["", "a", ":a", "1a:b", "java script:x", "/a:b", "\u{1}javascript:x", "java\tscript:x"] {
            assert_eq!(address(text), Err(Refusal::Malformed), "{text:?}");
        }
    }
}
