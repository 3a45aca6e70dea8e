//! `sockets`: hosts and ports a plugin may connect to by TCP or send to by UDP. Guests use addresses, operators write
//! names: an address counts for a name only if the host resolved that name for the same call. The runtime resolves
//! and connects. No grant lets a plugin listen.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::Effects;
use crate::InvalidValueError;
use crate::address::{Host, HostNameError, Reach, is_metadata_name, may_connect};
use crate::redact::quoted;

/// One rule as the operator wrote it, not yet checked.
#[derive(Debug, Clone, Default)]
pub struct RuleText {
    /// `host`.
    pub host: String,
    /// `port`.
    pub port: i64,
    /// `protocol`; default tcp.
    pub protocol: Option<String>,
    /// `private`.
    pub private: bool,
}

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// One rule: this host, at this port, by this protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Host to reach. There are no patterns.
    pub host: Host,
    /// Port of that host.
    pub port: u16,
    /// Protocol to reach it by.
    pub protocol: Protocol,
    /// Networks the rule reaches.
    pub reach: Reach,
}

/// The rules. Empty: the interface is linked and refuses every use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    rules: Vec<Rule>,
    /// Set by `learn` only: lets a guest open sockets, so that its attempts are seen. Never configured.
    listening: bool,
}

/// Proof that the guest may have this name resolved, now.
#[must_use]
#[derive(Debug)]
pub struct Lookup {
    host: Host,
    reach: Reach,
}

/// Proof that the guest may connect or send to this address, now, under this rule.
#[must_use]
#[derive(Debug)]
pub struct Pass {
    address: SocketAddr,
    rule: Rule,
}

/// Addresses resolved for granted names in one call. Each call begins with none.
#[derive(Debug, Default)]
pub struct Found(BTreeSet<(Host, IpAddr)>);

/// Reason why a use of sockets is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocketsDeniedError {
    /// Not a host name.
    #[error(transparent)]
    HostNameError(#[from] HostNameError),
    /// No rule has this name.
    #[error("no rule of the sockets grant names {0}")]
    NameNotGranted(Host),
    /// No rule covers the address.
    #[error("no rule of the sockets grant covers {0}://{1}")]
    NotGranted(Protocol, SocketAddr),
    /// Binding to a specific address or port, where others could connect.
    #[error("{0} cannot be bound: plugins call and are not called")]
    Bind(SocketAddr),
}

impl Grant {
    /// Checks what an operator wrote. Names everything that is wrong, each with its place.
    pub fn new(rules: Vec<RuleText>) -> Result<Self, Vec<InvalidValueError>> {
        super::each(rules, Rule::new).map(|rules| Self { rules, listening: false })
    }

    /// The rules, in the operator's order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The line that grants it, as an operator would write it.
    pub fn written(&self) -> String {
        written(&self.rules)
    }

    /// The same grant, but sockets of either protocol can be opened, so that `learn` sees where they would lead. It
    /// allows no connection more.
    #[must_use]
    pub fn listening(self) -> Self {
        Self { listening: true, ..self }
    }

    /// Effects of the grant. Socket traffic is not inspected, so it may read and write.
    pub fn effects(&self) -> Effects {
        let some = !self.rules.is_empty();
        Effects { reads: some, writes: some, reaches_out: some }
    }

    /// Whether a guest may open a socket of this protocol. Each destination is checked later.
    pub fn opens(&self, protocol: Protocol) -> bool {
        self.listening || self.rules.iter().any(|rule| rule.protocol == protocol)
    }

    /// The rules that have a host, each with its index in the grant.
    pub fn naming(&self, host: &Host) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate().filter(move |(_, rule)| rule.host == *host)
    }

    /// Checks that a guest may have `name` resolved: a rule must have it.
    pub fn allow_lookup(&self, name: &str) -> Result<Lookup, SocketsDeniedError> {
        // Guests write IPv6 addresses without brackets.
        let host = name.parse().map(Host::Address).or_else(|_| Host::parse(name))?;
        if self.naming(&host).next().is_none() {
            return Err(SocketsDeniedError::NameNotGranted(host));
        }
        let private = self.naming(&host).any(|(_, rule)| rule.reach == Reach::Private);
        Ok(Lookup { reach: if private { Reach::Private } else { Reach::Global }, host })
    }

    /// Checks that a guest may connect or send to this address. A rule must have the address itself, or a name that
    /// resolved to it in this call. `own` are the addresses of this machine's interfaces.
    pub fn allow(
        &self,
        found: &Found,
        protocol: Protocol,
        address: SocketAddr,
        own: &[IpAddr],
    ) -> Result<Pass, SocketsDeniedError> {
        let ip = address.ip();
        let leads_there = |rule: &Rule| match &rule.host {
            Host::Address(granted) => *granted == ip,
            Host::Name(_) => found.0.contains(&(rule.host.clone(), ip)),
        };
        let covers = |rule: &&Rule| {
            rule.protocol == protocol
                && rule.port == address.port()
                && may_connect(ip, rule.reach, own).is_ok()
                && leads_there(rule)
        };
        match self.rules.iter().find(covers) {
            Some(rule) => Ok(Pass { address, rule: rule.clone() }),
            None => Err(SocketsDeniedError::NotGranted(protocol, address)),
        }
    }
}

/// The line that grants these rules, as an operator would write it.
pub fn written(rules: &[Rule]) -> String {
    super::list(rules.iter().map(Rule::written))
}

/// Checks that a guest may bind a socket to `address`. Toolchains bind to the unspecified address and port 0 before
/// they send; anything else could accept traffic.
pub fn may_bind(address: SocketAddr) -> Result<(), SocketsDeniedError> {
    if address.ip().is_unspecified() && address.port() == 0 {
        Ok(())
    } else {
        Err(SocketsDeniedError::Bind(address))
    }
}

impl Found {
    /// Adds the addresses of an allowed lookup.
    pub fn keep(&mut self, lookup: &Lookup, addresses: &[IpAddr]) {
        self.0.extend(addresses.iter().map(|address| (lookup.host.clone(), *address)));
    }

    /// Name under which an address was resolved in this call, else the address itself.
    pub fn host(&self, address: IpAddr) -> Host {
        let named = self.0.iter().find(|(_, found)| *found == address);
        named.map_or(Host::Address(address), |(name, _)| name.clone())
    }
}

impl Lookup {
    /// Host to resolve.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The widest reach of the rules that have it. The reach of each rule is checked again when an address is used.
    pub fn reach(&self) -> Reach {
        self.reach
    }
}

impl Pass {
    /// Address to connect or send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Rule that allows it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }
}

impl Rule {
    /// The rule as an operator would write it, without defaults.
    pub fn written(&self) -> String {
        let mut keys =
            vec![format!("host = {}", quoted(&self.host.to_string())), format!("port = {}", self.port)];
        if self.protocol != Protocol::Tcp {
            keys.push(format!("protocol = {}", quoted(&self.protocol.to_string())));
        }
        if self.reach == Reach::Private {
            keys.push("private = true".to_owned());
        }
        format!("{{ {} }}", keys.join(", "))
    }

    fn new(text: RuleText) -> Result<Self, Vec<InvalidValueError>> {
        let mut problems = Vec::new();
        let protocol = match text.protocol.as_deref() {
            None | Some("tcp") => Protocol::Tcp,
            Some("udp") => Protocol::Udp,
            Some(other) => {
                let why = format!(r#"`{other}` is not a protocol; write "tcp" or "udp""#);
                problems.push(InvalidValueError::at("protocol", why));
                Protocol::Tcp
            }
        };
        let port = u16::try_from(text.port).ok().filter(|port| *port > 0);
        if port.is_none() {
            problems.push(InvalidValueError::at("port", "a port is 1 to 65535"));
        }
        let reach = if text.private { Reach::Private } else { Reach::Global };
        let host = Host::parse(&text.host).ok();
        let refused = match &host {
            Some(Host::Address(address)) => {
                may_connect(*address, reach, &[]).err().map(|why| why.to_string())
            }
            Some(Host::Name(name)) => is_metadata_name(name)
                .then(|| format!("`{name}` is where clouds serve credentials; no grant reaches it")),
            None => {
                let host = &text.host;
                Some(format!("`{host}` is not a host; write one name or address (`*` is not for sockets)"))
            }
        };
        problems.extend(refused.map(|why| InvalidValueError::at("host", why)));
        match (host, port) {
            (Some(host), Some(port)) if problems.is_empty() => Ok(Self { host, port, protocol, reach }),
            _ => Err(problems),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.protocol, self.host, self.port)
    }
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
