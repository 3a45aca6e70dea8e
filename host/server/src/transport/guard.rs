//! Who may talk to this server from a browser or under a name: `Host` and `Origin`, checked before a body is read. A page
//! that had its own name resolve to this machine (DNS rebinding) is caught here.

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};

/// Whom to answer.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Names of this machine on its own network interface.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Guard {
    /// Loopback names always pass; no origin does unless it is named.
    pub(super) fn new(hosts: &[String], origins: &[String]) -> Self {
        let hosts = LOOPBACK
            .iter()
            .map(|name| (*name).to_owned())
            .chain(hosts.iter().map(|host| host.to_ascii_lowercase()));
        Self {
            hosts: hosts.collect(),
            origins: origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
        }
    }

    /// The names, as the protocol's library takes them.
    pub(super) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The origins, as the protocol's library takes them.
    pub(super) fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Whether a request may be answered.
    ///
    /// # Errors
    /// The status and what to say.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let host = match headers.get(HOST) {
            Some(host) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
            None => uri.authority().cloned(),
        };
        let host = host.ok_or((StatusCode::BAD_REQUEST, "the Host header is missing or malformed"))?;
        if headers.get_all(HOST).iter().count() > 1 {
            return Err((StatusCode::BAD_REQUEST, "there is more than one Host header"));
        }
        if !self.hosts.iter().any(|allowed| is_host(allowed, &host)) {
            return Err((StatusCode::FORBIDDEN, "this Host is not served; add it to [server] allowed_hosts"));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next().map(|origin| origin.to_str()), origins.next()) {
            (None, _) => Ok(()),
            (Some(Ok(origin)), None) if self.origins.iter().any(|allowed| is_origin(allowed, origin)) => {
                Ok(())
            }
            _ => Err((StatusCode::FORBIDDEN, "this Origin may not call; add it to [server] allowed_origins")),
        }
    }
}

/// An allowed name without a port means any port.
fn is_host(allowed: &str, host: &Authority) -> bool {
    match allowed.parse::<Authority>() {
        Ok(allowed) => {
            allowed.host().eq_ignore_ascii_case(host.host())
                && allowed.port_u16().is_none_or(|port| host.port_u16() == Some(port))
        }
        Err(_) => false,
    }
}

/// `scheme://host:port`, or with `*` for any port. A browser leaves the scheme's own port out (RFC 6454 §6.2).
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

    fn verdict(host: &str, origin: Option<&str>) -> Result<(), StatusCode> {
        let guard = Guard::new(
            &["tools.example.com".into()],
            &["https://app.example.com:*".into(), "http://dev.local:3000".into()],
        );
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        guard.check(&Uri::from_static("/mcp"), &headers).map_err(|(status, _)| status)
    }

    #[test]
    fn only_names_of_this_machine_and_named_ones_are_served() {
        for host in
            ["localhost", "localhost:7411", "127.0.0.1:1", "[::1]:7411", "LOCALHOST", "tools.example.com:443"]
        {
            assert_eq!(verdict(host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "0.0.0.0",
            "tools.example.com.evil",
        ] {
            assert_eq!(verdict(host, None), Err(StatusCode::FORBIDDEN), "{host}");
        }
        assert_eq!(verdict("a b", None), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn no_origin_may_call_but_those_that_are_named() {
        for origin in [
            "https://app.example.com",
            "https://app.example.com:8443",
            "HTTPS://APP.example.com",
            "http://dev.local:3000",
        ] {
            assert_eq!(verdict("localhost", Some(origin)), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "http://localhost",
            "http://app.example.com",
            "https://app.example.com.evil.org",
            "http://dev.local:3001",
            "http://dev.local",
            "https://app.example.com:x",
            "https://app.example.com@evil.org",
            "",
        ] {
            assert_eq!(verdict("localhost", Some(origin)), Err(StatusCode::FORBIDDEN), "{origin}");
        }
    }
}
