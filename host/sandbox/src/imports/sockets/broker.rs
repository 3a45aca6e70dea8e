//! Access control for the sockets of one call: each use of an address is checked and noted in the record before it
//! happens, names are resolved by egress, and sockets, names and bytes are counted.

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

/// Access control for one call.
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

    /// Counts one more socket or name. Without a grant nothing is opened, so nothing is counted.
    pub(super) fn count_one(&self) -> Result<(), StopError> {
        let opens_any =
            [Protocol::Tcp, Protocol::Udp].into_iter().any(|protocol| self.grant().opens(protocol));
        if opens_any { self.meter.socket() } else { Ok(()) }
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Checks binding to an address, and notes a refusal.
    pub(super) fn bind(&self, address: SocketAddr) -> Result<(), ErrorCode> {
        may_bind(address).map_err(|refused| {
            self.refuse_ever(&format!("bind {address}"), &refused.to_string());
            ErrorCode::AccessDenied
        })
    }

    /// Whether datagrams from this address are delivered: if the guest may send to it. Not noted, since unsolicited.
    pub(super) fn hears(&self, address: SocketAddr) -> bool {
        self.allows(Protocol::Udp, address).is_ok()
    }

    /// Checks and notes a connection or datagram to an address.
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
        self.grant().allow(&found, protocol, address, &own)
    }

    /// Resolves a granted name. Its addresses match the rules that name it, for the rest of this call.
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

/// Reason that a name has no usable address.
#[derive(Clone, Copy)]
pub(super) enum NoAddress {
    /// Not a valid host name.
    Malformed,
    /// Not granted, or resolves to addresses outside the grant.
    Denied,
    /// No address found.
    Unknown,
}
