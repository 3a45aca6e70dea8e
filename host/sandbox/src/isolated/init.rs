//! The first message to a worker: limits, grants and functions. Its body is machine code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::export_request::Given;
use crate::protocol::frame::Message;

/// The plugin of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WorkerInit {
    /// The word of its engine.
    pub(super) engine: String,
    /// The limits of a call, by name.
    pub(super) limits: BTreeMap<String, u64>,
    /// The grants that do not leave the worker, as a configuration has them.
    pub(super) clock: String,
    pub(super) random: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) config: BTreeMap<String, String>,
    /// The guest's names of the granted folders, which stay in the server.
    pub(super) folders: Vec<String>,
    /// The functions that will be called, by number.
    pub(super) functions: Vec<ExportRef>,
}

/// A function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExportRef {
    pub(super) interface: Option<String>,
    pub(super) function: String,
    pub(super) given: Given,
}

impl Message for WorkerInit {
    fn has_body(&self) -> bool {
        true
    }
}
