//! Exported functions ready to be called, where they run, and the raw result of a call.

use std::sync::Arc;
use std::time::Duration;

use toolgate_base::outcome::Fault;
use toolgate_base::spec::EngineKind;
use toolgate_mapping::cost::Ratio;
use toolgate_mapping::schema::Reply;
use toolgate_mapping::shape::Function;
use toolgate_policy::capability::Effects;
use toolgate_policy::limits::call::{CANCEL_GRACE_MS, CallLimits};
use toolgate_policy::name::ExportPath;
use toolgate_policy::{Digest, ToolName};
pub use wasmtime::component::Val;
use wasmtime::component::{ComponentExportIndex, InstancePre};

use super::guests::CpuAccount;
use super::isolated::handle::WorkerModule;
use crate::imports::{CallPrototype, Ctx};

/// Function that can be called any number of times, each time in a fresh store.
#[derive(Clone)]
pub struct Export {
    pub(super) tool: ToolName,
    pub(super) path: ExportPath,
    pub(super) function: Function,
    pub(super) reply: Reply,
    pub(super) index: ComponentExportIndex,
    /// Memory cost of lifting its result.
    pub(super) ratio: Ratio,
    /// Index among the functions prepared together.
    pub(super) number: u32,
    pub(super) plugin: Arc<Prepared>,
}

/// State shared by the functions of one plugin.
pub(super) struct Prepared {
    pub(super) digest: Digest,
    /// Effects of its grants.
    pub(super) effects: Effects,
    pub(super) limits: CallLimits,
    pub(super) place: PreparedTarget,
    pub(super) pace: Arc<CpuAccount>,
    pub(super) looks_at_cancelled: bool,
}

/// Isolation target of a function.
pub(super) enum PreparedTarget {
    /// This process.
    InProcess(Arc<InProcessModule>),
    /// A confined worker process.
    Worker(WorkerModule),
}

/// Module to instantiate for calls in this process.
pub(super) struct InProcessModule {
    pub(super) kind: EngineKind,
    pub(super) pre: InstancePre<Ctx>,
    pub(super) prototype: Arc<CallPrototype>,
}

/// Raw result of a call: the function's result, or a fault.
pub(super) type GuestResult = Result<Option<Val>, Fault>;

impl Export {
    /// Name of the tool.
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// The same function under another tool name.
    pub fn named(&self, tool: ToolName) -> Self {
        Self { tool, ..self.clone() }
    }

    /// Types of parameters and result.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// Limits of a call.
    pub fn limits(&self) -> &CallLimits {
        &self.plugin.limits
    }

    /// Grace period after cancellation; zero unless the plugin checks for cancellation.
    pub(super) fn moment_after_cancel(&self) -> Duration {
        Duration::from_millis(if self.plugin.looks_at_cancelled { CANCEL_GRACE_MS } else { 0 })
    }

    /// Path of the export in the component.
    pub fn path(&self) -> &ExportPath {
        &self.path
    }
}
