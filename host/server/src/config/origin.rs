//! Checks of allowed hosts and origins. They are compared as text, so an entry in a form that no browser or client
//! sends would match nothing, without any notice.

use std::net::{Ipv4Addr, Ipv6Addr};

// Reasons why an entry would match nothing, with the remedy.
const SCHEME: &str =
    "it does not begin with http:// or https://; write one such as https://app.example.com:*";
const NO_PORT: &str = "it has no port; write one such as https://app.example.com:*, where * is any port";
const PORT: &str = "its port is neither * nor a number from 1 to 65535 without leading zeros";
const HOST_PORT: &str =
    "its port is not a number from 1 to 65535 without leading zeros; leave it out for any port";
const WILDCARD: &str =
    "a * stands for a port only; write an entry for each host, such as https://app.example.com:*";
const MORE: &str = "it has more than a host and a port; leave the rest out, as in app.example.com:443";
const NOT_ASCII: &str =
    "its host is not ASCII; write it as browsers do, with xn--, as in https://xn--r8jz45g.example:*";
const HOST: &str = "its host is neither a name nor an IP address; write one such as app.example.com, 192.0.2.1 or [2001:db8::1]";
const ADDRESS: &str = "its host is an IP address that is written otherwise; write it as browsers do, such as 192.0.2.1 or [2001:db8::1]";

/// Checks an origin with a port, or `:*` for any: the protocol library would read a missing port as any port.
pub(super) fn check_origin(origin: &str) -> Result<(), &'static str> {
    let rest = origin.strip_prefix("http://").or(origin.strip_prefix("https://")).ok_or(SCHEME)?;
    let (host, port) = split(rest)?;
    let port = port.ok_or(NO_PORT)?;
    if port != "*" && !is_port(port) {
        return Err(PORT);
    }
    check_name(host)?;
    if is_canonical(host) { Ok(()) } else { Err(ADDRESS) }
}

/// Checks a host, with or without a port.
pub(super) fn check_host(host: &str) -> Result<(), &'static str> {
    let (host, port) = split(host)?;
    if port.is_some_and(|port| !is_port(port)) {
        return Err(HOST_PORT);
    }
    check_name(host)
}

/// A host and its port, if it has one.
pub(super) fn split(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if authority.contains(['/', '?', '#', '@', '\\']) {
        return Err(MORE);
    }
    let host_end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']').ok_or(HOST)? + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    match authority.split_at_checked(host_end).ok_or(HOST)? {
        (host, "") => Ok((host, None)),
        (host, rest) => Ok((host, Some(rest.strip_prefix(':').ok_or(HOST)?))),
    }
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port)
}

fn check_name(host: &str) -> Result<(), &'static str> {
    if host.contains('*') {
        return Err(WILDCARD);
    }
    if !host.is_ascii() {
        return Err(NOT_ASCII);
    }
    let is_name = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.strip_suffix('.').unwrap_or(host).split('.').all(is_label),
    };
    if is_name { Ok(()) } else { Err(HOST) }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a browser sends a host in this form: addresses have one canonical form (WHATWG URL, §3.5).
pub(super) fn is_canonical(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let Ok(parsed) = address.parse::<Ipv6Addr>() else { return false };
        return match parsed.to_ipv4_mapped() {
            // The IPv4 part is written as two groups.
            Some(_) => {
                let [.., high, low] = parsed.segments();
                address == format!("::ffff:{high:x}:{low:x}")
            }
            None => parsed.to_string() == address,
        };
    }
    let last = host.strip_suffix('.').unwrap_or(&host).rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    !is_number || host.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_that_a_browser_can_write() {
        for origin in [
            "https://app.example.com:*",
            "https://APP.example.com:443",
            "http://localhost:3000",
            "http://127.0.0.1:80",
            "http://[::1]:*",
            "http://[2001:db8::1]:8080",
            "http://[::ffff:c000:201]:*",
            "https://xn--r8jz45g.example:*",
            "https://a_b.example.:*",
            "https://1.example:*",
        ] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for (origin, error) in [
            ("https://*.example.com:*", WILDCARD),
            ("https://*:*", WILDCARD),
            ("https://app.example.com:0443", PORT),
            ("https://app.example.com:+443", PORT),
            ("https://app.example.com:0", PORT),
            ("https://app.example.com:65536", PORT),
            ("https://app.example.com:", PORT),
            ("https://app.example.com", NO_PORT),
            ("https://a@b:*", MORE),
            ("https://a:*/", MORE),
            ("https://a?b:*", MORE),
            ("https://\u{4f8b}\u{3048}:*", NOT_ASCII),
            ("https://a b:*", HOST),
            ("https://a%62:*", HOST),
            ("https://a..b:*", HOST),
            ("https://:*", HOST),
            ("https://::1:*", PORT),
            ("https://[::1:*", HOST),
            ("https://[::1]x:*", HOST),
            ("https://[::g]:*", HOST),
            ("http://127.1:*", ADDRESS),
            ("http://127.0.0.01:*", ADDRESS),
            ("http://127.0.0.1.:*", ADDRESS),
            ("http://0x7f000001:*", ADDRESS),
            ("http://2130706433:*", ADDRESS),
            ("http://[0:0:0:0:0:0:0:1]:*", ADDRESS),
            ("http://[::ffff:192.0.2.1]:*", ADDRESS),
            ("ftp://a:*", SCHEME),
            ("null", SCHEME),
            ("*", SCHEME),
        ] {
            assert_eq!(check_origin(origin), Err(error), "{origin}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in ["tools.example.com", "tools.example.com:443", "192.0.2.1", "127.1", "[2001:DB8::1]:80"] {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        for (host, error) in [
            ("*.example.com", WILDCARD),
            ("https://tools.example.com", MORE),
            ("a@b", MORE),
            ("tools.example.com:*", HOST_PORT),
            ("tools.example.com:080", HOST_PORT),
            ("2001:db8::1", HOST_PORT),
            ("\u{4f8b}\u{3048}", NOT_ASCII),
            ("", HOST),
        ] {
            assert_eq!(check_host(host), Err(error), "{host}");
        }
    }
}
