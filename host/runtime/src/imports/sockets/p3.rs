//! The same for WASI 0.3: the same gate is asked, and what moves is counted. UDP is the engine's library's; TCP has sockets
//! of our own, because nobody else can look into the streams of the library's.

pub(super) mod connection;
pub(super) mod stream;
mod tcp;
mod udp;

use std::io;
use std::sync::Arc;

use toolgate_policy::capability::sockets::Protocol;
use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::{self, ErrorCode as NotFound};
use wasmtime_wasi::p3::bindings::sockets::types::{self as t, ErrorCode, IpAddress};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};

use super::{Gate, NoAddress, Sockets, View, afar, view};
use crate::imports::Ctx;
use crate::imports::outside::Side;

pub(in crate::imports) fn link(linker: &mut Linker<Ctx>, side: Side) -> wasmtime::Result<()> {
    match side {
        Side::Here => t::add_to_linker::<Ctx, Sockets>(linker, view)?,
        Side::Afar => afar::link_p3(linker)?,
    }
    ip_name_lookup::add_to_linker::<Ctx, Sockets>(linker, view)
}

type Store = Accessor<Ctx, Sockets>;

/// What a guest is told of an error of the system's.
pub(super) fn told(error: impl Into<io::Error>) -> ErrorCode {
    let error = error.into();
    match error.kind() {
        io::ErrorKind::BrokenPipe => ErrorCode::ConnectionBroken,
        _ => error.into(),
    }
}

fn gate(store: &Store) -> Arc<Gate> {
    store.with(|mut access| Arc::clone(access.get().gate))
}

impl View<'_> {
    /// Counts a socket that is about to be opened, if any of its protocol may be.
    fn ask_one(&self, protocol: Protocol) -> SocketResult<()> {
        self.gate.count_one().map_err(SocketError::trap)?;
        if self.gate.grant().opens(protocol) { Ok(()) } else { Err(ErrorCode::AccessDenied.into()) }
    }
}

impl t::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        t::Host::convert_error_code(&mut self.inner(), error)
    }
}

impl ip_name_lookup::Host for View<'_> {}

impl ip_name_lookup::HostWithStore<Ctx> for Sockets {
    async fn resolve_addresses(
        store: &Store,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, NotFound>> {
        let looking = store.with(|mut access| access.get().looking_up(name))?;
        let found = looking.await;
        // What ends the call may have come with the answer.
        store.with(|mut access| access.get().gate.goes_on())?;
        Ok(found.map(|addresses| addresses.into_iter().map(IpAddress::from).collect()).map_err(
            |why| match why {
                NoAddress::Malformed => NotFound::InvalidArgument,
                NoAddress::Denied => NotFound::AccessDenied,
                NoAddress::Unknown => NotFound::NameUnresolvable,
            },
        ))
    }
}
