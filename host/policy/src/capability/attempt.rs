//! Attempts of a guest to use a capability, and their verdicts, as records, `explain` and `learn` show them. Nothing is
//! decided here.

use super::files::Use;
use super::sockets::Protocol;
use crate::Capability;
use crate::address::Host;
use crate::request::RequestTarget;

/// One use of a capability that a guest attempted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// A file or a folder, by the guest's path. The path ends in a slash if it was opened as a folder and refused.
    File {
        /// Path as the guest names it.
        path: String,
        /// Requested use.
        wanted: Use,
    },
    /// A request, without its query.
    Request(RequestTarget),
    /// A request, without its query, with a header field that its rule does not name.
    Header {
        /// The request.
        request: RequestTarget,
        /// Name of the field, in lower case.
        name: String,
    },
    /// A request that no grant can allow.
    NoRequest {
        /// Description of the request.
        text: String,
        /// Reason why no grant allows it.
        why: String,
    },
    /// A name lookup for sockets. Port and protocol are not known yet.
    Lookup(Host),
    /// A TCP connection or a UDP datagram.
    Socket {
        /// Protocol of the socket.
        protocol: Protocol,
        /// Name under which the address was resolved in the same call, else the address.
        host: Host,
        /// Port of the remote end.
        port: u16,
    },
    /// A use of a socket that no grant can allow.
    NoSocket {
        /// Description of the use.
        text: String,
        /// Reason why no grant allows it.
        why: String,
    },
    /// A read of the configuration value of this key.
    Config(String),
    /// A use of the store.
    Keyvalue,
    /// A read of a clock.
    Clock,
    /// A request for random numbers.
    Random,
}

/// Verdict on an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptVerdict {
    /// The grant covers it.
    Allowed,
    /// The grant does not cover it.
    Refused,
}

impl Attempt {
    /// Capability the attempt falls under.
    pub const fn capability(&self) -> Capability {
        match self {
            Self::File { .. } => Capability::Files,
            Self::Request(_) | Self::Header { .. } | Self::NoRequest { .. } => Capability::Http,
            Self::Lookup(_) | Self::Socket { .. } | Self::NoSocket { .. } => Capability::Sockets,
            Self::Config(_) => Capability::Config,
            Self::Keyvalue => Capability::Keyvalue,
            Self::Clock => Capability::Clock,
            Self::Random => Capability::Random,
        }
    }
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, wanted } => write!(f, "{} {path}", wanted.word()),
            Self::Request(target) => write!(f, "{} {}", target.method(), target.url()),
            Self::Header { request, name } => {
                write!(f, "{} {} with the header {name}", request.method(), request.url())
            }
            Self::NoRequest { text, why } | Self::NoSocket { text, why } => write!(f, "{text} ({why})"),
            Self::Lookup(host) => write!(f, "lookup of {host}"),
            Self::Socket { protocol, host, port } => write!(f, "{protocol}://{host}:{port}"),
            Self::Config(key) => write!(f, "configuration value {key}"),
            Self::Keyvalue => f.write_str("use of a store"),
            Self::Clock => f.write_str("a look at a clock"),
            Self::Random => f.write_str("random numbers"),
        }
    }
}
