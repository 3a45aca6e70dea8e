//! `sockets`: TCP and UDP to granted places. The engine's library does the work, but for TCP by WASI 0.3; each address is
//! asked for and noted in the record before it is used, names are looked up by egress, and bytes are counted on their way.
//! Nothing listens. For a worker the sockets are held here all the same: it says what it wants, and the same gate is asked.

pub(crate) mod act;
mod afar;
mod datagram;
pub(crate) mod held;
mod knob;
mod lookup;
mod p3;
mod tcp;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::sockets::{Found, Grant, Pass, Protocol, Refused, may_bind};
use toolgate_policy::limits::call::{CallLimit, DATAGRAM_BYTES, HOST_CALL_FUEL};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::{self, instance_network, network};
use wasmtime_wasi::p2::{Network, SocketError};
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtx, WasiSocketsCtxView};

use super::Ctx;
use super::outside::{Outside, Powers, Side};
use crate::audit::record::Notes;
use crate::egress::Failure;
use crate::meter::{Meter, Stop};
use p3::connection::Socket;

/// What one call holds.
pub(crate) struct State {
    ctx: WasiSocketsCtx,
    gate: Arc<Gate>,
}

/// What decides for one call. The library asks it before each use of an address.
pub(crate) struct Gate {
    powers: Arc<Powers>,
    meter: Meter,
    notes: Notes,
    found: Mutex<Found>,
    /// How many datagrams may be waited for at once: one for each socket that there may be.
    turns: Semaphore,
}

impl State {
    pub(crate) fn new(powers: &Arc<Powers>, meter: &Meter, notes: &Notes) -> Self {
        let gate = Arc::new(Gate::new(powers, meter, notes));
        let grant = gate.grant();
        let ctx = if opens_any(grant) { asking(grant, &gate) } else { WasiSocketsCtx::default() };
        Self { ctx, gate }
    }
}

fn turns(sockets: u64) -> usize {
    usize::try_from(sockets).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS)
}

/// Whether there is anything to open. Where there is not, the library denies everything.
fn opens_any(grant: &Grant) -> bool {
    grant.opens(Protocol::Tcp) || grant.opens(Protocol::Udp)
}

/// The library's part, which asks `gate`.
fn asking(grant: &Grant, gate: &Arc<Gate>) -> WasiSocketsCtx {
    let asked = Arc::clone(gate);
    WasiCtxBuilder::new()
        .allow_tcp(grant.opens(Protocol::Tcp))
        .allow_udp(grant.opens(Protocol::Udp))
        .socket_addr_check(move |address, wanted| {
            let may = asked.ask(address, wanted);
            Box::pin(async move { may })
        })
        .build()
        .sockets()
        .clone()
}

impl Gate {
    pub(crate) fn new(powers: &Arc<Powers>, meter: &Meter, notes: &Notes) -> Self {
        Self {
            powers: Arc::clone(powers),
            meter: meter.clone(),
            notes: notes.clone(),
            found: Mutex::default(),
            turns: Semaphore::new(turns(meter.limit(CallLimit::Sockets))),
        }
    }

    fn grant(&self) -> &Grant {
        &self.powers.sockets
    }

    /// One more socket or name. Where nothing is granted, nothing is opened and nothing counted.
    fn count_one(&self) -> Result<(), Stop> {
        if opens_any(self.grant()) { self.meter.socket() } else { Ok(()) }
    }

    /// Whether the call may go on.
    fn goes_on(&self) -> Result<(), Stop> {
        self.meter.crossed(false, u64::MAX)
    }

    /// What connects, and the pass for where to. A socket that is refused is used up like one that failed.
    fn connecting(&self, socket: &mut Socket, address: SocketAddr) -> Result<(TcpSocket, Pass), ErrorCode> {
        let connecting = socket.connecting(address)?;
        match self.ask_out(Protocol::Tcp, address) {
            Some(pass) => Ok((connecting, pass)),
            None => Err(socket.failed(ErrorCode::AccessDenied)),
        }
    }

    /// Asks for a use of an address, and notes it.
    fn ask(&self, address: SocketAddr, wanted: SocketAddrUse) -> bool {
        match wanted {
            SocketAddrUse::TcpConnect => self.ask_out(Protocol::Tcp, address).is_some(),
            SocketAddrUse::UdpSend => self.ask_out(Protocol::Udp, address).is_some(),
            // Who is not sent to is not heard. It came uncalled, so it is not the guest's use.
            SocketAddrUse::UdpReceive => self.allows(Protocol::Udp, address).is_ok(),
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => match may_bind(address) {
                Ok(()) => true,
                Err(refused) => self.refuse_ever(&format!("bind {address}"), &refused.to_string()),
            },
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        }
    }

    /// Asks to connect or send to an address, and notes it.
    fn ask_out(&self, protocol: Protocol, address: SocketAddr) -> Option<Pass> {
        let port = address.port();
        match self.allows(protocol, address) {
            Ok(pass) => {
                let host = pass.rule().host.clone();
                self.notes.host(&format!("{protocol}://{host}:{port}"), Judged::Allowed);
                self.notes.attempt(Attempt::Socket { protocol, host, port }, Judged::Allowed);
                Some(pass)
            }
            Err(refused) => {
                let host = self.found.lock().unwrap_or_else(PoisonError::into_inner).host(address.ip());
                let attempt = Attempt::Socket { protocol, host, port };
                self.refuse(&format!("{protocol}://{address}"), attempt, &refused.to_string());
                None
            }
        }
    }

    fn refuse(&self, what: &str, attempt: Attempt, why: &str) -> bool {
        self.notes.host(what, Judged::Refused);
        self.notes.attempt(attempt, Judged::Refused);
        tracing::debug!(why, "a socket was refused");
        false
    }

    /// Refuses what no grant could allow.
    fn refuse_ever(&self, what: &str, why: &str) -> bool {
        self.refuse(what, Attempt::NoSocket { text: what.to_owned(), why: why.to_owned() }, why)
    }

    fn refuse_listening(&self) {
        self.refuse_ever("listen", "plugins call and are not called");
    }

    /// One more datagram, either way.
    fn count_datagram(&self, data: &[u8]) -> Result<(), Stop> {
        self.meter.charge(HOST_CALL_FUEL);
        self.meter.socket_bytes(data.len() as u64 + DATAGRAM_BYTES)
    }

    /// Whether the grant allows it, knowing what was found in this call.
    fn allows(&self, protocol: Protocol, address: SocketAddr) -> Result<Pass, Refused> {
        let own = self.powers.egress.own_addresses().ok_or(Refused::NotGranted(protocol, address))?;
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        self.grant().allow(&found, protocol, address, &own)
    }

    /// Looks a granted name up. What is found counts for the rules that name it, for the rest of this call.
    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, NoAddress> {
        let what = format!("lookup of {name}");
        let lookup = self.grant().allow_lookup(name).map_err(|refused| match &refused {
            Refused::NameNotGranted(host) => {
                self.refuse(&what, Attempt::Lookup(host.clone()), &refused.to_string());
                NoAddress::Denied
            }
            Refused::NotAHost(_) => {
                self.refuse_ever(&what, &refused.to_string());
                NoAddress::Malformed
            }
            Refused::NotGranted(..) | Refused::Bind(_) => NoAddress::Denied,
        })?;
        let what = format!("lookup of {}", lookup.host());
        self.notes.host(&what, Judged::Allowed);
        let attempt = Attempt::Lookup(lookup.host().clone());
        self.notes.attempt(attempt.clone(), Judged::Allowed);
        let addresses = self.powers.egress.look_up(&lookup).await.map_err(|failure| match failure {
            Failure::Prohibited => {
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
enum NoAddress {
    /// It is no name.
    Malformed,
    /// The grant does not name it, or does not reach where it leads.
    Denied,
    /// It has no address.
    Unknown,
}

pub(super) fn link(linker: &mut Linker<Ctx>, side: Side) -> wasmtime::Result<()> {
    let options = network::LinkOptions::default();
    network::add_to_linker::<Ctx, Sockets>(linker, &options, view)?;
    instance_network::add_to_linker::<Ctx, Sockets>(linker, view)?;
    sockets::ip_name_lookup::add_to_linker::<Ctx, Sockets>(linker, view)?;
    if side == Side::Afar {
        return afar::link(linker);
    }
    sockets::tcp::add_to_linker::<Ctx, Sockets>(linker, view)?;
    sockets::tcp_create_socket::add_to_linker::<Ctx, Sockets>(linker, view)?;
    sockets::udp::add_to_linker::<Ctx, Sockets>(linker, view)?;
    sockets::udp_create_socket::add_to_linker::<Ctx, Sockets>(linker, view)
}

pub(super) use p3::link as link_p3;

struct Sockets;

impl HasData for Sockets {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    ctx: &'a mut WasiSocketsCtx,
    gate: &'a Arc<Gate>,
    table: &'a mut ResourceTable,
    outside: &'a Outside,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    let State { ctx: library, gate } = &mut ctx.sockets;
    View { ctx: library, gate, table: &mut ctx.table, outside: &ctx.outside }
}

impl View<'_> {
    fn inner(&mut self) -> WasiSocketsCtxView<'_> {
        WasiSocketsCtxView { ctx: self.ctx, table: self.table }
    }

    /// Looks a name up, in this process or from it.
    fn looking_up(&self, name: String) -> Result<BoxFuture<'static, Result<Vec<IpAddr>, NoAddress>>, Stop> {
        match self.outside {
            Outside::Here(_) => {
                self.gate.count_one()?;
                let gate = Arc::clone(self.gate);
                Ok(async move { gate.look_up(&name).await }.boxed())
            }
            Outside::Afar(afar) => Ok(afar::look_up(Arc::clone(afar), name).boxed()),
        }
    }
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        network::Host::convert_error_code(&mut self.inner(), error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<network::ErrorCode>> {
        network::Host::network_error_code(&mut self.inner(), error)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.inner(), network)
    }
}

impl instance_network::Host for View<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        self.inner().instance_network()
    }
}
