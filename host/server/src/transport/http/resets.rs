//! A connection's stream that counts the HTTP/2 streams which its client resets. A client that begins requests and takes
//! them back makes work without ever having many open ("rapid reset", CVE-2023-44487): its connection ends.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use toolgate_policy::limits::wire::{H2_RESETS_MAX, H2_RESETS_MS};

/// A stream of HTTP/2 frames. Reading fails once its client has reset too many streams.
pub(super) struct CountedResets<S> {
    stream: S,
    frames: Frames,
}

/// Reader of frame headers (RFC 9113, section 4.1).
struct Frames {
    /// Bytes until the next header.
    skip: usize,
    /// Bytes of a header that came in part.
    header: [u8; HEADER_BYTES],
    received: usize,
    /// Times of the last resets.
    resets: VecDeque<Instant>,
}

/// Bytes of the client's preface, before the first frame.
const PREFACE_BYTES: usize = 24;

const HEADER_BYTES: usize = 9;

/// Type of a frame that resets a stream (RFC 9113, section 6.4).
const RST_STREAM: u8 = 3;

/// Text of the error of a client that resets too much.
const TOO_MANY: &str = "the client reset too many streams";

/// Whether a connection ended because its client reset too many streams.
pub(super) fn is_too_many(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::QuotaExceeded)
}

impl<S> CountedResets<S> {
    /// Counts from the beginning of a connection.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, frames: Frames::new() }
    }
}

impl Frames {
    fn new() -> Self {
        Self { skip: PREFACE_BYTES, header: [0; HEADER_BYTES], received: 0, resets: VecDeque::new() }
    }

    /// Reads bytes that arrived now. Returns whether there were too many resets.
    fn read(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else { return false };
            if let Some(place) = self.header.get_mut(self.received) {
                *place = *first;
            }
            self.received += 1;
            bytes = rest;
            if self.received < HEADER_BYTES {
                continue;
            }
            self.received = 0;
            let [high, middle, low, kind, ..] = self.header;
            self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if kind == RST_STREAM && self.is_beyond(now) {
                return true;
            }
        }
    }

    /// Counts a reset. Returns whether it is the last that is allowed within the time.
    fn is_beyond(&mut self, now: Instant) -> bool {
        let within = Duration::from_millis(H2_RESETS_MS);
        self.resets.push_back(now);
        while self.resets.front().is_some_and(|first| now.saturating_duration_since(*first) >= within) {
            self.resets.pop_front();
        }
        self.resets.len() >= H2_RESETS_MAX
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedResets<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        match self.frames.read(arrived, Instant::now()) {
            true => Poll::Ready(Err(io::Error::new(io::ErrorKind::QuotaExceeded, TOO_MANY))),
            false => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedResets<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER_BYTES + usize::from(length), RST_STREAM);
        frame
    }

    /// A connection with so many resets among other frames, as it arrives in parts of `step` bytes.
    fn ends(resets: usize, step: usize) -> bool {
        let mut bytes = vec![RST_STREAM; PREFACE_BYTES];
        for _ in 0..resets {
            bytes.extend([frame(0, 200), frame(RST_STREAM, 4), frame(4, 0)].concat());
        }
        let (mut frames, now) = (Frames::new(), Instant::now());
        bytes.chunks(step).any(|part| frames.read(part, now))
    }

    #[test]
    fn resets_are_counted_however_the_bytes_arrive() {
        for step in [1, 2, 7, 9, 10, 1_000, 1_000_000] {
            assert!(!ends(H2_RESETS_MAX - 1, step), "{step}");
            assert!(ends(H2_RESETS_MAX, step), "{step}");
        }
    }

    #[test]
    fn resets_of_long_ago_do_not_count() {
        let (mut frames, mut now) = (Frames::new(), Instant::now());
        frames.read(&[0; PREFACE_BYTES], now);
        let between = Duration::from_millis(H2_RESETS_MS) / 98;
        for _ in 0..10 * H2_RESETS_MAX {
            assert!(!frames.read(&frame(RST_STREAM, 4), now));
            now += between;
        }
        assert!(frames.resets.len() < H2_RESETS_MAX, "what is kept is bounded");
    }
}
