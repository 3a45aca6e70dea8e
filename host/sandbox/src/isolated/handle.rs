//! The types of a plugin's worker.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use wasmtime::component::Component;

use super::init::WorkerInit;
use super::read_loop::{Calls, WorkerReader};
use crate::imports::host_calls::Powers;
use crate::worker::handle::ChildHandle;

/// A plugin's worker, whether or not it runs.
pub(crate) struct Isolated {
    pub(super) program: PathBuf,
    pub(super) begin: WorkerInit,
    pub(super) component: Component,
    pub(super) reader: WorkerReader,
    pub(super) memory_bytes_max: u64,
    /// Messages that can wait to be written to it.
    pub(super) waiting_max: usize,
    /// Held while one is started, so that one is started at a time.
    pub(super) live: tokio::sync::Mutex<Option<Arc<LiveWorker>>>,
}

/// The worker and the resources of a plugin.
pub(crate) struct WorkerModule {
    pub(crate) worker: Arc<Isolated>,
    /// Its resources, which stay in this process.
    pub(crate) powers: Arc<Powers>,
}

/// A worker that runs.
pub(super) struct LiveWorker {
    pub(super) process: ChildHandle,
    pub(super) calls: Arc<Mutex<Calls>>,
    pub(super) ids: AtomicU64,
}
