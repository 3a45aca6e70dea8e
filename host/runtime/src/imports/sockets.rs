//! `sockets`: linked without power. No grant gives it any yet, so every socket, name and address is refused.

use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::sockets;
use wasmtime_wasi::p3::bindings::sockets as p3;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtx, WasiSocketsCtxView};

use super::Ctx;

/// The engine's library denies everything until it is told otherwise; nothing here tells it.
#[derive(Default)]
pub(crate) struct State(WasiSocketsCtx);

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    sockets::network::add_to_linker::<Ctx, WasiSockets>(
        linker,
        &sockets::network::LinkOptions::default(),
        view,
    )?;
    sockets::instance_network::add_to_linker::<Ctx, WasiSockets>(linker, view)?;
    sockets::ip_name_lookup::add_to_linker::<Ctx, WasiSockets>(linker, view)?;
    sockets::tcp::add_to_linker::<Ctx, WasiSockets>(linker, view)?;
    sockets::tcp_create_socket::add_to_linker::<Ctx, WasiSockets>(linker, view)?;
    sockets::udp::add_to_linker::<Ctx, WasiSockets>(linker, view)?;
    sockets::udp_create_socket::add_to_linker::<Ctx, WasiSockets>(linker, view)
}

pub(super) fn link_p3(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    p3::types::add_to_linker::<Ctx, WasiSockets>(linker, view)?;
    p3::ip_name_lookup::add_to_linker::<Ctx, WasiSockets>(linker, view)
}

fn view(ctx: &mut Ctx) -> WasiSocketsCtxView<'_> {
    WasiSocketsCtxView { ctx: &mut ctx.sockets.0, table: &mut ctx.table }
}
