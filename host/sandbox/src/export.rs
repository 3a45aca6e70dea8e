//! A function that is ready to be called, where it runs, and what comes of a call before it is told.

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

/// One function, ready to be called any number of times, each time in a fresh store.
pub struct Export {
    pub(super) tool: ToolName,
    pub(super) path: ExportPath,
    pub(super) function: Function,
    pub(super) reply: Reply,
    pub(super) index: ComponentExportIndex,
    /// What lifting its result costs.
    pub(super) ratio: Ratio,
    /// Its place among those that are made ready together.
    pub(super) number: u32,
    pub(super) plugin: Arc<Prepared>,
}

/// What the functions of one plugin share.
pub(super) struct Prepared {
    pub(super) digest: Digest,
    /// What it is given amounts to.
    pub(super) effects: Effects,
    pub(super) limits: CallLimits,
    pub(super) place: PreparedTarget,
    pub(super) pace: Arc<CpuAccount>,
    pub(super) looks_at_cancelled: bool,
}

/// Where a function runs.
pub(super) enum PreparedTarget {
    /// In this process.
    Here(Arc<InProcessModule>),
    /// In a worker, behind walls of its own.
    Apart(WorkerModule),
}

/// What a call in this process starts from.
pub(super) struct InProcessModule {
    pub(super) kind: EngineKind,
    pub(super) pre: InstancePre<Ctx>,
    pub(super) prototype: Arc<CallPrototype>,
}

/// What a call came to, before it is told: a result of the function, or why there is none.
pub(super) type GuestResult = Result<Option<Val>, Fault>;

impl Export {
    /// The tool it is.
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// The same function as another tool.
    pub fn named(&self, tool: ToolName) -> Self {
        Self {
            tool,
            path: self.path.clone(),
            function: self.function.clone(),
            reply: self.reply.clone(),
            index: self.index,
            ratio: self.ratio,
            number: self.number,
            plugin: Arc::clone(&self.plugin),
        }
    }

    /// The bytes it is of.
    pub(crate) fn digest(&self) -> Digest {
        self.plugin.digest
    }

    /// What it is given amounts to.
    pub(crate) fn effects(&self) -> Effects {
        self.plugin.effects
    }

    /// What it takes and gives.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// How its result is told.
    pub(crate) fn reply(&self) -> &Reply {
        &self.reply
    }

    /// What a call of it may use.
    pub fn limits(&self) -> &CallLimits {
        &self.plugin.limits
    }

    /// How long it has after it was cancelled to end by itself: a moment, if it looks.
    pub(super) fn moment_after_cancel(&self) -> Duration {
        Duration::from_millis(if self.plugin.looks_at_cancelled { CANCEL_GRACE_MS } else { 0 })
    }

    /// Where the component exports it.
    pub fn path(&self) -> &ExportPath {
        &self.path
    }

    pub(super) fn index(&self) -> &ComponentExportIndex {
        &self.index
    }

    /// What lifting its result costs in memory.
    pub(super) fn ratio(&self) -> Ratio {
        self.ratio
    }

    /// Its place among those that were made ready with it.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// How slow the plugin's calls were lately.
    pub(super) fn pace(&self) -> &Arc<CpuAccount> {
        &self.plugin.pace
    }

    /// Where it runs.
    pub(super) fn place(&self) -> &PreparedTarget {
        &self.plugin.place
    }
}
