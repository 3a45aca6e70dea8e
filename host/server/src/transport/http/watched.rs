//! A connection's stream with a time limit on writes: a client that does not read is disconnected.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream whose writes may not stall for longer than `patience`.
pub(super) struct Watched<S> {
    stream: S,
    patience: Duration,
    after_read: fn(&S),
    /// Timer of a stalled write.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    /// A stream with a callback after each read.
    pub(super) fn new(stream: S, patience: Duration, after_read: fn(&S)) -> Self {
        Self { stream, patience, after_read, waiting: None }
    }

    /// Passes on the result of a write; an error when it stalled for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.waiting = None;
            return wrote;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(unread())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Text of the error of a stalled write.
const UNREAD: &str = "the client read nothing for too long";

/// Error of a client that reads nothing.
pub(super) fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, UNREAD)
}

/// Whether a connection ended because its client read nothing.
pub(super) fn is_unread(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::TimedOut)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        (self.after_read)(&self.stream);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn something_is_done_after_each_read() {
        let (near, mut far) = tokio::io::duplex(16);
        let count = |_: &_| READS.with(|reads| reads.set(reads.get() + 1));
        let mut near = Watched::new(near, Duration::from_secs(60), count);
        std::thread_local! { static READS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) }; }
        for part in ["head", "body"] {
            far.write_all(part.as_bytes()).await.unwrap();
            near.read_exact(&mut [0; 4]).await.unwrap();
        }
        assert_eq!(READS.get(), 2);
    }

    #[tokio::test]
    async fn a_write_that_nobody_reads_ends_and_one_that_goes_on_does_not() {
        let (near, _far) = tokio::io::duplex(16);
        let mut near = Watched::new(near, Duration::from_millis(1), |_| {});
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert!(is_unread(&error), "{error}");

        let (near, mut slow) = tokio::io::duplex(16);
        let mut near = Watched::new(near, Duration::from_secs(60), |_| {});
        let reading = tokio::spawn(async move {
            let mut read = 0;
            let mut buffer = [0; 1];
            while slow.read(&mut buffer).await.unwrap() > 0 {
                read += 1;
                tokio::task::yield_now().await;
            }
            read
        });
        near.write_all(&[0; 64]).await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(reading.await.unwrap(), 64);
    }
}
