//! The two streams of a TCP connection for WASI 0.2.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use toolgate_policy::limits::size;

use bytes::Bytes;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use super::handle::{SocketFuture, SocketHandle};
use crate::protocol::blob::ByteBlob;
use crate::protocol::sockets::{Direction, SocketFault, SocketOp, SocketResponse};

/// The bytes that arrive. No more are asked for than the guest reads, since what has arrived counts.
#[derive(Clone)]
pub(super) struct SocketReader(Arc<Mutex<Reading>>);

struct Reading {
    inner: Arc<SocketHandle>,
    /// Bytes received and not yet read.
    received: Bytes,
    asked: Option<SocketFuture>,
    /// Bytes have arrived that were not asked for yet.
    readable: bool,
    over: Option<Over>,
    shut: bool,
}

/// End of a direction.
#[derive(Clone, Copy)]
enum Over {
    Closed,
    Failed(SocketFault),
}

impl From<Over> for StreamError {
    fn from(over: Over) -> Self {
        match over {
            Over::Closed => Self::Closed,
            Over::Failed(refused) => Self::LastOperationFailed(ErrorCode::from(refused).into()),
        }
    }
}

impl SocketReader {
    pub(super) fn new(inner: &Arc<SocketHandle>) -> Self {
        let inner = Arc::clone(inner);
        let (received, asked, over) = (Bytes::new(), None, None);
        Self(Arc::new(Mutex::new(Reading { inner, received, asked, readable: false, over, shut: false })))
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shut(&self) {
        self.lock().shut();
    }
}

impl Reading {
    fn shut(&mut self) {
        if !std::mem::replace(&mut self.shut, true) {
            self.inner.shut(Direction::Receive);
            (self.received, self.over) = (Bytes::new(), Some(Over::Closed));
        }
    }

    /// Takes the response, if there is one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(asked) = &mut self.asked else { return Poll::Ready(()) };
        let response = std::task::ready!(Pin::new(asked).poll(cx));
        self.asked = None;
        if self.over.is_none() {
            match response {
                Ok(SocketResponse::Bytes(ByteBlob(bytes))) => self.received = bytes.into(),
                Ok(SocketResponse::Done) => self.readable = true,
                Ok(_) => self.over = Some(Over::Closed),
                Err(refused) => self.over = Some(Over::Failed(refused)),
            }
        }
        Poll::Ready(())
    }

    fn is_waiting(&self) -> bool {
        self.over.is_none() && self.received.is_empty()
    }

    fn ask(&mut self, wanted: SocketOp) {
        self.asked = Some(self.inner.begin(wanted, None));
    }

    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let now = &mut Context::from_waker(Waker::noop());
        let answered = self.poll(now).is_ready();
        if answered && self.is_waiting() && size > 0 {
            self.readable = false;
            self.ask(SocketOp::Receive(u32::try_from(size).unwrap_or(u32::MAX)));
            // In this process, bytes already there are returned at once.
            let _there = self.poll(now).is_ready();
        }
        if !self.received.is_empty() {
            return Ok(self.received.split_to(size.min(self.received.len())));
        }
        // A failure is reported once.
        match self.over.replace(Over::Closed) {
            Some(over) => Err(over.into()),
            None => {
                self.over = None;
                Ok(Bytes::new())
            }
        }
    }
}

#[async_trait]
impl Pollable for SocketReader {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            let mut reading = self.lock();
            std::task::ready!(reading.poll(cx));
            if reading.is_waiting() && !reading.readable {
                reading.ask(SocketOp::Await);
                std::task::ready!(reading.poll(cx));
            }
            Poll::Ready(())
        })
        .await;
    }
}

#[async_trait]
impl InputStream for SocketReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.lock().read(size)
    }

    /// Reads without polling for readability first.
    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        loop {
            std::future::poll_fn(|cx| self.lock().poll(cx)).await;
            let bytes = self.lock().read(size)?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
            if size == 0 {
                self.ready().await;
                return self.lock().read(size);
            }
        }
    }
}

/// Stream that the guest sends: one chunk at a time, the next when that one is sent.
#[derive(Clone)]
pub(super) struct SocketWriter(Arc<Mutex<Writing>>);

struct Writing {
    inner: Arc<SocketHandle>,
    asked: Option<SocketFuture>,
    permit: usize,
    over: Option<Over>,
    shut: bool,
}

impl SocketWriter {
    pub(super) fn new(inner: &Arc<SocketHandle>) -> Self {
        let inner = Arc::clone(inner);
        Self(Arc::new(Mutex::new(Writing { inner, asked: None, permit: 0, over: None, shut: false })))
    }

    fn lock(&self) -> MutexGuard<'_, Writing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts down this direction once the pending chunk is sent.
    pub(super) fn shut(&self) {
        let mut writing = self.lock();
        if std::mem::replace(&mut writing.shut, true) {
            return;
        }
        writing.over.get_or_insert(Over::Closed);
        let inner = Arc::clone(&writing.inner);
        let Some(asked) = writing.asked.take() else { return inner.shut(Direction::Send) };
        // Its guest need not look again.
        writing.asked = Some(SocketFuture::Task(tokio::spawn(async move {
            let response = asked.await;
            inner.shut(Direction::Send);
            response
        })));
    }
}

impl Writing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(asked) = &mut self.asked else { return Poll::Ready(()) };
        let response = std::task::ready!(Pin::new(asked).poll(cx));
        self.asked = None;
        match response {
            Ok(_) => {}
            Err(SocketFault::ConnectionBroken) => self.over = Some(Over::Closed),
            Err(refused) => self.over = Some(Over::Failed(refused)),
        }
        Poll::Ready(())
    }

    fn goes_on(&self) -> StreamResult<()> {
        self.over.map_or(Ok(()), |over| Err(over.into()))
    }
}

#[async_trait]
impl Pollable for SocketWriter {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.lock().poll(cx)).await;
    }
}

#[async_trait]
impl OutputStream for SocketWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut writing = self.lock();
        writing.goes_on()?;
        if bytes.len() > writing.permit {
            return Err(StreamError::trap("more bytes than check-write allows"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        writing.permit = 0;
        let sending = writing.inner.send(SocketOp::Send(ByteBlob(bytes.into())));
        writing.asked = Some(sending.ok_or_else(|| StreamError::trap("what is before it has not left"))?);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.lock().goes_on()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut writing = self.lock();
        let is_ready = writing.poll(&mut Context::from_waker(Waker::noop())).is_ready();
        writing.goes_on()?;
        writing.permit = if is_ready { size(STREAM_BYTES_MAX) } else { 0 };
        Ok(writing.permit)
    }

    /// Completes a pending chunk, which the guest considers written.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}
