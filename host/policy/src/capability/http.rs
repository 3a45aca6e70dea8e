//! `http`: which requests a plugin may send. A request is brought into one normal form, matched in that form and sent in
//! that form. Resolving, connecting and secrets are the runtime's.

use std::fmt;

use super::Effects;
use crate::Invalid;
use crate::address::{Host, HostPattern, Reach};

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// What an operator wrote for one rule, before it is checked.
#[derive(Debug, Clone, Default)]
pub struct RuleText {
    /// `scheme`; default https.
    pub scheme: Option<String>,
    /// `host`.
    pub host: String,
    /// `port`; default by scheme.
    pub port: Option<i64>,
    /// `methods`; default GET and HEAD.
    pub methods: Option<Vec<String>>,
    /// `paths`; default everything.
    pub paths: Option<Vec<String>>,
    /// `secret`: the name of a `[[secret]]`.
    pub secret: Option<String>,
    /// `private`.
    pub private: bool,
    /// `ca`: a file of PEM certificates to trust instead of the system's, made absolute.
    pub ca: Option<String>,
}

/// One rule: requests to these hosts, by these methods, for these paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How.
    pub scheme: Scheme,
    /// Where.
    pub host: HostPattern,
    /// At which port.
    pub port: u16,
    /// Upper-case methods.
    pub methods: Vec<String>,
    /// Patterns that begin with `/`; `*` spans slashes.
    pub paths: Vec<String>,
    /// The secret that is put into requests.
    pub secret: Option<String>,
    /// Whether private networks are reached.
    pub reach: Reach,
    /// Certificates to trust instead of the system's.
    pub ca: Option<String>,
}

/// The rules. Empty: the interface is linked and refuses every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(Vec<Rule>);

/// A request in normal form: what is matched is what is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    host: Host,
    port: u16,
    method: String,
    path: String,
    query: Option<String>,
}

/// The guest may send this request, now, under this rule.
#[must_use]
#[derive(Debug)]
pub struct Pass {
    target: Target,
    rule: Rule,
    index: usize,
}

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no request that anybody could be granted.
    #[error("{0}")]
    Malformed(&'static str),
    /// No rule covers it.
    #[error("no rule of the http grant covers {method} {scheme}://{host}:{port}{path}")]
    NotGranted {
        /// What was asked.
        scheme: Scheme,
        /// What was asked.
        host: Host,
        /// What was asked.
        port: u16,
        /// What was asked.
        method: String,
        /// What was asked.
        path: String,
    },
}

impl Target {
    /// Brings a request into normal form.
    ///
    /// # Errors
    /// [`Refused::Malformed`] for what different servers read differently: user info, encoded slashes, dots or NULs,
    /// backslashes, empty or dot segments, characters outside RFC 3986.
    pub fn parse(method: &str, scheme: &str, authority: &str, path_and_query: &str) -> Result<Self, Refused> {
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(Refused::Malformed("the scheme is neither http nor https")),
        };
        if !is_method(method) || method == "CONNECT" || method == "TRACE" {
            return Err(Refused::Malformed("the method is not one that can be granted"));
        }
        let (host, port) = authority_of(authority, scheme)?;
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        check_path(path)?;
        if !query
            .unwrap_or_default()
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'#')
        {
            return Err(Refused::Malformed(
                "the query has characters that a URL cannot hold",
            ));
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

    /// How.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// To whom.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// At which port.
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

    /// The value of the `Host` header: the port only where it is not the scheme's own (RFC 9110 §4.2.3).
    pub fn authority(&self) -> String {
        if self.port == self.scheme.port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Grant {
    /// Checks what an operator wrote.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn new(rules: Vec<RuleText>) -> Result<Self, Vec<Invalid>> {
        let mut checked = Vec::new();
        let mut problems = Vec::new();
        for (index, text) in rules.into_iter().enumerate() {
            match Rule::new(text) {
                Ok(rule) => checked.push(rule),
                Err(found) => problems.extend(found.into_iter().map(|p| p.under(&format!("[{index}]")))),
            }
        }
        if problems.is_empty() {
            Ok(Self(checked))
        } else {
            Err(problems)
        }
    }

    /// The rules, in the operator's order.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// What it amounts to. A request can always carry something out.
    pub fn effects(&self) -> Effects {
        let some = !self.0.is_empty();
        let changes = self
            .0
            .iter()
            .flat_map(|rule| &rule.methods)
            .any(|method| method != "GET" && method != "HEAD");
        Effects {
            reads: some,
            writes: changes,
            reaches_out: some,
        }
    }

    /// Whether a guest may send this request. The first rule that covers it counts.
    ///
    /// # Errors
    /// [`Refused::NotGranted`] when none does.
    pub fn allow(&self, target: Target) -> Result<Pass, Refused> {
        match self.0.iter().enumerate().find(|(_, rule)| rule.covers(&target)) {
            Some((index, rule)) => Ok(Pass {
                target,
                rule: rule.clone(),
                index,
            }),
            None => Err(Refused::NotGranted {
                scheme: target.scheme,
                host: target.host,
                port: target.port,
                method: target.method,
                path: target.path,
            }),
        }
    }
}

impl Pass {
    /// The request.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The rule that allows it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The place of that rule in the grant.
    pub fn index(&self) -> usize {
        self.index
    }
}

impl Rule {
    fn new(text: RuleText) -> Result<Self, Vec<Invalid>> {
        let mut problems = Vec::new();
        let scheme = match text.scheme.as_deref() {
            None | Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(other) => {
                problems.push(Invalid::at(
                    "scheme",
                    format!(r#"`{other}` is no scheme; write "https" or "http""#),
                ));
                Scheme::Https
            }
        };
        let port = match text.port.map(u16::try_from) {
            None => scheme.port(),
            Some(Ok(port)) if port > 0 => port,
            Some(_) => {
                problems.push(Invalid::at("port", "a port is 1 to 65535"));
                scheme.port()
            }
        };
        let methods = text
            .methods
            .unwrap_or_else(|| vec!["GET".to_owned(), "HEAD".to_owned()]);
        for (index, method) in methods.iter().enumerate() {
            if !is_method(method) || method == "CONNECT" || method == "TRACE" {
                let why = format!(r#"`{method}` is no method that can be granted; write one such as "GET""#);
                problems.push(Invalid::at(format!("methods[{index}]"), why));
            }
        }
        let paths = text.paths.unwrap_or_else(|| vec!["/*".to_owned()]);
        for (index, path) in paths.iter().enumerate() {
            if check_path(path).is_err() {
                let why = format!("`{path}` is no path that can match; write one such as /v1/*");
                problems.push(Invalid::at(format!("paths[{index}]"), why));
            }
        }
        let host = match HostPattern::parse(&text.host) {
            Ok(host) => Some(host),
            Err(problem) => {
                problems.push(problem.under("host"));
                None
            }
        };
        if let (Some(_), Some(host)) = (&text.secret, &host) {
            problems.extend(secret_problem(scheme, host));
        }
        let (Some(host), true) = (host, problems.is_empty()) else {
            return Err(problems);
        };
        let reach = if text.private {
            Reach::Private
        } else {
            Reach::Global
        };
        Ok(Self {
            scheme,
            host,
            port,
            methods,
            paths,
            secret: text.secret,
            reach,
            ca: text.ca,
        })
    }

    fn covers(&self, target: &Target) -> bool {
        self.scheme == target.scheme
            && self.port == target.port
            && self.host.matches(&target.host)
            && self.methods.contains(&target.method)
            && self
                .paths
                .iter()
                .any(|pattern| path_matches(pattern, &target.path))
    }
}

impl Scheme {
    /// Its own port.
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

/// A secret is bound to one host, and travels in the clear only on this machine.
fn secret_problem(scheme: Scheme, host: &HostPattern) -> Option<Invalid> {
    match (scheme, host) {
        (_, HostPattern::Below(_)) => Some(Invalid::at(
            "secret",
            "a secret goes to one host; name it without `*`",
        )),
        (Scheme::Https, HostPattern::Exact(_)) => None,
        (Scheme::Http, HostPattern::Exact(host)) if host.is_loopback() => None,
        (Scheme::Http, HostPattern::Exact(_)) => Some(Invalid::at(
            "secret",
            r#"a secret is sent over https only (http to loopback); write scheme = "https""#,
        )),
    }
}

fn authority_of(authority: &str, scheme: Scheme) -> Result<(Host, u16), Refused> {
    if authority.contains('@') {
        return Err(Refused::Malformed("the authority has user information"));
    }
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority.get(after_bracket..).and_then(|tail| tail.rfind(':')) {
        Some(at) => (
            authority.get(..after_bracket + at),
            authority.get(after_bracket + at + 1..),
        ),
        None => (Some(authority), None),
    };
    let port = match port {
        None => scheme.port(),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits
            .parse()
            .map_err(|_| Refused::Malformed("the port is out of range"))?,
        Some(_) => return Err(Refused::Malformed("the port is no number")),
    };
    if port == 0 {
        return Err(Refused::Malformed("the port is out of range"));
    }
    let host = Host::parse(host.unwrap_or_default())
        .map_err(|_| Refused::Malformed("the host is no host name or address"))?;
    Ok((host, port))
}

/// RFC 9110 §9.1: a token, and no method name has lower-case letters in practice; a guest's `get` is no GET.
fn is_method(method: &str) -> bool {
    !method.is_empty() && method.len() <= 32 && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
}

/// What different servers could read as different paths is refused, so that the pattern and the server agree.
fn check_path(path: &str) -> Result<(), Refused> {
    if !path.starts_with('/') {
        return Err(Refused::Malformed("the path does not begin with a slash"));
    }
    if !path.bytes().all(|b| {
        b.is_ascii_graphic()
            && !matches!(
                b,
                b'\\' | b'#' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}'
            )
    }) {
        return Err(Refused::Malformed(
            "the path has characters that a URL cannot hold",
        ));
    }
    let mut rest = path;
    while let Some((_, tail)) = rest.split_once('%') {
        let code = tail.get(..2).unwrap_or_default().to_ascii_lowercase();
        if code.len() != 2 || !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Refused::Malformed(
                "the path has a percent sign that encodes nothing",
            ));
        }
        if matches!(code.as_str(), "2f" | "5c" | "2e" | "00" | "25") {
            return Err(Refused::Malformed(
                "the path has an encoded slash, backslash, dot, percent sign or NUL",
            ));
        }
        rest = tail;
    }
    let last = path.matches('/').count();
    for (index, segment) in path.split('/').enumerate().skip(1) {
        let is_last = index == last;
        let name = segment.split(';').next().unwrap_or_default();
        if matches!(name, "." | "..") || (segment.is_empty() && !is_last) {
            return Err(Refused::Malformed("the path has an empty or dot segment"));
        }
    }
    Ok(())
}

/// `*` matches any text, slashes included; everything else matches itself.
fn path_matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
