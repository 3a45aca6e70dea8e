//! Objects of the granted folders that one call has open, by the guest's descriptor numbers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use toolgate_base::meter::account::Hold;
use wasmtime_wasi::filesystem::Descriptor;

use super::quota::Growth;
use crate::protocol::files::{Code, FileKind};

/// Open objects of one call.
#[derive(Default)]
pub(crate) struct OpenFiles(Mutex<Things>);

#[derive(Default)]
pub(super) struct Things {
    pub(super) by_number: HashMap<u32, Thing>,
    pub(super) last: u32,
    /// Opens by the guest, each with its mount. Some may be closed by now.
    pub(super) open: Vec<(usize, Open)>,
}

/// Open object.
#[derive(Clone)]
pub(crate) enum Thing {
    Descriptor(Descriptor, MountPath),
    Input(Arc<tokio::sync::Mutex<FileReader>>),
    Output(Arc<tokio::sync::Mutex<FileWriter>>),
    Listing(Arc<Mutex<DirListing>>),
}

/// Location of a descriptor: its mount, and the path below it.
#[derive(Clone)]
pub(crate) struct MountPath {
    pub(super) mount: usize,
    pub(super) path: String,
}

/// Input stream of a file.
pub(crate) struct FileReader {
    pub(super) file: Arc<std::fs::File>,
    pub(super) at: u64,
}

/// Output stream of a file, at a position, or appending if `None`.
pub(crate) struct FileWriter {
    pub(super) growth: Growth,
    pub(super) file: Arc<std::fs::File>,
    pub(super) at: Option<u64>,
}

/// Rest of a listing. All of it counts as memory of the call until it is closed: receivers hold the names returned.
pub(crate) struct DirListing {
    pub(super) names: Names,
    pub(super) _hold: Hold,
}

pub(super) type Names = VecDeque<Result<(FileKind, String), Code>>;

/// Open that counts for as long as anything refers to it: a descriptor, or a stream created from one.
pub(super) enum Open {
    Coming(Weak<()>),
    There(Weak<std::fs::File>),
}

impl Open {
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Coming(opening) => opening.strong_count() > 0,
            Self::There(file) => file.strong_count() > 0,
        }
    }
}

impl OpenFiles {
    pub(super) fn lock(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is open under a number out of the table, if anything is. Dropping it may wait.
    pub(crate) fn take(&self, number: u32) -> Option<Thing> {
        self.lock().by_number.remove(&number)
    }
}
