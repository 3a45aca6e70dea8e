//! Streams into files, each piece of which is admitted by the folder's quota before it is written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{Source, StreamConsumer, StreamResult as Consumed};
use wasmtime_wasi::p3::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamError, StreamResult};

use super::quota::{Growth, NotGrown};

/// Writes into a file, from a place on or at its end.
pub(super) struct Writer {
    growth: Growth,
    file: Arc<std::fs::File>,
    at: Option<u64>,
}

type Task = AbortOnDropHandle<Result<usize, NotGrown>>;

impl Writer {
    pub(super) fn new(growth: Growth, file: Arc<std::fs::File>, at: Option<u64>) -> Self {
        Self { growth, file, at }
    }

    fn begin(&self, bytes: Bytes) -> Task {
        let write = self.growth.clone().write(Arc::clone(&self.file), self.at, bytes);
        AbortOnDropHandle::new(tokio::spawn(write))
    }

    /// Goes on after what was written.
    fn written(&mut self, bytes: usize) {
        self.at = self.at.map(|at| at.saturating_add(bytes as u64));
    }
}

fn ended<T>(joined: Result<Result<T, NotGrown>, tokio::task::JoinError>) -> Result<T, NotGrown> {
    joined.unwrap_or_else(|_| Err(NotGrown::Io(io::ErrorKind::Interrupted.into())))
}

/// A stream of WASI 0.2.
pub(super) struct Output {
    writer: Writer,
    state: State,
}

enum State {
    Ready,
    Writing(Task),
    Failed(io::Error),
    Closed,
}

impl Output {
    pub(super) fn new(writer: Writer) -> Self {
        Self { writer, state: State::Ready }
    }

    /// Whether the last piece went well; if not it is told once, and then the stream is closed.
    fn settled(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            State::Closed => Err(StreamError::Closed),
            going => {
                self.state = going;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.settled()?;
        if !matches!(self.state, State::Ready) || bytes.len() as u64 > STREAM_BYTES_MAX {
            return Err(StreamError::trap("more was written than check-write allowed"));
        }
        self.state = State::Writing(self.writer.begin(bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.settled()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.settled()?;
        Ok(if matches!(self.state, State::Ready) { STREAM_BYTES_MAX as usize } else { 0 })
    }

    async fn cancel(&mut self) {
        // What is being written is written to its end; the guest waits for it, so that it has one such thing at a time.
        self.ready().await;
        self.state = State::Closed;
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if let State::Writing(task) = &mut self.state {
            self.state = match ended(task.await) {
                Ok(bytes) => {
                    self.writer.written(bytes);
                    State::Ready
                }
                // The guest learns the nearest that its file system knows.
                Err(NotGrown::Full(_)) => State::Failed(rustix::io::Errno::NOSPC.into()),
                Err(NotGrown::Io(error)) => State::Failed(error),
            };
        }
    }
}

/// A stream of WASI 0.3.
pub(super) struct Consumer {
    writer: Writer,
    task: Option<Task>,
    end: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl Consumer {
    /// A stream, and where its end is told.
    pub(super) fn new(writer: Writer) -> (Self, oneshot::Receiver<Result<(), ErrorCode>>) {
        let (end, told) = oneshot::channel();
        (Self { writer, task: None, end: Some(end) }, told)
    }

    fn end(&mut self, how: Result<(), ErrorCode>) {
        if let Some(end) = self.end.take() {
            // Nobody may want to know.
            drop(end.send(how));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

impl<T> StreamConsumer<T> for Consumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, T>,
        source: Source<'_, u8>,
        _: bool,
    ) -> Poll<wasmtime::Result<Consumed>> {
        let mut source = source.as_direct(store);
        let this = &mut *self;
        let task = match &mut this.task {
            Some(task) => task,
            None => {
                let bytes = source.remaining();
                let bytes = bytes.get(..STREAM_BYTES_MAX as usize).unwrap_or(bytes);
                if bytes.is_empty() {
                    return Poll::Ready(Ok(Consumed::Completed));
                }
                this.writer.growth.meter.charge(bytes.len() as u64);
                this.task.insert(this.writer.begin(Bytes::copy_from_slice(bytes)))
            }
        };
        // Not to be cancelled midway: what was begun is written.
        let written = ended(std::task::ready!(Pin::new(task).poll(cx)));
        this.task = None;
        match written {
            Ok(bytes) => {
                this.writer.written(bytes);
                source.mark_read(bytes);
                Poll::Ready(Ok(Consumed::Completed))
            }
            Err(error) => {
                this.end(Err(match error {
                    NotGrown::Full(_) => ErrorCode::Quota,
                    NotGrown::Io(error) => error.into(),
                }));
                Poll::Ready(Ok(Consumed::Dropped))
            }
        }
    }
}
