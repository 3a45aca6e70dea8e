//! What one call has open of the granted folders, by the numbers that its guest has for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Mutex as Turn;
use toolgate_policy::capability::files::Pass;
use wasmtime_wasi::filesystem::Descriptor;

use super::quota::Growth;
use crate::meter::account::Hold;
use crate::protocol::files::{Code, FileKind};

/// What one call has open.
#[derive(Default)]
pub(crate) struct OpenFiles(Mutex<Things>);

#[derive(Default)]
pub(super) struct Things {
    pub(super) by_number: HashMap<u32, Thing>,
    pub(super) last: u32,
    /// What the guest opened, each with the mount it is below. Some may be closed by now.
    pub(super) open: Vec<(usize, Open)>,
}

/// Something that is open.
#[derive(Clone)]
pub(crate) enum Thing {
    Descriptor(Descriptor, MountPath),
    Input(Arc<Turn<FileReader>>),
    Output(Arc<Turn<FileWriter>>),
    Listing(Arc<Mutex<DirListing>>),
}

/// Where a descriptor leads: below which mount, and there to what.
#[derive(Clone)]
pub(crate) struct MountPath {
    pub(super) mount: usize,
    pub(super) path: String,
}

/// A stream out of a file.
pub(crate) struct FileReader {
    /// It was asked for when the stream was made.
    pub(super) _pass: Pass,
    pub(super) file: Arc<std::fs::File>,
    pub(super) at: u64,
}

/// A stream into one, from a place on or at its end.
pub(crate) struct FileWriter {
    pub(super) growth: Growth,
    pub(super) file: Arc<std::fs::File>,
    pub(super) at: Option<u64>,
}

/// What is left of a listing. All of it counts as memory of the call until it is closed: what was handed on is held by whoever
/// asked for it.
pub(crate) struct DirListing {
    pub(super) names: Names,
    pub(super) _hold: Hold,
}

pub(super) type Names = VecDeque<Result<(FileKind, String), Code>>;

/// What counts as open for as long as anything holds it: a descriptor, or a stream that was made of one.
pub(super) enum Open {
    Coming(Weak<()>),
    There(Weak<std::fs::File>),
}

impl Open {
    pub(super) fn is_held(&self) -> bool {
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
