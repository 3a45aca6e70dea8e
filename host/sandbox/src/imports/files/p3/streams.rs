//! File streams for WASI 0.3. A stream is opened after the guest has received it; a refusal ends it.

use std::pin::Pin;
use std::task::{Context, Poll};
use toolgate_policy::limits::size;

use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use toolgate_base::meter::Meter;
use toolgate_base::meter::account::Hold;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, ComponentType, Destination, FutureReader, Lift, Lower, Source, StreamConsumer, StreamProducer,
    StreamReader, StreamResult, VecBuffer,
};
use wasmtime_wasi::p3::bindings::filesystem::types::{DirectoryEntry, ErrorCode};

use super::Ended;
use crate::imports::Ctx;
use crate::imports::files::client::{FileClient, OpenHandle, PendingHandle};
use crate::imports::files::{Fd, Files, View};
use crate::protocol::blob::ByteBlob;
use crate::protocol::files::{Code, FileKind, FileRequest, OpenOp, StreamOp};

/// Reads the next items, at most `u64` of them; empty at the end of the stream.
type Next<T> = fn(FileClient, OpenHandle, u64) -> BoxFuture<'static, (OpenHandle, Result<Vec<T>, Code>)>;

/// Reads bytes of a file.
pub(super) fn bytes(
    client: FileClient,
    handle: OpenHandle,
    bytes: u64,
) -> BoxFuture<'static, (OpenHandle, Result<Vec<u8>, Code>)> {
    Box::pin(async move {
        let result = client.bytes(FileRequest::Stream(handle.number, StreamOp::Next(bytes))).await;
        (handle, result)
    })
}

/// Reads entries of a folder.
pub(super) fn entries(
    client: FileClient,
    handle: OpenHandle,
    _: u64,
) -> BoxFuture<'static, (OpenHandle, Result<Vec<DirectoryEntry>, Code>)> {
    Box::pin(async move {
        let entry = |(kind, name)| DirectoryEntry { type_: FileKind::into(kind), name };
        let result = client.names(handle.number).await.map(|names| names.into_iter().map(entry).collect());
        (handle, result)
    })
}

/// Open stream.
struct Open {
    handle: OpenHandle,
    end: End,
}

/// Sender of a stream's result, which is success unless an error was sent.
#[derive(Default)]
struct End(Option<oneshot::Sender<Result<(), ErrorCode>>>);

impl End {
    fn send(&mut self, how: Result<(), ErrorCode>) {
        if let Some(sender) = self.0.take() {
            // The guest may have dropped the future.
            drop(sender.send(how));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.send(Ok(()));
    }
}

/// Begins to open a stream, in a task if it cannot complete at once. A refusal is reported even if the guest never
/// reads the stream, which is then empty.
fn begin(view: &View<'_>, make: OpenOp, of: &Fd) -> (Opening, oneshot::Receiver<Result<(), ErrorCode>>) {
    let (sender, ended) = oneshot::channel();
    let mut end = End(Some(sender));
    let mut opened = move |made| match made {
        Ok(handle) => Some(Open { handle, end: std::mem::take(&mut end) }),
        Err(code) => {
            end.send(Err(ErrorCode::from(code)));
            None
        }
    };
    let opening =
        match view.files.client.begin(FileRequest::Open(make), view.files.handle_of(of.rep())) {
            PendingHandle::Done(made) => Opening::Done(opened(made)),
            PendingHandle::UnderWay(making) => Opening::UnderWay(tokio::spawn(async move {
                opened(making.await.unwrap_or(Err(Code::Interrupted)))
            })),
        };
    (opening, ended)
}

/// Stream being opened; `None` if it was refused.
enum Opening {
    Done(Option<Open>),
    UnderWay(JoinHandle<Option<Open>>),
}

impl Opening {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Open>> {
        match self {
            Self::Done(open) => Poll::Ready(open.take()),
            Self::UnderWay(opening) => Pin::new(opening).poll(cx).map(|opened| opened.ok().flatten()),
        }
    }
}

/// Creates a stream that the guest reads.
pub(super) fn out<T: ComponentType + Lift + Lower + Send + Sync + 'static>(
    mut store: Access<'_, Ctx, Files>,
    fd: &Fd,
    make: OpenOp,
    next: Next<T>,
) -> wasmtime::Result<(StreamReader<T>, Ended)> {
    let view = store.get();
    let (client, meter) = (view.files.client.clone(), view.meter.clone());
    let (opening, ended) = begin(&view, make, fd);
    let state = Arriving::Opening(opening);
    let stream = StreamReader::new(&mut store, Coming { client, meter, next, state })?;
    Ok((stream, FutureReader::new(&mut store, ended)?))
}

/// Pipes a guest's stream into an open file, at a position, or appending if `None`.
pub(super) fn into(
    mut store: Access<'_, Ctx, Files>,
    fd: &Fd,
    data: StreamReader<u8>,
    at: Option<u64>,
) -> wasmtime::Result<Ended> {
    let view = store.get();
    let (client, meter) = (view.files.client.clone(), view.meter.clone());
    let (opening, ended) = begin(&view, OpenOp::Output { file: fd.rep(), at }, fd);
    data.pipe(&mut store, Going { client, meter, state: Leaving::Opening(opening) })?;
    FutureReader::new(&mut store, ended)
}

struct Coming<T> {
    client: FileClient,
    meter: Meter,
    next: Next<T>,
    state: Arriving<T>,
}

enum Arriving<T> {
    Opening(Opening),
    Open(Open),
    /// Continues after the guest stops waiting; the result is kept for its next poll, as memory of the call.
    Next(AbortOnDropHandle<(OpenHandle, Result<Vec<T>, Code>)>, End, Hold),
    Over,
}

impl<D, T: Send + Sync + 'static> StreamProducer<D> for Coming<T> {
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut to: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        /// Items read when the reader does not state its capacity.
        const UNASKED_BYTES: usize = 8_192;
        let wanted = to.remaining(&mut store).unwrap_or(UNASKED_BYTES);
        if wanted == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let this = &mut *self;
        loop {
            this.state = match std::mem::replace(&mut this.state, Arriving::Over) {
                Arriving::Opening(mut opening) => match opening.poll(cx) {
                    Poll::Ready(opened) => opened.map_or(Arriving::Over, Arriving::Open),
                    Poll::Pending => {
                        this.state = Arriving::Opening(opening);
                        return waits(finish);
                    }
                },
                Arriving::Open(Open { handle, mut end }) => {
                    let bytes = (wanted as u64).min(STREAM_BYTES_MAX);
                    match this.meter.hold(bytes) {
                        Ok(hold) => {
                            let next = tokio::spawn((this.next)(this.client.clone(), handle, bytes));
                            Arriving::Next(AbortOnDropHandle::new(next), end, hold)
                        }
                        Err(_) => {
                            end.send(Err(ErrorCode::InsufficientMemory));
                            Arriving::Over
                        }
                    }
                }
                Arriving::Next(mut next, mut end, hold) => match Pin::new(&mut next).poll(cx) {
                    Poll::Ready(Ok((handle, Ok(some)))) if !some.is_empty() => {
                        to.set_buffer(some.into());
                        this.state = Arriving::Open(Open { handle, end });
                        return Poll::Ready(Ok(StreamResult::Completed));
                    }
                    Poll::Ready(result) => {
                        let result = result.map_or(Err(Code::Interrupted), |(_, result)| result);
                        end.send(result.map(drop).map_err(ErrorCode::from));
                        Arriving::Over
                    }
                    Poll::Pending => {
                        this.state = Arriving::Next(next, end, hold);
                        return waits(finish);
                    }
                },
                Arriving::Over => return Poll::Ready(Ok(StreamResult::Dropped)),
            }
        }
    }
}

/// Result of a poll without data: cancelled if the guest stops waiting.
fn waits(finish: bool) -> Poll<wasmtime::Result<StreamResult>> {
    if finish { Poll::Ready(Ok(StreamResult::Cancelled)) } else { Poll::Pending }
}

struct Going {
    client: FileClient,
    meter: Meter,
    state: Leaving,
}

enum Leaving {
    Opening(Opening),
    Open(Open),
    Writing(AbortOnDropHandle<(OpenHandle, Result<u64, Code>)>, End, Hold),
    Over,
}

impl<D> StreamConsumer<D> for Going {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let this = &mut *self;
        loop {
            this.state = match std::mem::replace(&mut this.state, Leaving::Over) {
                Leaving::Opening(mut opening) => match opening.poll(cx) {
                    Poll::Ready(opened) => opened.map_or(Leaving::Over, Leaving::Open),
                    Poll::Pending => {
                        this.state = Leaving::Opening(opening);
                        return waits(finish);
                    }
                },
                Leaving::Open(open) => {
                    let bytes = source.remaining();
                    let bytes = bytes.get(..size(STREAM_BYTES_MAX)).unwrap_or(bytes);
                    if bytes.is_empty() {
                        this.state = Leaving::Open(open);
                        return Poll::Ready(Ok(StreamResult::Completed));
                    }
                    this.meter.charge(bytes.len() as u64);
                    let Open { handle, mut end } = open;
                    let Ok(hold) = this.meter.hold(bytes.len() as u64) else {
                        end.send(Err(ErrorCode::InsufficientMemory));
                        return Poll::Ready(Ok(StreamResult::Dropped));
                    };
                    let (client, put) = (this.client.clone(), StreamOp::Put(ByteBlob(bytes.to_vec())));
                    let writing = tokio::spawn(async move {
                        let written = client.written(FileRequest::Stream(handle.number, put)).await;
                        (handle, written)
                    });
                    Leaving::Writing(AbortOnDropHandle::new(writing), end, hold)
                }
                // Not cancelled midway: a write that has begun is completed.
                Leaving::Writing(mut writing, mut end, hold) => match Pin::new(&mut writing).poll(cx) {
                    Poll::Pending => {
                        this.state = Leaving::Writing(writing, end, hold);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok((handle, Ok(written)))) => {
                        source.mark_read(usize::try_from(written).unwrap_or(usize::MAX));
                        this.state = Leaving::Open(Open { handle, end });
                        return Poll::Ready(Ok(StreamResult::Completed));
                    }
                    Poll::Ready(result) => {
                        let why =
                            result.map_or(Code::Interrupted, |(_, result)| result.err().unwrap_or(Code::Io));
                        end.send(Err(why.into()));
                        Leaving::Over
                    }
                },
                Leaving::Over => return Poll::Ready(Ok(StreamResult::Dropped)),
            }
        }
    }
}
