//! `http`: the requests a plugin may send. Requests are matched and sent in the same normal form. Resolving, connecting
//! and secrets belong to the runtime.

use std::cmp::Reverse;

use super::Effects;
use crate::InvalidValueError;
use crate::address::{HostPattern, Reach};
use crate::header::{self, ForbiddenHeaderError};
use crate::path::check_path;
use crate::redact::quoted;
use crate::request::{PathError, RequestTarget, Scheme, is_method};

/// One rule as the operator wrote it, not yet checked.
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
    /// `headers`; default none.
    pub headers: Option<Vec<String>>,
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
    /// Scheme of the requests.
    pub scheme: Scheme,
    /// Hosts the requests may go to.
    pub host: HostPattern,
    /// Port of those hosts.
    pub port: u16,
    /// Upper-case methods.
    pub methods: Vec<String>,
    /// Patterns that begin with `/`; `*` spans slashes.
    pub paths: Vec<String>,
    /// Restricted header fields a plugin may set although they can change the meaning of a request, in lower case.
    pub headers: Vec<String>,
    /// Name of the secret the host puts into requests.
    pub secret: Option<String>,
    /// Networks the rule reaches.
    pub reach: Reach,
    /// Certificates to trust instead of the system's.
    pub ca: Option<String>,
}

/// The rules. Empty: the interface is linked and refuses every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(Vec<Rule>);

/// Proof that the guest may send this request, now, under this rule.
#[must_use]
#[derive(Debug)]
pub struct Pass {
    target: RequestTarget,
    rule: Rule,
    index: usize,
}

/// Part of a request that a rule does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// The host differs.
    Host,
    /// The scheme differs.
    Scheme,
    /// The port differs.
    Port,
    /// The rule lacks the method.
    Method,
    /// No path pattern matches.
    Path,
}

/// Reason why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpDeniedError {
    /// The request is malformed, so no grant can allow it.
    #[error(transparent)]
    Malformed(#[from] PathError),
    /// No rule covers it.
    #[error("no rule of the http grant covers {} {}://{}:{}{}", .0.method(), .0.scheme(), .0.host(), .0.port(), .0.path())]
    NotGranted(RequestTarget),
}

impl Grant {
    /// Checks what an operator wrote. Names everything that is wrong, each with its place.
    pub fn new(rules: Vec<RuleText>) -> Result<Self, Vec<InvalidValueError>> {
        super::each(rules, Rule::new).map(Self)
    }

    /// The rules, in the operator's order.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// Effects of the grant. Any request, `GET` included, can carry data out.
    pub fn effects(&self) -> Effects {
        let some = !self.0.is_empty();
        let changes =
            self.0.iter().flat_map(|rule| &rule.methods).any(|method| method != "GET" && method != "HEAD");
        Effects { reads: some, writes: changes, reaches_out: some }
    }

    /// Index of the rule closest to covering a request, and what it lacks (nothing if it covers it). Rules with the
    /// host come first; a difference late in a URL is closer than an early one.
    pub fn nearest(&self, target: &RequestTarget) -> Option<(usize, Vec<Lack>)> {
        let lacks = |rule: &Rule| rule.lacks(target).collect::<Vec<Lack>>();
        let all = self.0.iter().map(lacks).enumerate();
        all.min_by_key(|(_, lacks)| (lacks.contains(&Lack::Host), lacks.len(), Reverse(lacks.clone())))
    }

    /// The line that grants it, as an operator would write it.
    pub fn written(&self) -> String {
        written(&self.0)
    }

    /// Checks that a guest may send this request. The first rule that covers it applies.
    pub fn allow(&self, target: RequestTarget) -> Result<Pass, HttpDeniedError> {
        match self.0.iter().enumerate().find(|(_, rule)| rule.covers(&target)) {
            Some((index, rule)) => Ok(Pass { target, rule: rule.clone(), index }),
            None => Err(HttpDeniedError::NotGranted(target)),
        }
    }
}

impl Pass {
    /// The request.
    pub fn target(&self) -> &RequestTarget {
        &self.target
    }

    /// Rule that allows it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Index of that rule in the grant.
    pub fn index(&self) -> usize {
        self.index
    }
}

impl Rule {
    fn new(text: RuleText) -> Result<Self, Vec<InvalidValueError>> {
        let mut problems = Vec::new();
        let scheme = match text.scheme.as_deref() {
            None | Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(other) => {
                problems.push(InvalidValueError::at(
                    "scheme",
                    format!(r#"`{other}` is not a scheme; write "https" or "http""#),
                ));
                Scheme::Https
            }
        };
        let port = match text.port.map(u16::try_from) {
            None => scheme.port(),
            Some(Ok(port)) if port > 0 => port,
            Some(_) => {
                problems.push(InvalidValueError::at("port", "a port is 1 to 65535"));
                scheme.port()
            }
        };
        let methods = text.methods.unwrap_or_else(|| vec!["GET".to_owned(), "HEAD".to_owned()]);
        for (index, method) in methods.iter().enumerate() {
            if !is_method(method) {
                let why =
                    format!(r#"`{method}` is not a method that can be granted; write one such as "GET""#);
                problems.push(InvalidValueError::at(format!("methods[{index}]"), why));
            }
        }
        let paths = text.paths.unwrap_or_else(|| vec!["/*".to_owned()]);
        for (index, path) in paths.iter().enumerate() {
            if check_path(path).is_err() {
                let why = format!("`{path}` is not a path that can match; write one such as /v1/*");
                problems.push(InvalidValueError::at(format!("paths[{index}]"), why));
            }
        }
        let headers = text.headers.unwrap_or_default();
        for (index, name) in headers.iter().enumerate() {
            let twice = headers.iter().take(index).any(|other| header::is_same(other, name));
            let twice = twice.then(|| InvalidValueError::new(format!("`{name}` is named twice")));
            let problem = header::check_named(name).err().or(twice);
            problems.extend(problem.map(|problem| problem.under(&format!("headers[{index}]"))));
        }
        let host =
            HostPattern::parse(&text.host).map_err(|problem| problems.push(problem.under("host"))).ok();
        if let (Some(_), Some(host)) = (&text.secret, &host) {
            problems.extend(secret_problem(scheme, host));
        }
        let (Some(host), true) = (host, problems.is_empty()) else {
            return Err(problems);
        };
        let reach = if text.private { Reach::Private } else { Reach::Global };
        Ok(Self { scheme, host, port, methods, paths, headers, secret: text.secret, reach, ca: text.ca })
    }

    fn covers(&self, target: &RequestTarget) -> bool {
        self.lacks(target).next().is_none()
    }

    /// Every [`Lack`] of this rule for a request. Empty if and only if the rule covers the request.
    fn lacks(&self, target: &RequestTarget) -> impl Iterator<Item = Lack> {
        let host = || self.host.matches(target.host());
        let method = || self.methods.iter().any(|method| method == target.method());
        let path = || self.paths.iter().any(|pattern| path_matches(pattern, target.path()));
        let all = [Lack::Host, Lack::Scheme, Lack::Port, Lack::Method, Lack::Path];
        all.into_iter().filter(move |lack| match lack {
            Lack::Host => !host(),
            Lack::Scheme => self.scheme != target.scheme(),
            Lack::Port => self.port != target.port(),
            Lack::Method => !method(),
            Lack::Path => !path(),
        })
    }

    /// Checks that a plugin may set this header field under this rule; the host puts the rule's secret into `secret`.
    pub fn may_set(&self, name: &str, secret: Option<&str>) -> Result<(), ForbiddenHeaderError> {
        header::may_set(name, &self.headers, secret)
    }

    /// The rule as an operator would write it, without defaults.
    pub fn written(&self) -> String {
        let texts = |texts: &[String]| super::list(texts.iter().map(|text| quoted(text)));
        let mut keys = Vec::new();
        if self.scheme == Scheme::Http {
            keys.push(r#"scheme = "http""#.to_owned());
        }
        keys.push(format!("host = {}", quoted(&self.host.to_string())));
        if self.port != self.scheme.port() {
            keys.push(format!("port = {}", self.port));
        }
        keys.push(format!("methods = {}", texts(&self.methods)));
        keys.push(format!("paths = {}", texts(&self.paths)));
        // Left out when empty, so that rules without `headers` keep text and digest of before the key existed.
        if !self.headers.is_empty() {
            keys.push(format!("headers = {}", texts(&self.headers)));
        }
        keys.extend(self.secret.iter().map(|name| format!("secret = {}", quoted(name))));
        if self.reach == Reach::Private {
            keys.push("private = true".to_owned());
        }
        keys.extend(self.ca.iter().map(|path| format!("ca = {}", quoted(path))));
        format!("{{ {} }}", keys.join(", "))
    }
}

impl Lack {
    /// Description of the difference between request and rule.
    pub fn explain(self, rule: &Rule, target: &RequestTarget) -> String {
        match self {
            Self::Host => format!("the host is {}, the rule's is {}", target.host(), rule.host),
            Self::Scheme => format!("the scheme is {}, the rule's is {}", target.scheme(), rule.scheme),
            Self::Port => format!("the port is {}, the rule's is {}", target.port(), rule.port),
            Self::Method => {
                format!("the method is {}, the rule's are {}", target.method(), rule.methods.join(" "))
            }
            Self::Path => format!("the path is {}, the rule's are {}", target.path(), rule.paths.join(" ")),
        }
    }
}

/// The line that grants these rules, as an operator would write it.
pub(crate) fn written(rules: &[Rule]) -> String {
    super::list(rules.iter().map(Rule::written))
}

/// Refuses a secret that could go to several hosts, or over plain HTTP to another machine.
fn secret_problem(scheme: Scheme, host: &HostPattern) -> Option<InvalidValueError> {
    match (scheme, host) {
        (_, HostPattern::Below(_)) => {
            Some(InvalidValueError::at("secret", "a secret goes to one host; name it without `*`"))
        }
        (Scheme::Https, HostPattern::Exact(_)) => None,
        (Scheme::Http, HostPattern::Exact(host)) if host.is_loopback() => None,
        (Scheme::Http, HostPattern::Exact(_)) => Some(InvalidValueError::at(
            "secret",
            r#"a secret is sent over https only (http to loopback); write scheme = "https""#,
        )),
    }
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
