//! File streams for WASI 0.2. Opening one is a request like any other, and is awaited; the engine's library expects it
//! to be synchronous.

use std::sync::Arc;
use toolgate_policy::limits::size;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;
use toolgate_base::meter::Meter;
use toolgate_base::meter::account::Hold;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, StreamError, StreamResult,
};

use crate::imports::Ctx;
use crate::imports::files::client::{FileClient, OpenHandle};
use crate::imports::files::{Fd, view};
use crate::protocol::blob::ByteBlob;
use crate::protocol::files::{Code, FileRequest, OpenOp, StreamOp};

/// Interface name under which the engine's library links. Under another name these functions would replace nothing, and
/// no file could be read.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

/// Result of opening a stream.
type Opened<'a, S> =
    Box<dyn Future<Output = wasmtime::Result<(Result<Resource<S>, ErrorCode>,)>> + Send + 'a>;

/// Replaces the library's functions.
pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async("[method]descriptor.read-via-stream", |store, (fd, at): (Fd, u64)| {
        opened(store, OpenOp::Input { file: fd.rep(), at }, input)
    })?;
    types.func_wrap_async("[method]descriptor.write-via-stream", |store, (fd, at): (Fd, u64)| {
        opened(store, OpenOp::Output { file: fd.rep(), at: Some(at) }, output)
    })?;
    types.func_wrap_async("[method]descriptor.append-via-stream", |store, (fd,): (Fd,)| {
        opened(store, OpenOp::Output { file: fd.rep(), at: None }, output)
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Error of the functions that are replaced, should they be called.
pub(super) fn elsewhere() -> FsError {
    FsError::trap(wasmtime::format_err!("another function is linked in the place of this one"))
}

fn opened<S: Send + 'static>(
    mut store: StoreContextMut<'_, Ctx>,
    op: OpenOp,
    stream: fn(FileClient, Meter, Arc<OpenHandle>) -> S,
) -> Opened<'_, S> {
    Box::new(async move {
        let view = view(store.data_mut());
        let (client, meter) = (view.files.client.clone(), view.meter.clone());
        Ok((match client.open(op).await {
            Ok(handle) => Ok(view.table.push(stream(client, meter, Arc::new(handle)))?),
            Err(code) => Err(code.into()),
        },))
    })
}

fn input(client: FileClient, meter: Meter, handle: Arc<OpenHandle>) -> DynInputStream {
    Box::new(Input { client, meter, handle, reading: Reading::Idle })
}

fn output(client: FileClient, meter: Meter, handle: Arc<OpenHandle>) -> DynOutputStream {
    Box::new(Output { client, meter, handle, writing: Writing::Ready })
}

type Task<T> = AbortOnDropHandle<Result<T, Code>>;

async fn ended<T>(task: &mut Task<T>) -> Result<T, Code> {
    task.await.unwrap_or(Err(Code::Interrupted))
}

fn failed(code: Code) -> StreamError {
    StreamError::LastOperationFailed(ErrorCode::from(code).into())
}

/// Input stream of a file.
struct Input {
    client: FileClient,
    meter: Meter,
    handle: Arc<OpenHandle>,
    reading: Reading,
}

enum Reading {
    Idle,
    /// Bytes requested or received count as memory of the call until the guest has read them.
    Waiting(Task<Vec<u8>>, Option<Hold>),
    There {
        bytes: Bytes,
        _hold: Option<Hold>,
    },
    Failed(Code),
    Closed,
}

impl Input {
    fn begin(&mut self, bytes: u64) {
        let bytes = bytes.min(STREAM_BYTES_MAX);
        let Ok(hold) = self.meter.hold(bytes) else {
            self.reading = Reading::Failed(Code::InsufficientMemory);
            return;
        };
        let (client, handle) = (self.client.clone(), Arc::clone(&self.handle));
        let next = StreamOp::Next(bytes);
        let task = async move { client.bytes(FileRequest::Stream(handle.number, next)).await };
        self.reading = Reading::Waiting(AbortOnDropHandle::new(tokio::spawn(task)), Some(hold));
    }

    async fn settle(&mut self) {
        if let Reading::Waiting(task, hold) = &mut self.reading {
            self.reading = match ended(task).await {
                Ok(bytes) if bytes.is_empty() => Reading::Closed,
                Ok(bytes) => Reading::There { bytes: bytes.into(), _hold: hold.take() },
                Err(code) => Reading::Failed(code),
            };
        }
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match &mut self.reading {
            Reading::Idle if size > 0 => {
                self.begin(size as u64);
                Ok(Bytes::new())
            }
            Reading::Idle | Reading::Waiting(..) => Ok(Bytes::new()),
            Reading::There { bytes, .. } => {
                let piece = bytes.split_to(bytes.len().min(size));
                if bytes.is_empty() {
                    self.reading = Reading::Idle;
                }
                Ok(piece)
            }
            Reading::Failed(code) => {
                let error = failed(*code);
                self.reading = Reading::Closed;
                Err(error)
            }
            Reading::Closed => Err(StreamError::Closed),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if matches!(self.reading, Reading::Idle) && size > 0 {
            self.begin(size as u64);
        }
        self.settle().await;
        self.read(size)
    }

    async fn cancel(&mut self) {
        self.reading = Reading::Closed;
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        /// Bytes read ahead for a guest that waits before it reads.
        const UNASKED_BYTES: u64 = 4_096;
        if matches!(self.reading, Reading::Idle) {
            self.begin(UNASKED_BYTES);
        }
        self.settle().await;
    }
}

/// Output stream of a file.
struct Output {
    client: FileClient,
    meter: Meter,
    handle: Arc<OpenHandle>,
    writing: Writing,
}

enum Writing {
    Ready,
    /// Bytes being written count as memory of the call.
    Waiting {
        task: Task<u64>,
        _hold: Hold,
    },
    Failed(Code),
    Closed,
}

impl Output {
    /// Result of the last write; a failure is reported once, then the stream is closed.
    fn settled(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.writing, Writing::Closed) {
            // The nearest error that WASI 0.2 has for streams.
            Writing::Failed(Code::Quota) => Err(failed(Code::InsufficientSpace)),
            Writing::Failed(code) => Err(failed(code)),
            Writing::Closed => Err(StreamError::Closed),
            going => {
                self.writing = going;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.settled()?;
        if !matches!(self.writing, Writing::Ready) || bytes.len() as u64 > STREAM_BYTES_MAX {
            return Err(StreamError::trap("more was written than check-write allowed"));
        }
        let Ok(hold) = self.meter.hold(bytes.len() as u64) else {
            self.writing = Writing::Closed;
            return Err(failed(Code::InsufficientMemory));
        };
        let (client, handle) = (self.client.clone(), Arc::clone(&self.handle));
        let put = StreamOp::Put(ByteBlob(bytes.into()));
        let task = async move { client.written(FileRequest::Stream(handle.number, put)).await };
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.writing = Writing::Waiting { task, _hold: hold };
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.settled()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.settled()?;
        Ok(if matches!(self.writing, Writing::Ready) { size(STREAM_BYTES_MAX) } else { 0 })
    }

    async fn cancel(&mut self) {
        // A pending write is completed; the guest waits for it, so that it has one at a time.
        self.ready().await;
        self.writing = Writing::Closed;
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if let Writing::Waiting { task, .. } = &mut self.writing {
            self.writing = match ended(task).await {
                Ok(_) => Writing::Ready,
                Err(code) => Writing::Failed(code),
            };
        }
    }
}
