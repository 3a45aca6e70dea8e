//! A plugin's worker, as those have it who have it run.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::Mutex as Turn;
use wasmtime::component::Component;

use super::message::WorkerInit;
use super::read_loop::{Calls, MessageReader};
use crate::imports::host_calls::Powers;
use crate::worker::handle::ChildHandle;

/// A plugin's worker, whether or not it runs.
pub(crate) struct Isolated {
    pub(super) program: PathBuf,
    pub(super) begin: WorkerInit,
    pub(super) component: Component,
    pub(super) heard: MessageReader,
    pub(super) memory_bytes_max: u64,
    /// How much can wait to be told to it.
    pub(super) waiting_max: usize,
    pub(super) live: Turn<Option<Arc<LiveWorker>>>,
}

/// What a call in a worker starts from.
pub(crate) struct WorkerModule {
    pub(crate) worker: Arc<Isolated>,
    /// What is reached for it, from this process.
    pub(crate) powers: Arc<Powers>,
}

/// A worker that runs.
pub(super) struct LiveWorker {
    pub(super) process: ChildHandle,
    pub(super) calls: Arc<Mutex<Calls>>,
    pub(super) ids: AtomicU64,
}
