//! A use of the granted folders as it is asked for, and what comes of it: of both generations of WASI the same, and the same
//! over a pipe. What is open has a number.

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::call::FILES_PATH_BYTES_MAX;

pub(crate) use super::wasi_convert::{Advice, Code, DescriptorFlags, Kind, OpenFlags, PathFlags, Stat, Time};
use crate::imports::blob::ByteBlob;

/// What is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FileRequest {
    /// To open something.
    Make(OpenOp),
    /// Something of what is open.
    Of(u32, DescriptorOp),
    /// Something with what stands at a path below an open folder.
    At(u32, String, PathOp),
    /// The same thing at another place as well, or only there.
    Between { from: u32, old: String, to: u32, new: String, how: TwoPathOp },
    /// Whether two that are open are one.
    Same(u32, u32),
    /// To go on in a stream, or in a listing.
    Stream(u32, StreamOp),
}

/// What is to be opened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum OpenOp {
    /// What stands at a path below an open folder.
    Open { folder: u32, path: String, follow: PathFlags, open: OpenFlags, flags: DescriptorFlags },
    /// A stream out of a file, from a place on.
    Input { file: u32, at: u64 },
    /// A stream into a file, from a place on or at its end.
    Output { file: u32, at: Option<u64> },
    /// A listing of a folder.
    Listing { folder: u32 },
}

/// See [`FileRequest::Of`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum DescriptorOp {
    Stat,
    Flags,
    Kind,
    Hash,
    Sync,
    SyncData,
    Advise { at: u64, bytes: u64, advice: Advice },
    SetSize(u64),
    SetTimes { accessed: Time, modified: Time },
    Read { at: u64, bytes: u64 },
    Write { at: u64, bytes: ByteBlob },
}

/// See [`FileRequest::At`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PathOp {
    Stat(PathFlags),
    Hash(PathFlags),
    ReadLink,
    MakeFolder,
    RemoveFolder,
    Unlink,
    /// A link that leads to this.
    Link(String),
    SetTimes {
        follow: PathFlags,
        accessed: Time,
        modified: Time,
    },
}

/// See [`FileRequest::Between`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TwoPathOp {
    Move,
    Link(PathFlags),
}

/// See [`FileRequest::Stream`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StreamOp {
    /// At most so many bytes more. None: it is at its end.
    Next(u64),
    /// To write these.
    Put(ByteBlob),
    /// More names. None: there are no more.
    Names,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FileResponse {
    Done,
    Made(u32),
    Stat(Stat),
    Flags(DescriptorFlags),
    Kind(Kind),
    Hash { lower: u64, upper: u64 },
    Bytes(ByteBlob),
    Written(u64),
    Target(String),
    Same(bool),
    Names(Vec<(Kind, String)>),
}

impl FileRequest {
    /// Refuses paths that are too long before anything waits and holds them: many uses are under way at once by WASI 0.3.
    ///
    /// # Errors
    /// [`Code::NameTooLong`].
    pub(crate) fn check(&self) -> Result<(), Code> {
        let paths = match self {
            Self::Make(OpenOp::Open { path, .. }) => [path.as_str(), ""],
            Self::At(_, path, PathOp::Link(target)) => [path.as_str(), target.as_str()],
            Self::At(_, path, _) => [path.as_str(), ""],
            Self::Between { old, new, .. } => [old.as_str(), new.as_str()],
            Self::Make(_) | Self::Of(..) | Self::Same(..) | Self::Stream(..) => ["", ""],
        };
        if paths.iter().any(|path| path.len() > FILES_PATH_BYTES_MAX) {
            return Err(Code::NameTooLong);
        }
        Ok(())
    }

    /// Bytes that a file would take of it.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Of(_, DescriptorOp::Write { bytes: ByteBlob(bytes), .. })
            | Self::Stream(_, StreamOp::Put(ByteBlob(bytes))) => bytes.len() as u64,
            _ => 0,
        }
    }
}

impl FileResponse {
    /// Bytes that came out of a stream.
    pub(crate) fn bytes(&self) -> u64 {
        if let Self::Bytes(ByteBlob(bytes)) = self { bytes.len() as u64 } else { 0 }
    }
}
