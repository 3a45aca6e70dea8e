//! `[server] public_url`: the address by which clients know this server. No header of a request can change it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::origin::{check_host, is_canonical, split};

/// The server's address for its clients: a scheme and an authority, canonical, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    is_https: bool,
    authority: String,
}

const EXAMPLE: &str = "https://tools.example.com";

impl PublicUrl {
    /// Reads a URL without anything beyond scheme, host and port.
    ///
    /// # Errors
    /// A sentence with the remedy.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("`{text}` has capital letters; write it in lower case"));
        }
        let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(format!("`{text}` does not begin with https://; write one such as {EXAMPLE}")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let wrong = |why: &str| format!("`{text}` is not an address of this server: {why}");
        check_host(authority).map_err(wrong)?;
        let (host, port) = split(authority).map_err(wrong)?;
        if !is_canonical(host) {
            return Err(wrong("write the IP address as browsers do, such as 192.0.2.1 or [2001:db8::1]"));
        }
        if port == Some(if is_https { "443" } else { "80" }) {
            return Err(wrong("leave out the port, which is the usual one"));
        }
        if !is_https && !is_loopback(host) {
            return Err(format!(
                "`{text}` is not https, which only a name of this machine may be; write https://"
            ));
        }
        Ok(Self { is_https, authority: authority.to_owned() })
    }

    /// Host, with the port if it is not the usual one.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_https { "https" } else { "http" }, self.authority)
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_and_an_authority_and_nothing_else() {
        for (text, is) in [
            ("https://tools.example.com", "https://tools.example.com"),
            ("https://tools.example.com/", "https://tools.example.com"),
            ("https://tools.example.com:8443", "https://tools.example.com:8443"),
            ("https://192.0.2.1", "https://192.0.2.1"),
            ("http://localhost:7411", "http://localhost:7411"),
            ("http://127.0.0.1:7411/", "http://127.0.0.1:7411"),
            ("http://[::1]:7411", "http://[::1]:7411"),
        ] {
            assert_eq!(PublicUrl::parse(text).map(|url| url.to_string()), Ok(is.to_owned()));
        }
        for text in [
            "",
            "tools.example.com",
            "ftp://tools.example.com",
            "http://tools.example.com",
            "http://localhost.example.com",
            "http://192.0.2.1",
            "https://",
            "https://Tools.example.com",
            "HTTPS://tools.example.com",
            "https://tools.example.com/mcp",
            "https://tools.example.com//",
            "https://tools.example.com?a",
            "https://tools.example.com#a",
            "https://user@tools.example.com",
            "https://user:word@tools.example.com",
            "https://tools.example.com:443",
            "https://tools.example.com:0",
            "https://tools.example.com:x",
            "https://tools.example.com:",
            "https://*.example.com",
            "https://127.1",
            "https://[::1",
            "https://a b",
            "https://a\r\nb",
            "https://\u{4f8b}.example",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }
}
