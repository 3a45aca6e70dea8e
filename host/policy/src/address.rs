//! Hosts and addresses: one normal form for a host name, patterns over it, and the addresses no connection may reach.
//! Resolving and connecting happen in the runtime.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::InvalidValueError;

/// A host in normal form: lower case, IDNA to ASCII, no trailing dot. An address in any notation (decimal, octal,
/// hexadecimal, bracketed) is an address. The normal form is matched *and* sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name to be resolved.
    Name(String),
    /// A literal address.
    Address(IpAddr),
}

/// The hosts a grant covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// One host.
    Exact(Host),
    /// Any name that ends in `.suffix`; never the suffix itself.
    Below(String),
}

/// Networks that a grant reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Globally routable addresses only.
    Global,
    /// Loopback, RFC 1918 and unique local addresses as well.
    Private,
}

/// Reason why no connection to an address is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockedAddressError {
    /// Loopback, RFC 1918, unique local (RFC 4193): reachable with `private = true`.
    #[error("{0} is in a private network; `private = true` in the grant allows that")]
    Private(IpAddr),
    /// An address of one of this machine's interfaces: reachable with `private = true`.
    #[error("{0} is an address of this machine; `private = true` in the grant allows that")]
    Own(IpAddr),
    /// Link-local, metadata services, multicast, documentation, reserved: reachable with no grant.
    #[error("{0} is {1}; no grant reaches it")]
    Never(IpAddr, &'static str),
}

/// A text that is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host name or address")]
pub struct HostNameError(pub String);

impl Host {
    /// Reads a host as written in a URL, without a port. Refuses one that is empty, too long, or has a character no
    /// host has.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let refused = || HostNameError(text.to_owned());
        match url::Host::parse(text).map_err(|_| refused())? {
            url::Host::Ipv4(address) => Ok(Self::Address(address.into())),
            url::Host::Ipv6(address) => Ok(Self::Address(address.into())),
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                let labels_fit =
                    name.split('.').all(|label| (1..=63).contains(&label.len()) && is_label(label));
                if name.len() > 253 || !labels_fit { Err(refused()) } else { Ok(Self::Name(name.to_owned())) }
            }
        }
    }

    /// Whether this host is this machine by name or address, so that traffic to it stays on it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => embedded(*address).is_loopback(),
        }
    }
}

impl HostPattern {
    /// Reads `name`, an address, or `*.suffix`. Refuses anything else, `*` alone included: a grant names the hosts it
    /// trusts.
    pub fn parse(text: &str) -> Result<Self, InvalidValueError> {
        let not_a_pattern = || {
            InvalidValueError::new(format!(
                "`{text}` is not a host; write a name, an address, or *.suffix such as *.example.com"
            ))
        };
        let Some(suffix) = text.strip_prefix("*.") else {
            return Host::parse(text).map(Self::Exact).map_err(|_| not_a_pattern());
        };
        match Host::parse(suffix) {
            Ok(Host::Name(suffix)) if suffix.contains('.') || suffix == "localhost" => {
                Ok(Self::Below(suffix))
            }
            Ok(Host::Name(_)) => {
                Err(InvalidValueError::new(format!("`{text}` would grant a whole top-level domain")))
            }
            Ok(Host::Address(_)) | Err(_) => Err(not_a_pattern()),
        }
    }

    /// Whether the pattern covers `host`.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(wanted), host) => wanted == host,
            (Self::Below(suffix), Host::Name(name)) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

/// Checks that a connection to `address` may be opened from a machine whose interfaces have the addresses `own`.
/// IPv6 forms that carry an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo) are judged by that address.
pub fn may_connect(address: IpAddr, reach: Reach, own: &[IpAddr]) -> Result<(), BlockedAddressError> {
    let inner = embedded(address);
    if let Some(what) = never(inner) {
        return Err(BlockedAddressError::Never(address, what));
    }
    match reach {
        Reach::Private => Ok(()),
        Reach::Global if is_private(inner) => Err(BlockedAddressError::Private(address)),
        Reach::Global if own.iter().any(|own| *own == address || embedded(*own) == inner) => {
            Err(BlockedAddressError::Own(address))
        }
        Reach::Global => Ok(()),
    }
}

/// Whether cloud providers serve credentials to their machines under this name.
pub fn is_metadata_name(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
    ];
    NAMES.contains(&name)
}

/// The IPv4 address inside an IPv6 address, if it is a form that carries one; else the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [_, b, c, _, _, _, g, h] = v6.segments();
    let has_it_last =
        ["::ffff:0:0/96", "64:ff9b::/96", "::ffff:0:0:0/96"].into_iter().any(|net| is_in(address, net));
    if has_it_last || (is_in(address, "::/96") && !v6.is_loopback() && !v6.is_unspecified()) {
        v4_of(g, h)
    } else if is_in(address, "2002::/16") {
        v4_of(b, c)
    } else if is_in(address, "2001::/32") {
        v4_of(!g, !h)
    } else {
        address
    }
}

fn v4_of(high: u16, low: u16) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into()
}

/// Loopback, RFC 1918, unique local (RFC 4193).
fn is_private(address: IpAddr) -> bool {
    const NETS: [&str; 6] =
        ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"];
    NETS.into_iter().any(|net| is_in(address, net))
}

/// IANA's special-purpose registries (RFC 6890 and successors), less what `private = true` opens, plus the addresses of
/// metadata services in ordinary networks.
fn never(address: IpAddr) -> Option<&'static str> {
    const NETS: [(&str, &str); 26] = [
        ("169.254.0.0/16", "link-local, where metadata services live"),
        ("168.63.129.16/32", "a metadata service"),
        ("192.0.0.192/32", "a metadata service"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("0.0.0.0/8", "no destination"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "a deprecated relay"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("fd00:ec2::/32", "a metadata service"),
        ("fd20:ce::254/128", "a metadata service"),
        ("::/128", "no destination"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local, deprecated"),
        ("ff00::/8", "multicast"),
        ("64:ff9b:1::/48", "a local translation prefix"),
        ("100::/64", "a discard prefix"),
        ("2001:db8::/32", "reserved for documentation"),
        ("3fff::/20", "reserved for documentation"),
    ];
    if let Some((_, what)) = NETS.into_iter().find(|(net, _)| is_in(address, net)) {
        return Some(what);
    }
    // IANA assigns global unicast addresses from 2000::/3 only (RFC 4291 §2.4).
    let is_assigned = address.is_ipv4() || is_in(address, "2000::/3") || is_private(address);
    (!is_assigned).then_some("not assigned")
}

fn is_in(address: IpAddr, net: &str) -> bool {
    // A network of the tables above that does not parse contains everything: it refuses, and the tests notice.
    net.parse::<IpNet>().map_or(true, |net| net.contains(&address))
}

fn is_label(label: &str) -> bool {
    label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(v4)) => write!(f, "{v4}"),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
