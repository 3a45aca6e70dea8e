//! The two streams of a TCP connection for WASI 0.3.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use toolgate_policy::limits::size;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::oneshot;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult};

use crate::bindings::sockets::p3::types::ErrorCode;
use crate::imports::sockets::handle::{SocketFuture, SocketHandle};
use crate::protocol::blob::ByteBlob;
use crate::protocol::sockets::{Direction, SocketFault, SocketOp, SocketResponse};

type Ended = oneshot::Receiver<Result<(), ErrorCode>>;
type End = Option<oneshot::Sender<Result<(), ErrorCode>>>;

fn end_with(end: &mut End, how: Result<(), SocketFault>) {
    if let Some(end) = end.take() {
        // The guest may have dropped the future.
        drop(end.send(how.map_err(ErrorCode::from)));
    }
}

/// Stream that the guest sends: one chunk at a time, the next when that one is sent.
pub(super) struct Outgoing {
    inner: Arc<SocketHandle>,
    asked: Option<SocketFuture>,
    end: End,
}

impl Outgoing {
    /// A stream, and where its end is told.
    pub(super) fn new(inner: Arc<SocketHandle>) -> (Self, Ended) {
        let (end, ended) = oneshot::channel();
        (Self { inner, asked: None, end: Some(end) }, ended)
    }

    /// Waits until the pending chunk is sent.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        let Some(asked) = &mut self.asked else { return Poll::Ready(Ok(())) };
        let left = ready!(Pin::new(asked).poll(cx));
        self.asked = None;
        Poll::Ready(left.map(drop))
    }
}

impl Drop for Outgoing {
    /// Shuts down this direction once the pending chunk is sent.
    fn drop(&mut self) {
        let (inner, asked, mut end) = (Arc::clone(&self.inner), self.asked.take(), self.end.take());
        let Some(asked) = asked else {
            end_with(&mut end, Ok(()));
            return inner.shut(Direction::Send);
        };
        tokio::spawn(async move {
            let left = asked.await;
            inner.shut(Direction::Send);
            end_with(&mut end, left.map(drop));
        });
    }
}

impl<T> StreamConsumer<T> for Outgoing {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, T>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let fuel_left = store.get_fuel()?;
        let left = self.poll_left(cx);
        // From one stream into another bytes move without the guest.
        self.inner.spent(fuel_left)?;
        match left {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(refused)) => {
                end_with(&mut self.end, Err(refused));
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
            Poll::Ready(Ok(())) => {}
        }
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let bytes = bytes.get(..size(STREAM_BYTES_MAX)).unwrap_or(bytes);
        let count = bytes.len();
        if count > 0 {
            let Some(sending) = self.inner.send(SocketOp::Send(bytes.into())) else {
                end_with(&mut self.end, Err(SocketFault::Other));
                return Poll::Ready(Ok(StreamResult::Dropped));
            };
            self.asked = Some(sending);
            source.mark_read(count);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// The bytes that arrive. No more are asked for than there is room for, since what has arrived counts.
pub(super) struct Incoming {
    inner: Arc<SocketHandle>,
    asked: Option<SocketFuture>,
    /// Bytes received and not yet passed on.
    received: Bytes,
    end: End,
}

impl Incoming {
    /// A stream, and where its end is told.
    pub(super) fn new(inner: Arc<SocketHandle>) -> (Self, Ended) {
        let (end, ended) = oneshot::channel();
        (Self { inner, asked: None, received: Bytes::new(), end: Some(end) }, ended)
    }

    /// Waits until bytes have arrived for so much room; whether it goes on.
    fn poll_received(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<Result<bool, SocketFault>> {
        while self.received.is_empty() {
            let mut asked = match self.asked.take() {
                Some(asked) => asked,
                None if room == 0 => self.inner.begin(SocketOp::Await, None),
                None => {
                    let bytes = room.min(size(STREAM_BYTES_MAX));
                    self.inner.begin(SocketOp::Receive(u32::try_from(bytes).unwrap_or(u32::MAX)), None)
                }
            };
            match Pin::new(&mut asked).poll(cx) {
                Poll::Pending => {
                    self.asked = Some(asked);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(SocketResponse::Bytes(ByteBlob(bytes)))) => self.received = bytes.into(),
                // Bytes have arrived, and there may be no room for them.
                Poll::Ready(Ok(SocketResponse::Done)) if room == 0 => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(SocketResponse::Done)) => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Err(refused)) => return Poll::Ready(Err(refused)),
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.inner.shut(Direction::Receive);
        end_with(&mut self.end, Ok(()));
    }
}

impl<T> StreamProducer<T> for Incoming {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, T>,
        destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let fuel_left = store.get_fuel()?;
        let mut destination = destination.as_direct(store, size(STREAM_BYTES_MAX));
        let room = destination.remaining();
        let received = self.poll_received(cx, room.len());
        self.inner.spent(fuel_left)?;
        Poll::Ready(Ok(match received {
            Poll::Pending if finish => StreamResult::Cancelled,
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(true)) => {
                let count = room.len().min(self.received.len());
                if let (Some(room), Some(received)) = (room.get_mut(..count), self.received.get(..count)) {
                    room.copy_from_slice(received);
                }
                self.received.advance(count);
                destination.mark_written(count);
                StreamResult::Completed
            }
            Poll::Ready(Ok(false)) => StreamResult::Dropped,
            Poll::Ready(Err(refused)) => {
                end_with(&mut self.end, Err(refused));
                StreamResult::Dropped
            }
        }))
    }
}
