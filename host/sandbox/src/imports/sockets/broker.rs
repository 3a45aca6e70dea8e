//! What decides about the sockets of one call: each use of an address is asked for and noted in the record before it is made, names
//! are looked up by egress, and what is opened and moved is counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use toolgate_base::meter::{Meter, StopError};
use toolgate_net::egress::EgressError;
use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::sockets::{Found, Grant, Pass, Protocol, SocketsDeniedError, may_bind};
use toolgate_policy::limits::call::{DATAGRAM_BYTES, HOST_CALL_FUEL};
use toolgate_state::audit::record::CallTrace;
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

use crate::imports::host_calls::Powers;

/// What decides for one call.
pub(crate) struct SocketBroker {
    powers: Arc<Powers>,
    meter: Meter,
    notes: CallTrace,
    found: Mutex<Found>,
}

impl SocketBroker {
    pub(crate) fn new(powers: &Arc<Powers>, meter: &Meter, notes: &CallTrace) -> Self {
        Self {
            powers: Arc::clone(powers),
            meter: meter.clone(),
            notes: notes.clone(),
            found: Mutex::default(),
        }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.powers.sockets
    }

    /// One more socket or name. Where nothing is granted, nothing is opened and nothing counted.
    pub(super) fn count_one(&self) -> Result<(), StopError> {
        let opens_any =
            [Protocol::Tcp, Protocol::Udp].into_iter().any(|protocol| self.grant().opens(protocol));
        if opens_any { self.meter.socket() } else { Ok(()) }
    }

    /// What counts for the call.
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Asks to bind a socket to an address, and notes it if that is refused.
    pub(super) fn bind(&self, address: SocketAddr) -> Result<(), ErrorCode> {
        may_bind(address).map_err(|refused| {
            self.refuse_ever(&format!("bind {address}"), &refused.to_string());
            ErrorCode::AccessDenied
        })
    }

    /// Whether datagrams of this address are heard: who is not sent to is not heard. They come uncalled, so it is not the guest's use.
    pub(super) fn hears(&self, address: SocketAddr) -> bool {
        self.allows(Protocol::Udp, address).is_ok()
    }

    /// Asks to connect or send to an address, and notes it.
    pub(super) fn reach(&self, protocol: Protocol, address: SocketAddr) -> Result<Pass, ErrorCode> {
        let port = address.port();
        match self.allows(protocol, address) {
            Ok(pass) => {
                let host = pass.rule().host.clone();
                self.notes.host(&format!("{protocol}://{host}:{port}"), Judged::Allowed);
                self.notes.attempt(Attempt::Socket { protocol, host, port }, Judged::Allowed);
                Ok(pass)
            }
            Err(refused) => {
                let host = self.found.lock().unwrap_or_else(PoisonError::into_inner).host(address.ip());
                let attempt = Attempt::Socket { protocol, host, port };
                self.refuse(&format!("{protocol}://{address}"), attempt, &refused.to_string());
                Err(ErrorCode::AccessDenied)
            }
        }
    }

    fn refuse(&self, what: &str, attempt: Attempt, why: &str) {
        self.notes.host(what, Judged::Refused);
        self.notes.attempt(attempt, Judged::Refused);
        tracing::debug!(why, "a socket was refused");
    }

    /// Refuses what no grant could allow.
    fn refuse_ever(&self, what: &str, why: &str) {
        self.refuse(what, Attempt::NoSocket { text: what.to_owned(), why: why.to_owned() }, why);
    }

    pub(super) fn refuse_listening(&self) {
        self.refuse_ever("listen", "plugins call and are not called");
    }

    /// One more datagram, either way.
    pub(super) fn count_datagram(&self, data: &[u8]) -> Result<(), StopError> {
        self.meter.charge(HOST_CALL_FUEL);
        self.meter.socket_bytes(data.len() as u64 + DATAGRAM_BYTES)
    }

    /// Whether the grant allows it, knowing what was found in this call.
    fn allows(&self, protocol: Protocol, address: SocketAddr) -> Result<Pass, SocketsDeniedError> {
        let own =
            self.powers.egress.own_addresses().ok_or(SocketsDeniedError::NotGranted(protocol, address))?;
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        self.grant().allow(&found, protocol, address, &own)
    }

    /// Looks a granted name up. What is found counts for the rules that name it, for the rest of this call.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, NoAddress> {
        let what = format!("lookup of {name}");
        let lookup = self.grant().allow_lookup(name).map_err(|refused| match &refused {
            SocketsDeniedError::NameNotGranted(host) => {
                self.refuse(&what, Attempt::Lookup(host.clone()), &refused.to_string());
                NoAddress::Denied
            }
            SocketsDeniedError::HostNameError(_) => {
                self.refuse_ever(&what, &refused.to_string());
                NoAddress::Malformed
            }
            SocketsDeniedError::NotGranted(..) | SocketsDeniedError::Bind(_) => NoAddress::Denied,
        })?;
        let what = format!("lookup of {}", lookup.host());
        self.notes.host(&what, Judged::Allowed);
        let attempt = Attempt::Lookup(lookup.host().clone());
        self.notes.attempt(attempt.clone(), Judged::Allowed);
        let addresses = self.powers.egress.look_up(&lookup).await.map_err(|failure| match failure {
            EgressError::Prohibited => {
                self.notes.turned_back(attempt, &what);
                NoAddress::Denied
            }
            _ => NoAddress::Unknown,
        })?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).keep(&lookup, &addresses);
        Ok(addresses)
    }
}

/// Why a name leads nowhere.
#[derive(Clone, Copy)]
pub(super) enum NoAddress {
    /// It is no name.
    Malformed,
    /// The grant does not name it, or does not reach where it leads.
    Denied,
    /// It has no address.
    Unknown,
}
