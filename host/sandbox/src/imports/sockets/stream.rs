//! The two streams of a TCP connection for WASI 0.2.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use toolgate_policy::limits::size;

use bytes::Bytes;
use tokio::sync::oneshot;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use super::handle::{Flight, SocketHandle};
use super::request::{Direction, SocketFault, SocketOp, SocketResponse};
use crate::imports::blob::ByteBlob;
use crate::imports::host_calls::protocol::HostResponse;

/// Stream that the guest receives. Requests never exceed what it reads, since received bytes count.
#[derive(Clone)]
pub(super) struct SocketReader(Arc<Mutex<Reading>>);

struct Reading {
    plug: Arc<SocketHandle>,
    /// Received bytes not read yet.
    come: Bytes,
    asked: Option<Flight>,
    /// Whether bytes can be received that were not requested yet.
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
    pub(super) fn new(plug: &Arc<SocketHandle>) -> Self {
        let plug = Arc::clone(plug);
        let (come, asked, over) = (Bytes::new(), None, None);
        Self(Arc::new(Mutex::new(Reading { plug, come, asked, readable: false, over, shut: false })))
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
            self.plug.say(SocketOp::Shut(Direction::Back));
            (self.come, self.over) = (Bytes::new(), Some(Over::Closed));
        }
    }

    /// Takes the response, if there is one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(asked) = &mut self.asked else { return Poll::Ready(()) };
        let came = std::task::ready!(Pin::new(asked).poll(cx));
        self.asked = None;
        if self.over.is_none() {
            match came {
                Ok(SocketResponse::Bytes(ByteBlob(bytes))) => self.come = bytes.into(),
                Ok(SocketResponse::Done) => self.readable = true,
                Ok(_) => self.over = Some(Over::Closed),
                Err(refused) => self.over = Some(Over::Failed(refused)),
            }
        }
        Poll::Ready(())
    }

    fn is_waiting(&self) -> bool {
        self.over.is_none() && self.come.is_empty()
    }

    fn ask(&mut self, wanted: SocketOp) {
        self.asked = Some(self.plug.begin(wanted, None));
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
        if !self.come.is_empty() {
            return Ok(self.come.split_to(size.min(self.come.len())));
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
    plug: Arc<SocketHandle>,
    asked: Option<Flight>,
    permit: usize,
    over: Option<Over>,
    shut: bool,
}

impl SocketWriter {
    pub(super) fn new(plug: &Arc<SocketHandle>) -> Self {
        let plug = Arc::clone(plug);
        Self(Arc::new(Mutex::new(Writing { plug, asked: None, permit: 0, over: None, shut: false })))
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
        let plug = Arc::clone(&writing.plug);
        let Some(asked) = writing.asked.take() else { return plug.say(SocketOp::Shut(Direction::Out)) };
        let (tell, told) = oneshot::channel();
        writing.asked = Some(Flight::Asked(Some(told)));
        // In a task, since the guest may never poll the stream again.
        tokio::spawn(async move {
            let came = asked.await;
            plug.say(SocketOp::Shut(Direction::Out));
            drop(tell.send(HostResponse::Sockets(came)));
        });
    }
}

impl Writing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(asked) = &mut self.asked else { return Poll::Ready(()) };
        let came = std::task::ready!(Pin::new(asked).poll(cx));
        self.asked = None;
        match came {
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
        let flight = writing.plug.send(SocketOp::Send(ByteBlob(bytes.into())));
        writing.asked = Some(flight.ok_or_else(|| StreamError::trap("what is before it has not left"))?);
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
