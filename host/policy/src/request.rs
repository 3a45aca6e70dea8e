//! HTTP requests in normal form, which are matched and sent in that form. The `http` capability decides on them.

use std::fmt;

use crate::address::Host;
use crate::limits::call::HTTP_METHOD_BYTES_MAX;
use crate::path::check_path;

pub use crate::path::PathError;

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Unencrypted.
    Http,
    /// Over TLS.
    Https,
}

/// A request in the normal form in which it is matched and sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestTarget {
    scheme: Scheme,
    host: Host,
    port: u16,
    method: String,
    path: String,
    query: Option<String>,
}

impl RequestTarget {
    /// Brings a request into normal form. Refuses requests that servers read differently: user info, empty and dot
    /// segments in any spelling, encoded separators, characters outside RFC 3986.
    pub fn parse(
        method: &str,
        scheme: &str,
        authority: &str,
        path_and_query: &str,
    ) -> Result<Self, PathError> {
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(PathError("the scheme is neither http nor https")),
        };
        if !is_method(method) {
            return Err(PathError("the method is not one that can be granted"));
        }
        let (host, port) = authority_of(authority, scheme)?;
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        check_path(path)?;
        if !query.unwrap_or_default().bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(PathError("the query has characters that a URL cannot hold"));
        }
        Ok(Self {
            scheme,
            host,
            port,
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
        })
    }

    /// Reads a method and a whole URL, such as `https://api.example.com/v1/items?x=1`.
    pub fn from_url(method: &str, url: &str) -> Result<Self, PathError> {
        let (scheme, rest) =
            url.split_once("://").ok_or(PathError("it is not a URL: it has no scheme, such as https://"))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        Self::parse(method, scheme, authority, path)
    }

    /// The URL without the query, which grants ignore and records omit.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority(), self.path)
    }

    /// The same with another method.
    #[must_use]
    pub fn for_method(&self, method: &str) -> Self {
        Self { method: method.to_owned(), ..self.clone() }
    }

    /// The root of the same host.
    #[must_use]
    pub fn at_root(&self) -> Self {
        Self { path: "/".to_owned(), query: None, ..self.clone() }
    }

    /// The same without the query.
    #[must_use]
    pub fn without_query(&self) -> Self {
        Self { query: None, ..self.clone() }
    }

    /// Scheme of the request.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host of the request.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Port of the host.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path with the query, as it is sent.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Value of the `Host` header: the port only if it is not the scheme's default (RFC 9110 §4.2.3).
    pub fn authority(&self) -> String {
        if self.port == self.scheme.port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Scheme {
    /// Default port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

fn authority_of(authority: &str, scheme: Scheme) -> Result<(Host, u16), PathError> {
    if authority.contains('@') {
        return Err(PathError("the authority has user information"));
    }
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority.get(after_bracket..).and_then(|tail| tail.rfind(':')) {
        Some(at) => (authority.get(..after_bracket + at), authority.get(after_bracket + at + 1..)),
        None => (Some(authority), None),
    };
    let port = match port {
        None => scheme.port(),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| PathError("the port is out of range"))?
        }
        Some(_) => return Err(PathError("the port is not a number")),
    };
    if port == 0 {
        return Err(PathError("the port is out of range"));
    }
    let host = Host::parse(host.unwrap_or_default())
        .map_err(|_| PathError("the host is not a host name or address"))?;
    Ok((host, port))
}

/// Whether a method can be granted. RFC 9110 §9.1 makes it a case-sensitive token, so a guest's `get` is not GET.
/// CONNECT opens tunnels and TRACE returns headers added on the way: never.
pub(crate) fn is_method(method: &str) -> bool {
    let spelled = !method.is_empty()
        && method.len() <= HTTP_METHOD_BYTES_MAX
        && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    spelled && method != "CONNECT" && method != "TRACE"
}
