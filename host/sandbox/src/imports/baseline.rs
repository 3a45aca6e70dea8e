//! WASI without capabilities: what every toolchain imports and what neither sees nor changes anything outside the call.
//! Exit ends the call, stdin is empty, stdout and stderr are captured, there is no terminal. Streams and polls work on
//! objects of other capabilities; each operation is bounded and charged.

mod p3;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::p2::bindings::cli::{
    exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, StreamError, StreamResult};

use super::Ctx;
use super::output::Output;
use toolgate_base::meter::{Meter, StopError};
use toolgate_policy::limits::call::STREAM_BYTES_MAX;

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    exit::add_to_linker::<Ctx, Baseline>(linker, view)?;
    stdin::add_to_linker::<Ctx, Baseline>(linker, view)?;
    stdout::add_to_linker::<Ctx, Baseline>(linker, view)?;
    stderr::add_to_linker::<Ctx, Baseline>(linker, view)?;
    terminal_input::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_output::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_stdin::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_stdout::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_stderr::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    error::add_to_linker::<Ctx, Baseline>(linker, view)?;
    poll::add_to_linker::<Ctx, Baseline>(linker, view)?;
    streams::add_to_linker::<Ctx, Baseline>(linker, view)
}

pub(super) use p3::link as link_p3;

/// The library's part, for terminals: by default there are none.
fn cli(ctx: &mut Ctx) -> WasiCliCtxView<'_> {
    WasiCliCtxView { ctx: &mut ctx.cli, table: &mut ctx.table }
}

struct Baseline;

impl HasData for Baseline {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    table: &'a mut ResourceTable,
    meter: &'a Meter,
    output: &'a Output,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { table: &mut ctx.table, meter: &ctx.meter, output: &ctx.output }
}

impl exit::Host for View<'_> {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(StopError::Exit(status.map_or(1, |()| 0)).into())
    }

    fn exit_with_code(&mut self, status_code: u8) -> wasmtime::Result<()> {
        Err(StopError::Exit(status_code).into())
    }
}

impl stdin::Host for View<'_> {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for View<'_> {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        Ok(self.table.push(self.output.stream())?)
    }
}

impl stderr::Host for View<'_> {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        Ok(self.table.push(self.output.stream())?)
    }
}

impl error::Host for View<'_> {}
impl error::HostError for View<'_> {
    fn to_debug_string(&mut self, handle: Resource<error::Error>) -> wasmtime::Result<String> {
        // Host error texts about files and network are not shown to guests.
        self.table.get(&handle)?;
        Ok("the operation failed".to_owned())
    }

    fn drop(&mut self, handle: Resource<error::Error>) -> wasmtime::Result<()> {
        error::HostError::drop(self.table, handle)
    }
}

impl poll::Host for View<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.meter.charge(pollables.len() as u64 * POLLABLE_FUEL);
        poll::Host::poll(self.table, pollables).await
    }
}

/// Fuel to check one pollable, about as long as this many instructions.
const POLLABLE_FUEL: u64 = 100;

impl poll::HostPollable for View<'_> {
    async fn block(&mut self, handle: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::block(self.table, handle).await
    }

    async fn ready(&mut self, handle: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.table, handle).await
    }

    fn drop(&mut self, handle: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table, handle)
    }
}

impl streams::Host for View<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl View<'_> {
    /// Bounds the bytes of one operation.
    fn bounded(len: u64) -> u64 {
        len.min(STREAM_BYTES_MAX)
    }

    fn moved(&self, bytes: u64) {
        self.meter.charge(bytes);
    }
}

impl streams::HostInputStream for View<'_> {
    fn read(&mut self, handle: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        let bytes = streams::HostInputStream::read(self.table, handle, Self::bounded(len))?;
        self.moved(bytes.len() as u64);
        Ok(bytes)
    }

    async fn blocking_read(&mut self, handle: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        let bytes = streams::HostInputStream::blocking_read(self.table, handle, Self::bounded(len)).await?;
        self.moved(bytes.len() as u64);
        Ok(bytes)
    }

    fn skip(&mut self, handle: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let skipped = streams::HostInputStream::skip(self.table, handle, Self::bounded(len))?;
        self.moved(skipped);
        Ok(skipped)
    }

    async fn blocking_skip(&mut self, handle: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let skipped = streams::HostInputStream::blocking_skip(self.table, handle, Self::bounded(len)).await?;
        self.moved(skipped);
        Ok(skipped)
    }

    fn subscribe(&mut self, handle: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostInputStream::subscribe(self.table, handle)
    }

    async fn drop(&mut self, handle: Resource<DynInputStream>) -> wasmtime::Result<()> {
        streams::HostInputStream::drop(self.table, handle).await
    }
}

impl streams::HostOutputStream for View<'_> {
    fn check_write(&mut self, handle: Resource<DynOutputStream>) -> StreamResult<u64> {
        let permit = streams::HostOutputStream::check_write(self.table, handle)?;
        Ok(Self::bounded(permit))
    }

    fn write(&mut self, handle: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.moved(bytes.len() as u64);
        streams::HostOutputStream::write(self.table, handle, bytes)
    }

    async fn blocking_write_and_flush(
        &mut self,
        handle: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.moved(bytes.len() as u64);
        streams::HostOutputStream::blocking_write_and_flush(self.table, handle, bytes).await
    }

    fn flush(&mut self, handle: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.table, handle)
    }

    async fn blocking_flush(&mut self, handle: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::blocking_flush(self.table, handle).await
    }

    fn subscribe(&mut self, handle: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostOutputStream::subscribe(self.table, handle)
    }

    fn write_zeroes(&mut self, handle: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        // The library would allocate that many zeroes first.
        if len > STREAM_BYTES_MAX {
            return Err(StreamError::trap("more zeroes than check-write allows"));
        }
        self.moved(len);
        streams::HostOutputStream::write_zeroes(self.table, handle, len)
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        handle: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        self.moved(Self::bounded(len));
        streams::HostOutputStream::blocking_write_zeroes_and_flush(self.table, handle, len).await
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let moved = streams::HostOutputStream::splice(self.table, to, from, Self::bounded(len))?;
        self.moved(moved);
        Ok(moved)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let moved =
            streams::HostOutputStream::blocking_splice(self.table, to, from, Self::bounded(len)).await?;
        self.moved(moved);
        Ok(moved)
    }

    async fn drop(&mut self, handle: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        streams::HostOutputStream::drop(self.table, handle).await
    }
}
