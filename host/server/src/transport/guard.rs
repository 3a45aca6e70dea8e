//! Checks `Host` and `Origin` before a body is read. A page whose own name resolves to this machine (DNS rebinding) is
//! refused here.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

/// Allowed hosts and origins.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// The hosts, in the protocol library's form.
    pub(super) hosts: Vec<String>,
    /// The origins, in the protocol library's form. If there are any, answers differ by origin.
    pub(super) origins: Vec<String>,
}

/// Origin of an allowed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// No browser page, as far as the request shows.
    Program,
    /// A page of the server's own origin.
    Own,
    /// A page of an origin in the configuration, in the browser's notation.
    Named(HeaderValue),
}

/// Names of this machine on its own network interface.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Scheme of the requests of a connection, with the port that is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Without TLS, or with TLS that ends at a proxy.
    Http,
    /// With TLS that ends here.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Guard {
    /// Loopback names are always allowed; origins only if they are configured or the server's own.
    pub(super) fn new(hosts: &[String], origins: &[String]) -> Self {
        let lower = |text: &String| text.to_ascii_lowercase();
        let own = LOOPBACK.map(str::to_owned).into_iter();
        Self {
            hosts: own.chain(hosts.iter().map(lower)).collect(),
            origins: origins.iter().map(lower).collect(),
        }
    }

    /// Origin of a request, if allowed. `own` is the server's end of the connection.
    ///
    /// # Errors
    /// Status and text of the refusal.
    pub(super) fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        own: Option<SocketAddr>,
        scheme: Scheme,
    ) -> Result<Source, (StatusCode, &'static str)> {
        let host = match headers.get(HOST) {
            Some(host) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
            None => uri.authority().cloned(),
        };
        let host = host.filter(|host| !host.as_str().contains('@'));
        let host = host.ok_or((StatusCode::BAD_REQUEST, "the Host header is missing or malformed\n"))?;
        if headers.get_all(HOST).iter().count() > 1 {
            return Err((StatusCode::BAD_REQUEST, "there is more than one Host header\n"));
        }
        // A proxy in front of this server may use either (RFC 9112 §3.2.2).
        if uri.authority().is_some_and(|target| !is_same(target, &host, scheme)) {
            return Err((StatusCode::BAD_REQUEST, "the target names another host than the Host header\n"));
        }
        if !self.hosts.iter().any(|allowed| is_host(allowed, &host)) {
            let why = "this Host is not served; add it to [server] allowed_hosts\n";
            return Err((StatusCode::FORBIDDEN, why));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => return Ok(Source::Program),
            (Some(origin), None) => origin,
            (Some(_), Some(_)) => {
                return Err((StatusCode::FORBIDDEN, "there is more than one Origin header\n"));
            }
        };
        match origin.to_str() {
            Ok(text) if self.origins.iter().any(|allowed| is_origin(allowed, text)) => {
                Ok(Source::Named(origin.clone()))
            }
            Ok(text) if is_own(text, &host, own, scheme) => Ok(Source::Own),
            _ => {
                Err((StatusCode::FORBIDDEN, "this Origin may not call; add it to [server] allowed_origins\n"))
            }
        }
    }
}

/// Whether an origin is the server's own: a loopback name with the connection's port, which the request also targets.
/// Another port or loopback name may be another user's program; other names may resolve to this machine.
fn is_own(origin: &str, host: &Authority, own: Option<SocketAddr>, scheme: Scheme) -> bool {
    let Some(own) = own else { return false };
    let ip = own.ip().to_canonical();
    let name = host.host();
    let is_name_of_it = match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(named) => named == ip,
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    };
    let (named, authority) = match origin.split_once("://") {
        Some((named, authority)) if !authority.contains('@') => (named, authority.parse::<Authority>()),
        _ => return false,
    };
    ip.is_loopback()
        && is_name_of_it
        && port(host, scheme) == Some(own.port())
        && named.eq_ignore_ascii_case(scheme.name())
        && authority.is_ok_and(|authority| is_same(&authority, host, scheme))
}

/// Whether two authorities of one scheme are equivalent.
fn is_same(one: &Authority, other: &Authority, scheme: Scheme) -> bool {
    !one.as_str().contains('@')
        && one.host().eq_ignore_ascii_case(other.host())
        && port(one, scheme).is_some()
        && port(one, scheme) == port(other, scheme)
}

/// Port of an authority; `None` if it is invalid.
fn port(authority: &Authority, scheme: Scheme) -> Option<u16> {
    if authority.as_str().len() == authority.host().len() {
        Some(scheme.port())
    } else {
        authority.port_u16()
    }
}

/// Compares a host with an allowed one, which without a port allows any.
fn is_host(allowed: &str, host: &Authority) -> bool {
    allowed.parse::<Authority>().is_ok_and(|allowed| {
        allowed.host().eq_ignore_ascii_case(host.host())
            && allowed.port_u16().is_none_or(|port| host.port_u16() == Some(port))
    })
}

/// Compares an origin with `scheme://host:port`, or `*` for any port. Browsers omit the default port (RFC 6454 §6.2).
fn is_origin(allowed: &str, origin: &str) -> bool {
    let origin = origin.to_ascii_lowercase();
    let Some((base, port)) = allowed.rsplit_once(':') else { return false };
    let Some(rest) = origin.strip_prefix(base) else { return false };
    let own = if base.starts_with("https") { "443" } else { "80" };
    let given = if rest.is_empty() { own } else { rest.strip_prefix(':').unwrap_or_default() };
    let numeric = !given.is_empty() && given.bytes().all(|b| b.is_ascii_digit());
    numeric && (port == "*" || port == given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        target: &'static str,
        host: &str,
        origin: Option<&str>,
        own: Option<&str>,
    ) -> Result<Source, StatusCode> {
        asked_by(Scheme::Http, target, host, origin, own)
    }

    fn asked_by(
        scheme: Scheme,
        target: &'static str,
        host: &str,
        origin: Option<&str>,
        own: Option<&str>,
    ) -> Result<Source, StatusCode> {
        let guard = Guard::new(
            &["tools.example.com".into()],
            &["https://app.example.com:*".into(), "http://dev.local:3000".into()],
        );
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let own = own.map(|own| own.parse().unwrap());
        guard.check(&Uri::from_static(target), &headers, own, scheme).map_err(|(status, _)| status)
    }

    #[test]
    fn the_own_origin_of_a_server_on_loopback_may_call_and_none_that_is_like_it() {
        for (host, origin, own) in [
            ("127.0.0.1:7411", "http://127.0.0.1:7411", "127.0.0.1:7411"),
            ("127.0.0.1:7411", "HTTP://127.0.0.1:7411", "[::ffff:127.0.0.1]:7411"),
            ("localhost:7411", "http://localhost:7411", "127.0.0.1:7411"),
            ("LocalHost:7411", "http://localhost:7411", "[::1]:7411"),
            ("[::1]:7411", "http://[::1]:7411", "[::1]:7411"),
            ("127.0.0.1", "http://127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:80", "http://127.0.0.1", "127.0.0.1:80"),
        ] {
            assert_eq!(asked("/mcp", host, Some(origin), Some(own)), Ok(Source::Own), "{host} {origin}");
        }
        for (host, origin, own) in [
            // Another program on this machine.
            ("127.0.0.1:7411", "http://127.0.0.1:7412", Some("127.0.0.1:7411")),
            ("127.0.0.1:7412", "http://127.0.0.1:7412", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "http://127.0.0.1", Some("127.0.0.1:7411")),
            // Possibly another user's program, on the other address.
            ("127.0.0.1:7411", "http://localhost:7411", Some("127.0.0.1:7411")),
            ("localhost:7411", "http://127.0.0.1:7411", Some("127.0.0.1:7411")),
            ("[::1]:7411", "http://[::1]:7411", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "http://[::1]:7411", Some("127.0.0.1:7411")),
            // Another notation, or not an origin.
            ("127.0.0.1:7411", "https://127.0.0.1:7411", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "http://127.1:7411", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "http://x@127.0.0.1:7411", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "http://127.0.0.1:7411/", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "http://127.0.0.1:7411.evil.example", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "http://127.0.0.1:72947", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "127.0.0.1:7411", Some("127.0.0.1:7411")),
            ("127.0.0.1:7411", "null", Some("127.0.0.1:7411")),
            // A name that resolves to this machine is not served unless configured.
            ("evil.example:7411", "http://evil.example:7411", Some("127.0.0.1:7411")),
            ("tools.example.com:7411", "http://tools.example.com:7411", Some("127.0.0.1:7411")),
            // Other machines can reach this address.
            ("localhost:7411", "http://localhost:7411", Some("192.0.2.1:7411")),
            ("127.0.0.1:7411", "http://127.0.0.1:7411", None),
        ] {
            assert_eq!(
                asked("/mcp", host, Some(origin), own),
                Err(StatusCode::FORBIDDEN),
                "{host} {origin} {own:?}"
            );
        }
    }

    #[test]
    fn the_own_origin_has_the_scheme_of_the_connection() {
        for (scheme, host, origin, own, is_own) in [
            (Scheme::Https, "localhost:7411", "https://localhost:7411", "127.0.0.1:7411", true),
            (Scheme::Https, "localhost", "https://localhost", "127.0.0.1:443", true),
            (Scheme::Https, "localhost:443", "https://localhost", "127.0.0.1:443", true),
            (Scheme::Https, "localhost:7411", "http://localhost:7411", "127.0.0.1:7411", false),
            (Scheme::Https, "localhost", "https://localhost", "127.0.0.1:80", false),
            (Scheme::Http, "localhost:7411", "https://localhost:7411", "127.0.0.1:7411", false),
        ] {
            let source = asked_by(scheme, "/mcp", host, Some(origin), Some(own));
            assert_eq!(source == Ok(Source::Own), is_own, "{scheme:?} {host} {origin}");
        }
    }

    #[test]
    fn a_target_that_names_a_host_names_the_one_of_the_header() {
        let target = |target, host| asked(target, host, None, Some("127.0.0.1:7411")).map(|_| ());
        for (named, host) in [
            ("http://localhost:7411/mcp", "localhost:7411"),
            ("http://LOCALHOST/mcp", "localhost:80"),
            ("http://tools.example.com/mcp", "tools.example.com"),
        ] {
            assert_eq!(target(named, host), Ok(()), "{named} {host}");
        }
        for (named, host) in [
            ("http://evil.example/mcp", "localhost:7411"),
            ("http://localhost:7411/mcp", "evil.example"),
            ("http://127.0.0.1:7411/mcp", "localhost:7411"),
            ("http://localhost:7411/mcp", "localhost"),
            ("http://x@localhost:7411/mcp", "localhost:7411"),
        ] {
            assert_eq!(target(named, host), Err(StatusCode::BAD_REQUEST), "{named} {host}");
        }
        assert_eq!(target("http://evil.example/mcp", "evil.example"), Err(StatusCode::FORBIDDEN));
    }
}
