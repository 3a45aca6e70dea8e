//! What a guest wanted of the outside, and what it was told: how records, `explain` and `learn` speak of it. Nothing is
//! decided here.

use super::files::Use;
use super::sockets::Protocol;
use crate::Capability;
use crate::address::Host;
use crate::request::RequestTarget;

/// Something that a guest wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// A file or a folder, by the name that the guest has for it: a slash at its end where it was opened as a folder and
    /// refused.
    File {
        /// Its name.
        path: String,
        /// For what.
        wanted: Use,
    },
    /// To send a request. Without its query.
    Request(RequestTarget),
    /// To send a request with a header field that its rule does not name. Without its query.
    Header {
        /// The request.
        request: RequestTarget,
        /// The field's name, in lower case.
        name: String,
    },
    /// To send what is no request that anybody could be granted.
    NoRequest {
        /// What it was.
        text: String,
        /// Why it is none.
        why: String,
    },
    /// To have a name looked up for sockets. For which port and protocol is not seen then.
    Lookup(Host),
    /// To connect, or to send a datagram.
    Socket {
        /// How.
        protocol: Protocol,
        /// Where: the name under which the address was found in the same call, else the address.
        host: Host,
        /// At which port.
        port: u16,
    },
    /// To do with a socket what nobody could be granted.
    NoSocket {
        /// What it was.
        text: String,
        /// Why nobody could.
        why: String,
    },
    /// The configuration value of this key.
    Config(String),
    /// To use a store.
    Keyvalue,
    /// To look at a clock.
    Clock,
    /// Random numbers.
    Random,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judged {
    /// It was allowed.
    Allowed,
    /// It was refused.
    Refused,
}

impl Attempt {
    /// Which word it falls under.
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
