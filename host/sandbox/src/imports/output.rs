//! A guest's stdout and stderr: the first part is stored for the operator, the rest is counted and dropped. Nothing
//! reaches the process's own stdout, which carries the protocol.

use std::sync::{Arc, Mutex, PoisonError};
use toolgate_policy::limits::size;

use bytes::Bytes;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamError, StreamResult};

/// Captured output of one call.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<GuestOutput>>);

#[derive(Default)]
pub(crate) struct GuestOutput {
    /// First bytes, of both streams in order of arrival.
    pub(crate) text: Vec<u8>,
    /// Number of bytes dropped.
    pub(crate) dropped_bytes: u64,
    bytes_max: u64,
}

impl GuestOutput {
    /// Output captured in another process.
    pub(crate) fn of(text: Vec<u8>, dropped_bytes: u64) -> Self {
        Self { text, dropped_bytes, bytes_max: 0 }
    }
}

impl Output {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Mutex::new(GuestOutput { bytes_max, ..GuestOutput::default() })))
    }

    /// Creates a stream into it.
    pub(crate) fn stream(&self) -> Box<dyn OutputStream> {
        Box::new(Stream(self.clone()))
    }

    /// Stores bytes up to the limit and counts the rest.
    pub(super) fn keep(&self, bytes: &[u8]) {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = captured.bytes_max.saturating_sub(captured.text.len() as u64);
        let taken = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        captured.text.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        captured.dropped_bytes += (bytes.len() - taken) as u64;
    }

    /// Takes the captured output.
    pub(crate) fn take(&self) -> GuestOutput {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Stream that is always ready and never full: a guest that floods it uses its own fuel and no memory.
struct Stream(Output);

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(size(STREAM_BYTES_MAX))
    }

    fn write_zeroes(&mut self, bytes: usize) -> StreamResult<()> {
        if bytes > size(STREAM_BYTES_MAX) {
            return Err(StreamError::trap("more zeroes than check-write allows"));
        }
        self.write(Bytes::from(vec![0; bytes]))
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_are_kept_and_the_rest_is_counted() {
        let output = Output::new(5);
        let (mut out, mut err) = (output.stream(), output.stream());
        assert!(out.write(Bytes::from_static(b"abc")).is_ok());
        assert!(err.write(Bytes::from_static(b"defg")).is_ok());
        let captured = output.take();
        assert_eq!((captured.text.as_slice(), captured.dropped_bytes), (&b"abcde"[..], 2));
    }
}
