//! The two streams of a connection, whose bytes are counted on the call: before they leave, and when they have come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult};
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

use super::told;
use crate::meter::{Meter, Stop};
use crate::socket::acknowledge;

/// One direction of a connection. Dropping it ends this direction.
pub(in crate::imports::sockets) struct Half {
    stream: Arc<TcpStream>,
    direction: Shutdown,
}

impl Half {
    pub(super) fn sending(stream: &Arc<TcpStream>) -> Self {
        Self { stream: Arc::clone(stream), direction: Shutdown::Write }
    }

    pub(super) fn receiving(stream: &Arc<TcpStream>) -> Self {
        Self { stream: Arc::clone(stream), direction: Shutdown::Read }
    }

    pub(in crate::imports::sockets) fn stream(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // Where this fails, the other side has ended it before.
        shutdown(&*self.stream, self.direction).unwrap_or_default();
    }
}

/// How a stream ends, told once.
struct End(Option<oneshot::Sender<Result<(), ErrorCode>>>);

impl End {
    fn tell(&mut self, how: Result<(), ErrorCode>) {
        if let Some(end) = self.0.take() {
            // Nobody may want to know.
            drop(end.send(how));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(Ok(()));
    }
}

type Told = oneshot::Receiver<Result<(), ErrorCode>>;

/// Counts bytes, and looks at the meter: from one stream into another they move without the guest.
fn count(meter: &Meter, bytes: usize, fuel_left: u64) -> Result<(), Stop> {
    meter.socket_bytes(bytes as u64)?;
    meter.crossed(false, fuel_left)
}

/// What the guest sends.
pub(super) struct Outgoing {
    half: Half,
    meter: Meter,
    /// Bytes that were counted and could not leave yet.
    counted: usize,
    end: End,
}

impl Outgoing {
    /// A stream, and where its end is told.
    pub(super) fn new(half: Half, meter: Meter) -> (Self, Told) {
        let (end, ended) = oneshot::channel();
        (Self { half, meter, counted: 0, end: End(Some(end)) }, ended)
    }

    /// Sends some of it, of nothing nothing; how much went.
    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8], fuel_left: u64) -> Poll<Result<usize, NotMoved>> {
        loop {
            ready!(self.half.stream.poll_write_ready(cx)).map_err(NotMoved::Io)?;
            if bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            // Counted before it leaves, so that what is over the limit stays here.
            let more = bytes.len().saturating_sub(self.counted);
            count(&self.meter, more, fuel_left).map_err(NotMoved::Stop)?;
            self.counted += more;
            match self.half.stream.try_write(bytes) {
                Ok(count) => {
                    self.counted = self.counted.saturating_sub(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(NotMoved::Io(error))),
            }
        }
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
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let bytes = bytes.get(..STREAM_BYTES_MAX as usize).unwrap_or(bytes);
        let sent = self.send(cx, bytes, fuel_left);
        settle(sent, finish, &mut self.end, |count| {
            source.mark_read(count);
            StreamResult::Completed
        })
    }
}

/// What comes.
pub(super) struct Incoming {
    half: Half,
    meter: Meter,
    end: End,
}

impl Incoming {
    /// A stream, and where its end is told.
    pub(super) fn new(half: Half, meter: Meter) -> (Self, Told) {
        let (end, ended) = oneshot::channel();
        (Self { half, meter, end: End(Some(end)) }, ended)
    }

    /// Receives as much as has come and there is room for, where there is none nothing; how much that is, or that it ended.
    fn receive(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
        fuel_left: u64,
    ) -> Poll<Result<Option<usize>, NotMoved>> {
        loop {
            ready!(self.half.stream.poll_read_ready(cx)).map_err(NotMoved::Io)?;
            if room.is_empty() {
                return Poll::Ready(Ok(Some(0)));
            }
            match self.half.stream.try_read(room) {
                Ok(0) => return Poll::Ready(Ok(None)),
                Ok(bytes) => {
                    acknowledge(&*self.half.stream);
                    count(&self.meter, bytes, fuel_left).map_err(NotMoved::Stop)?;
                    return Poll::Ready(Ok(Some(bytes)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(NotMoved::Io(error))),
            }
        }
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
        let mut destination = destination.as_direct(store, STREAM_BYTES_MAX as usize);
        let room = destination.remaining();
        let fits = room.len().min(STREAM_BYTES_MAX as usize);
        let came = self.receive(cx, room.get_mut(..fits).unwrap_or_default(), fuel_left);
        settle(came, finish, &mut self.end, |count| match count {
            Some(count) => {
                destination.mark_written(count);
                StreamResult::Completed
            }
            None => StreamResult::Dropped,
        })
    }
}

/// Why nothing moved.
enum NotMoved {
    /// The call ends here.
    Stop(Stop),
    /// The connection does.
    Io(io::Error),
}

/// Tells the engine what became of a turn.
fn settle<T>(
    moved: Poll<Result<T, NotMoved>>,
    finish: bool,
    end: &mut End,
    done: impl FnOnce(T) -> StreamResult,
) -> Poll<wasmtime::Result<StreamResult>> {
    Poll::Ready(match moved {
        Poll::Pending if finish => Ok(StreamResult::Cancelled),
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Ok(moved)) => Ok(done(moved)),
        Poll::Ready(Err(NotMoved::Stop(stop))) => Err(stop.into()),
        Poll::Ready(Err(NotMoved::Io(error))) => {
            end.tell(Err(told(error)));
            Ok(StreamResult::Dropped)
        }
    })
}
