//! The one frame format of a worker's pipe: the length of what follows, a message as postcard, and the bytes of a body where the message has
//! one: machine code, or values as `mapping::wire` encodes them. The reader says how long both may be; no length is believed.

use std::io::{self, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toolgate_policy::limits::load::{WORKER_BODY_BYTES, WORKER_HEADER_BYTES_MAX};

use super::blob::{BoundedVec, ByteBlob};
use super::{HostRequest, HostResponse};

/// A message between server and worker.
pub(crate) trait Message: Serialize + DeserializeOwned {
    /// Whether a body may follow it.
    fn has_body(&self) -> bool;
}

/// Messages to a worker, once it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// Enters a function. Body: its arguments.
    Call {
        id: u64,
        /// The function, by its place in the list that the worker began with.
        function: u32,
        /// Microseconds to its deadline.
        left_us: u64,
    },
    /// Cancels a call.
    Cancel { id: u64 },
    /// Answers a request.
    Answer {
        id: u64,
        ask: u64,
        /// Fuel that the server used for the call since the last answer.
        fuel: u64,
        /// The word for a limit that the call has met and ends by.
        stop: Option<String>,
        response: HostResponse,
    },
}

/// Messages of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// It is confined and takes calls.
    Ready,
    /// It cannot start.
    Failed { why: String },
    /// Progress of a call.
    Report { id: u64, progress: f64, total: Option<f64>, message: Option<String> },
    /// Uses of capabilities that do not leave the worker, each with whether it was allowed.
    Attempts { id: u64, attempts: BoundedVec<(WorkerAttempt, bool)> },
    /// A request to the server. Its number is greater than any before it in this call.
    Ask { id: u64, ask: u64, request: HostRequest },
    /// The end of a call. Body: the result, if there is no fault.
    Ended {
        id: u64,
        fuel: u64,
        memory_peak_bytes: u64,
        /// Output of the guest.
        written: ByteBlob,
        /// Bytes of output beyond that.
        dropped_bytes: u64,
        fault: Option<WireFault>,
    },
}

/// A use of a capability that does not leave the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum WorkerAttempt {
    Config(String),
    Clock,
    Random,
}

/// A fault in a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireFault {
    /// The name of the limit that was met, else the word of its kind.
    pub(crate) kind: String,
    /// Text for the caller.
    pub(crate) caller_text: String,
    /// Text for the log.
    pub(crate) log_text: String,
    /// Whether the log has the last output of the plugin.
    pub(crate) logs_last_words: bool,
}

/// A frame that was read.
pub(crate) struct Frame {
    bytes: Vec<u8>,
    body_at: usize,
}

impl Message for ToWorker {
    fn has_body(&self) -> bool {
        matches!(self, Self::Call { .. })
    }
}

impl Message for FromWorker {
    fn has_body(&self) -> bool {
        matches!(self, Self::Ended { fault: None, .. })
    }
}

impl FromWorker {
    /// Bytes that this message may have beside its body, where a guest may write `log_bytes_max`.
    pub(crate) const fn bytes_max(&self, log_bytes_max: u64) -> u64 {
        match self {
            Self::Ask { request, .. } => request.bytes_max(),
            Self::Attempts { .. } => WORKER_BODY_BYTES,
            Self::Ready | Self::Failed { .. } | Self::Report { .. } | Self::Ended { .. } => {
                WORKER_HEADER_BYTES_MAX.saturating_add(log_bytes_max)
            }
        }
    }
}

impl Frame {
    /// Bytes of the message.
    pub(crate) const fn message_bytes(&self) -> u64 {
        self.body_at as u64
    }

    /// The bytes after the message.
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }
}

/// A message and its body as a frame.
///
/// # Errors
/// When it is longer than a frame can be.
pub(crate) fn encode(message: &impl Message, body: &[u8]) -> io::Result<Vec<u8>> {
    let message = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let len = u32::try_from(message.len() + body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(size_of::<u32>() + message.len() + body.len());
    bytes.extend(len.to_le_bytes());
    bytes.extend(message);
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// The next message, of at most so many bytes, and its frame, with a body of at most so many.
///
/// # Errors
/// When there is none, or none that may be read: too long, cut off, unknown, or followed by what does not belong to it.
pub(crate) fn read<M: Message>(
    from: &mut impl Read,
    message_bytes_max: u64,
    body_bytes_max: u64,
) -> io::Result<(M, Frame)> {
    let refused = |why: &'static str| Err(io::Error::other(why));
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u64::from(u32::from_le_bytes(len));
    if len > message_bytes_max.saturating_add(body_bytes_max) {
        return refused("the frame is longer than it may be");
    }
    // It grows as bytes arrive, so that a length alone takes no memory.
    let mut bytes = Vec::new();
    if from.take(len).read_to_end(&mut bytes)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let head = usize::try_from(message_bytes_max).ok().and_then(|max| bytes.get(..max)).unwrap_or(&bytes);
    let (message, rest) = postcard::take_from_bytes::<M>(head).map_err(io::Error::other)?;
    let body_at = head.len() - rest.len();
    let body_bytes = (bytes.len() - body_at) as u64;
    if body_bytes > body_bytes_max || (body_bytes > 0 && !message.has_body()) {
        return refused("the message is followed by more than it may be");
    }
    Ok((message, Frame { bytes, body_at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(bytes: &[u8]) -> io::Result<(FromWorker, Frame)> {
        read(&mut &*bytes, 1_000, 10)
    }

    fn ended() -> FromWorker {
        let (id, fuel, memory_peak_bytes, dropped_bytes) = (1, 2, 3, 4);
        let written = ByteBlob(b"text".to_vec());
        FromWorker::Ended { id, fuel, memory_peak_bytes, written, dropped_bytes, fault: None }
    }

    #[test]
    fn a_body_is_read_where_the_message_has_one_and_as_long_as_it_may_be() {
        let (message, frame) = read_back(&encode(&ended(), b"0123456789").unwrap()).unwrap();
        assert!(matches!(message, FromWorker::Ended { id: 1, .. }));
        assert_eq!(frame.body(), b"0123456789");
        assert!(read_back(&encode(&ended(), b"0123456789a").unwrap()).is_err());
        assert!(read_back(&encode(&FromWorker::Ready, b"").unwrap()).is_ok());
        assert!(read_back(&encode(&FromWorker::Ready, b"a").unwrap()).is_err());
    }

    #[test]
    fn a_frame_that_is_cut_off_unknown_or_too_long_is_refused_and_its_length_takes_no_memory() {
        let bytes = encode(&ended(), b"").unwrap();
        assert!((0..bytes.len()).all(|len| read_back(&bytes[..len]).is_err()));
        assert!(read_back(b"\xff\xff\xff\xff").is_err());
        assert!(read_back(b"\x01\0\0\0\x63").is_err(), "no message has this number");
        let long = FromWorker::Failed { why: "x".repeat(1_000) };
        assert!(read_back(&encode(&long, b"").unwrap()).is_err(), "what is read of a message has a bound");
    }
}
