//! Decisions about the sockets of one call: each use of an address is asked for and recorded before it is made, names are looked up
//! by egress, and what is opened and moved is counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;

use toolgate_base::meter::StopError;
use toolgate_net::egress::EgressError;
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::sockets::{Pass, Protocol, SocketsDeniedError, may_bind};
use toolgate_policy::limits::call::{DATAGRAM_BYTES, HOST_CALL_FUEL};

use crate::imports::host_calls::Broker;
use crate::protocol::sockets::SocketFault;

impl Broker {
    /// Whether any socket of a protocol may be opened.
    pub(super) fn opens(&self, protocol: Protocol) -> bool {
        self.powers.sockets.opens(protocol)
    }

    /// Counts one more socket or name. Without a grant nothing is opened, so nothing is counted.
    pub(super) fn count_one(&self) -> Result<(), StopError> {
        let opens_any = self.opens(Protocol::Tcp) || self.opens(Protocol::Udp);
        if opens_any { self.meter.socket() } else { Ok(()) }
    }

    /// Asks to bind a socket to an address, and notes it if that is refused.
    pub(super) fn ask_bind(&self, address: SocketAddr) -> Result<(), SocketFault> {
        may_bind(address).map_err(|refused| {
            self.refuse_ever(&format!("bind {address}"), &refused.to_string());
            SocketFault::AccessDenied
        })
    }

    /// The pass for datagrams of an address: what may not be sent to is not received from. They arrive unasked, so that it is not a
    /// use of the guest's.
    pub(super) fn may_receive(&self, address: SocketAddr) -> Option<Pass> {
        self.allows(Protocol::Udp, address).ok()
    }

    /// Asks to connect or send to an address, and notes it.
    pub(super) fn reach(&self, protocol: Protocol, address: SocketAddr) -> Result<Pass, SocketFault> {
        let port = address.port();
        match self.allows(protocol, address) {
            Ok(pass) => {
                let host = pass.rule().host.clone();
                self.notes.host(&format!("{protocol}://{host}:{port}"), AttemptVerdict::Allowed);
                self.notes.attempt(Attempt::Socket { protocol, host, port }, AttemptVerdict::Allowed);
                Ok(pass)
            }
            Err(refused) => {
                let host = self.found.lock().unwrap_or_else(PoisonError::into_inner).host(address.ip());
                let attempt = Attempt::Socket { protocol, host, port };
                self.refuse(&format!("{protocol}://{address}"), attempt, &refused.to_string());
                Err(SocketFault::AccessDenied)
            }
        }
    }

    fn refuse(&self, what: &str, attempt: Attempt, why: &str) {
        self.notes.host(what, AttemptVerdict::Refused);
        self.notes.attempt(attempt, AttemptVerdict::Refused);
        tracing::debug!(why, "a socket was refused");
    }

    /// Refuses an operation that no grant could allow.
    fn refuse_ever(&self, what: &str, why: &str) {
        self.refuse(what, Attempt::NoSocket { text: what.to_owned(), why: why.to_owned() }, why);
    }

    pub(super) fn refuse_listening(&self) {
        self.refuse_ever("listen", "plugins call and are not called");
    }

    /// Counts one datagram, sent or received.
    pub(super) fn count_datagram(&self, data: &[u8]) -> Result<(), StopError> {
        self.meter.charge(HOST_CALL_FUEL);
        self.meter.socket_bytes(data.len() as u64 + DATAGRAM_BYTES)
    }

    /// Checks the grant, with the addresses resolved in this call.
    fn allows(&self, protocol: Protocol, address: SocketAddr) -> Result<Pass, SocketsDeniedError> {
        let own =
            self.powers.egress.own_addresses().ok_or(SocketsDeniedError::NotGranted(protocol, address))?;
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        self.powers.sockets.allow(&found, protocol, address, &own)
    }

    /// Looks a granted name up. What is found counts for the rules that name it, for the rest of this call.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, SocketFault> {
        let what = format!("lookup of {name}");
        let lookup = self.powers.sockets.allow_lookup(name).map_err(|refused| match &refused {
            SocketsDeniedError::NameNotGranted(host) => {
                self.refuse(&what, Attempt::Lookup(host.clone()), &refused.to_string());
                SocketFault::AccessDenied
            }
            SocketsDeniedError::HostNameError(_) => {
                self.refuse_ever(&what, &refused.to_string());
                SocketFault::InvalidArgument
            }
            SocketsDeniedError::NotGranted(..) | SocketsDeniedError::Bind(_) => SocketFault::AccessDenied,
        })?;
        let what = format!("lookup of {}", lookup.host());
        self.notes.host(&what, AttemptVerdict::Allowed);
        let attempt = Attempt::Lookup(lookup.host().clone());
        self.notes.attempt(attempt.clone(), AttemptVerdict::Allowed);
        let addresses = self.powers.egress.look_up(&lookup).await.map_err(|failure| match failure {
            EgressError::Prohibited => {
                self.notes.turned_back(attempt, &what);
                SocketFault::AccessDenied
            }
            _ => SocketFault::NameUnresolvable,
        })?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).keep(&lookup, &addresses);
        Ok(addresses)
    }
}
