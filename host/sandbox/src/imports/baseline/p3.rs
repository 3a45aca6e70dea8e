//! The baseline for WASI 0.3, whose streams are those of the component model.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use toolgate_base::meter::{Meter, StopError};
use wasmtime::StoreContextMut;
use wasmtime::component::{Access, FutureReader, Linker, Source, StreamConsumer, StreamReader, StreamResult};
use wasmtime_wasi::cli::WasiCli;
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode;
use wasmtime_wasi::p3::bindings::cli::{
    exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};

use super::{Baseline, View, cli, view};
use crate::imports::Ctx;
use crate::imports::output::Output;

pub(in crate::imports) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    exit::add_to_linker::<Ctx, Baseline>(linker, view)?;
    stdin::add_to_linker::<Ctx, Baseline>(linker, view)?;
    stdout::add_to_linker::<Ctx, Baseline>(linker, view)?;
    stderr::add_to_linker::<Ctx, Baseline>(linker, view)?;
    terminal_input::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_output::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_stdin::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_stdout::add_to_linker::<Ctx, WasiCli>(linker, cli)?;
    terminal_stderr::add_to_linker::<Ctx, WasiCli>(linker, cli)
}

impl exit::Host for View<'_> {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(StopError::Exit(status.map_or(1, |()| 0)).into())
    }

    fn exit_with_code(&mut self, status_code: u8) -> wasmtime::Result<()> {
        Err(StopError::Exit(status_code).into())
    }
}

type Ended = FutureReader<Result<(), ErrorCode>>;

impl stdin::Host for View<'_> {}
impl<T: 'static> stdin::HostWithStore<T> for Baseline {
    fn read_via_stream(mut store: Access<'_, T, Self>) -> wasmtime::Result<(StreamReader<u8>, Ended)> {
        let nothing = StreamReader::new(&mut store, std::iter::empty())?;
        let ended = FutureReader::new(&mut store, async { wasmtime::error::Ok(Ok(())) })?;
        Ok((nothing, ended))
    }
}

impl stdout::Host for View<'_> {}
impl<T: 'static> stdout::HostWithStore<T> for Baseline {
    fn write_via_stream(store: Access<'_, T, Self>, data: StreamReader<u8>) -> wasmtime::Result<Ended> {
        keep(store, data)
    }
}

impl stderr::Host for View<'_> {}
impl<T: 'static> stderr::HostWithStore<T> for Baseline {
    fn write_via_stream(store: Access<'_, T, Self>, data: StreamReader<u8>) -> wasmtime::Result<Ended> {
        keep(store, data)
    }
}

fn keep<T: 'static>(mut store: Access<'_, T, Baseline>, data: StreamReader<u8>) -> wasmtime::Result<Ended> {
    let view = store.get();
    let (ended, end) = oneshot::channel();
    let sink = Sink { output: view.output.clone(), meter: view.meter.clone(), _ended: ended };
    data.pipe(&mut store, sink)?;
    FutureReader::new(&mut store, async {
        // Resolves when the sink is dropped, which closes the channel.
        drop(end.await);
        wasmtime::error::Ok(Ok(()))
    })
}

/// Sink that is always ready and never full: a guest that floods it uses its own fuel and no memory.
struct Sink {
    output: Output,
    meter: Meter,
    _ended: oneshot::Sender<()>,
}

impl<T> StreamConsumer<T> for Sink {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, T>,
        source: Source<'_, u8>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let count = bytes.len();
        self.meter.charge(count as u64);
        self.output.keep(bytes);
        source.mark_read(count);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
