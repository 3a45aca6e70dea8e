//! What the host and a worker say to each other: a header as JSON, and a body of bytes, each after its length. How long they may
//! be the listener says, before it reads.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::export_request::Given;

/// What a worker is told first. Its body: machine code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkerInit {
    /// The word of its engine.
    pub(super) engine: String,
    /// What a call may use, by name.
    pub(super) limits: BTreeMap<String, u64>,
    /// The grant, as it is written in a configuration. What reaches outside stays in the host.
    pub(super) clock: String,
    pub(super) random: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) config: BTreeMap<String, String>,
    /// What the granted folders are called. They stay in the host as well.
    pub(super) folders: Vec<String>,
    /// The functions that will be called, by number.
    pub(super) functions: Vec<ExportRef>,
}

/// A function.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportRef {
    pub(super) interface: Option<String>,
    pub(super) function: String,
    /// With what it is entered.
    pub(super) given: Given,
}

/// What a worker is told then.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum ToWorker {
    /// Enter a function, with this long to its deadline. Body: its arguments.
    Call {
        /// The call.
        id: u64,
        /// Which function.
        function: u32,
        /// Microseconds.
        left_us: u64,
    },
    /// Nobody waits for this call any more.
    Cancel {
        /// The call.
        id: u64,
    },
    /// What came of something that was asked for. Body: the answer.
    Answer {
        /// The call.
        id: u64,
        /// What was asked for.
        ask: u64,
        /// What the host has done for the call since the last answer.
        fuel: u64,
        /// The word for what the call has met and ends by.
        stop: Option<String>,
    },
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum FromWorker {
    /// Its walls stand and it takes calls.
    Ready,
    /// It cannot.
    Failed {
        /// Why.
        why: String,
    },
    /// How far a call has come.
    Report {
        /// The call.
        id: u64,
        /// So far.
        progress: f64,
        /// In all.
        total: Option<f64>,
        /// In words.
        message: Option<String>,
    },
    /// What the guest of a call attempted inside. Body: that.
    Seen {
        /// The call.
        id: u64,
    },
    /// Something is asked for that lies outside. Body: what.
    Ask {
        /// The call.
        id: u64,
        /// Its number. Greater than any before it in this call.
        ask: u64,
    },
    /// A call has ended. Body: what the function gave back.
    Ended {
        /// The call.
        id: u64,
        /// Fuel used.
        fuel: u64,
        /// The most memory held at once.
        memory_peak_bytes: u64,
        /// What the guest wrote.
        written: String,
        /// How much more it wrote.
        dropped_bytes: u64,
        /// Why there is no result.
        fault: Option<WireFault>,
    },
}

/// A fault, as a worker tells it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireFault {
    /// Its word.
    pub(super) kind: String,
    /// The name of the limit that was met.
    pub(super) limit: Option<String>,
    /// For the caller.
    pub(super) told: String,
    /// For the log.
    pub(super) logged: String,
    /// Whether the log has what the plugin wrote last.
    pub(super) logs_last_words: bool,
}

/// A message as bytes.
pub(super) fn message(header: &impl Serialize, body: &[u8]) -> io::Result<Vec<u8>> {
    let header = serde_json::to_vec(header)?;
    let mut bytes = Vec::with_capacity(header.len() + body.len() + 8);
    for part in [header.len(), body.len()] {
        let len = u32::try_from(part).map_err(io::Error::other)?;
        bytes.extend(len.to_le_bytes());
    }
    bytes.extend(header);
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// The next message, its header and its body of at most so many bytes.
///
/// # Errors
/// When there is no more, or none that may be read.
pub(super) fn next<T: DeserializeOwned>(
    from: &mut impl Read,
    header_bytes_max: u64,
    body_bytes_max: u64,
) -> io::Result<(T, Vec<u8>)> {
    let mut len = || -> io::Result<u64> {
        let mut len = [0; 4];
        from.read_exact(&mut len)?;
        Ok(u32::from_le_bytes(len).into())
    };
    let (header, body) = (len()?, len()?);
    if header > header_bytes_max || body > body_bytes_max {
        return Err(io::Error::other("a message is larger than it may be"));
    }
    let header = serde_json::from_slice(&some(from, header)?)?;
    Ok((header, some(from, body)?))
}

/// It grows as it comes, so that a length alone takes nothing.
fn some(from: &mut impl Read, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
