//! Requests and responses of `files`, the same for both generations of WASI. Whatever is open has a number.

use serde::{Deserialize, Serialize};
use toolgate_policy::limits::call::FILES_PATH_BYTES_MAX;

use super::blob::ByteBlob;

/// A use of the granted folders.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FileRequest {
    Open(OpenOp),
    /// A use of an open descriptor.
    Of(u32, DescriptorOp),
    /// A use of a path below an open folder.
    At(u32, String, PathOp),
    /// A link or a move from one path to another.
    Between {
        from: u32,
        old: String,
        to: u32,
        new: String,
        how: TwoPathOp,
    },
    /// A comparison of two descriptors.
    Same(u32, u32),
    /// The next step of a stream or a listing.
    Stream(u32, StreamOp),
}

/// See [`FileRequest::Open`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum OpenOp {
    /// The file or folder at a path below an open folder.
    Path { folder: u32, path: String, follow: PathFlags, open: OpenFlags, flags: DescriptorFlags },
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
    /// A symbolic link to this target.
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
    /// Reads at most so many bytes. None: the end.
    Next(u64),
    Put(ByteBlob),
    /// Reads more names. None: the end.
    Names,
}

/// The result of a use.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FileResponse {
    Done,
    Opened(u32),
    Stat(Stat),
    Flags(DescriptorFlags),
    Kind(FileKind),
    Hash { lower: u64, upper: u64 },
    Bytes(ByteBlob),
    Written(u64),
    Target(String),
    Same(bool),
    Names(Vec<(FileKind, String)>),
}

impl FileRequest {
    /// Refuses paths that are too long before anything waits and holds them: many uses are under way at once by WASI 0.3.
    ///
    /// # Errors
    /// [`Code::NameTooLong`].
    pub(crate) fn check(&self) -> Result<(), Code> {
        let paths = match self {
            Self::Open(OpenOp::Path { path, .. }) => [path.as_str(), ""],
            Self::At(_, path, PathOp::Link(target)) => [path.as_str(), target.as_str()],
            Self::At(_, path, _) => [path.as_str(), ""],
            Self::Between { old, new, .. } => [old.as_str(), new.as_str()],
            Self::Open(_) | Self::Of(..) | Self::Same(..) | Self::Stream(..) => ["", ""],
        };
        if paths.iter().any(|path| path.len() > FILES_PATH_BYTES_MAX) {
            return Err(Code::NameTooLong);
        }
        Ok(())
    }

    /// Bytes that this writes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Of(_, DescriptorOp::Write { bytes: ByteBlob(bytes), .. })
            | Self::Stream(_, StreamOp::Put(ByteBlob(bytes))) => bytes.len() as u64,
            _ => 0,
        }
    }
}

impl FileResponse {
    /// Bytes that were read.
    pub(crate) fn bytes(&self) -> u64 {
        if let Self::Bytes(ByteBlob(bytes)) = self { bytes.len() as u64 } else { 0 }
    }
}

/// A time to set: after 1970, as WASI 0.2 has it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Time {
    Keep,
    Now,
    At(Moment),
}

/// Seconds since 1970, and nanoseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Moment(pub(crate) u64, pub(crate) u32);

/// The metadata of a file or folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stat {
    pub(crate) kind: FileKind,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) accessed: Option<Moment>,
    pub(crate) modified: Option<Moment>,
    pub(crate) changed: Option<Moment>,
}

/// The error codes of WASI 0.2.
#[rustfmt::skip]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Code {
    WouldBlock, Access, Already, BadDescriptor, Busy, Deadlock, Quota, Exist, FileTooLarge, IllegalByteSequence, InProgress,
    Interrupted, Invalid, Io, IsDirectory, Loop, TooManyLinks, MessageSize, NameTooLong, NoDevice, NoEntry, NoLock,
    InsufficientMemory, InsufficientSpace, NotDirectory, NotEmpty, NotRecoverable, Unsupported, NoTty, NoSuchDevice, Overflow,
    NotPermitted, Pipe, ReadOnly, InvalidSeek, TextFileBusy, CrossDevice,
}

/// The kinds of files.
#[rustfmt::skip]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileKind {
    Unknown, BlockDevice, CharacterDevice, Directory, Fifo, SymbolicLink, RegularFile, Socket,
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct PathFlags(pub(crate) u8);

/// Flags of opening a path, a bit each.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct OpenFlags(pub(crate) u8);

/// Flags of an open descriptor, a bit each.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct DescriptorFlags(pub(crate) u8);

/// Advice on how a file will be read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Advice {
    Normal,
    Sequential,
    Random,
    WillNeed,
    DontNeed,
    NoReuse,
}
