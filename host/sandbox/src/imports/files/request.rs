//! File requests and responses: the same for WASI 0.2 and 0.3, and serialised over the worker's pipe. Open objects are
//! referred to by number.

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::call::FILES_PATH_BYTES_MAX;

pub(crate) use super::wasi_convert::{Advice, Code, DescriptorFlags, Kind, OpenFlags, PathFlags, Stat, Time};
use crate::imports::blob::ByteBlob;

/// Request on the granted folders.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FileRequest {
    /// Opens something.
    Make(OpenOp),
    /// Operation on an open descriptor.
    Of(u32, DescriptorOp),
    /// Operation on a path below an open folder.
    At(u32, String, PathOp),
    /// Moves or links between two paths.
    Between { from: u32, old: String, to: u32, new: String, how: TwoPathOp },
    /// Whether two descriptors refer to the same object.
    Same(u32, u32),
    /// Continues a stream or a listing.
    Stream(u32, StreamOp),
}

/// Object to open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum OpenOp {
    /// A path below an open folder.
    Open { folder: u32, path: String, follow: PathFlags, open: OpenFlags, flags: DescriptorFlags },
    /// Input stream of a file, from a position.
    Input { file: u32, at: u64 },
    /// Output stream of a file, from a position, or appending if `None`.
    Output { file: u32, at: Option<u64> },
    /// Listing of a folder.
    Listing { folder: u32 },
}

/// Operation of [`FileRequest::Of`].
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

/// Operation of [`FileRequest::At`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PathOp {
    Stat(PathFlags),
    Hash(PathFlags),
    ReadLink,
    MakeFolder,
    RemoveFolder,
    Unlink,
    /// Creates a symbolic link with this target.
    Link(String),
    SetTimes {
        follow: PathFlags,
        accessed: Time,
        modified: Time,
    },
}

/// Operation of [`FileRequest::Between`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TwoPathOp {
    Move,
    Link(PathFlags),
}

/// Operation of [`FileRequest::Stream`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StreamOp {
    /// Reads at most this many bytes; empty at the end.
    Next(u64),
    /// Writes these bytes.
    Put(ByteBlob),
    /// Reads more names; empty at the end.
    Names,
}

/// Response to a [`FileRequest`].
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
    /// Refuses paths that are too long before they are queued: WASI 0.3 allows many requests at once.
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

    /// Bytes that it would write.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Of(_, DescriptorOp::Write { bytes: ByteBlob(bytes), .. })
            | Self::Stream(_, StreamOp::Put(ByteBlob(bytes))) => bytes.len() as u64,
            _ => 0,
        }
    }
}

impl FileResponse {
    /// Bytes read from a stream.
    pub(crate) fn bytes(&self) -> u64 {
        if let Self::Bytes(ByteBlob(bytes)) = self { bytes.len() as u64 } else { 0 }
    }
}
