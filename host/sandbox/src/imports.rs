//! Host functions that a guest may import. Each call has one [`Ctx`]: the data of its store, with its grants and its
//! meter. Imports see only that, never the configuration; each capability's are in the file of its name.

pub(crate) mod baseline;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod environment;
pub(crate) mod files;
pub(crate) mod host_calls;
pub(crate) mod http;
pub(crate) mod keyvalue;
pub(crate) mod output;
pub(crate) mod perform;
mod plugin;
pub(crate) mod random;
pub(crate) mod sockets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use toolgate_base::meter::Meter;
use toolgate_base::relay::Relay;
use toolgate_base::spec::EngineKind;
use toolgate_mapping::cost::Ratio;
use toolgate_policy::Capability;
use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::load::Effective;
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::WasiCliCtx;

use crate::lifting::Lifting;
use crate::memory::Memory;
use crate::stacks::Stacks;
use host_calls::{HostCalls, Powers};
use output::Output;

/// State shared by all calls of one plugin, built once.
pub(crate) struct CallPrototype {
    pub(crate) effective: Effective,
    /// Guest paths of the granted folders.
    pub(crate) folders: Vec<String>,
    pub(crate) powers: Arc<Powers>,
}

/// The data of one call's store.
pub(crate) struct Ctx {
    pub(crate) table: ResourceTable,
    pub(crate) prototype: Arc<CallPrototype>,
    pub(crate) meter: Meter,
    pub(crate) memory: Memory,
    pub(crate) lifting: Lifting,
    /// Memory cost of lifting the result.
    pub(crate) ratio: Ratio,
    /// Fiber stacks that the call holds; `None` where it may hold only one.
    pub(crate) stacks: Option<Stacks>,
    pub(crate) notes: CallTrace,
    pub(crate) output: Output,
    pub(crate) relay: Relay,
    pub(crate) outside: HostCalls,
    pub(crate) cli: WasiCliCtx,
    pub(crate) files: files::FilesCtx,
    pub(crate) http: http::HttpCtx,
    pub(crate) random: random::SeededStream,
    pub(crate) sockets: sockets::SocketsCtx,
    /// Start of the call.
    pub(crate) started: Instant,
}

impl Ctx {
    /// Creates the data of a fresh store.
    pub(crate) fn new(
        prototype: Arc<CallPrototype>,
        meter: Meter,
        memory: Memory,
        notes: CallTrace,
        relay: Relay,
        outside: HostCalls,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(meter.limit(CallLimit::Handles)).unwrap_or(usize::MAX));
        Self {
            table,
            output: Output::new(meter.limit(CallLimit::Log)),
            cli: WasiCliCtx::default(),
            files: files::FilesCtx::new(&outside),
            http: http::HttpCtx::new(&outside),
            random: random::SeededStream::default(),
            sockets: sockets::SocketsCtx::default(),
            lifting: Lifting::default(),
            ratio: Ratio::default(),
            stacks: None,
            started: Instant::now(),
            outside,
            relay,
            prototype,
            meter,
            memory,
            notes,
        }
    }
}

/// Links what every component may import, and those of `words` that need a grant. The asynchronous engine adds WASI 0.3
/// to 0.2, with the same grants.
pub(crate) fn link(
    linker: &mut Linker<Ctx>,
    kind: EngineKind,
    words: &BTreeSet<Capability>,
) -> wasmtime::Result<()> {
    if kind == EngineKind::Async {
        link_p3(linker, words)?;
    }
    baseline::link(linker)?;
    plugin::link(linker)?;
    for word in Capability::ALL {
        match word {
            Capability::Files => files::link(linker)?,
            Capability::Environment => environment::link(linker)?,
            Capability::Clock => clock::link(linker)?,
            Capability::Random => random::link(linker)?,
            Capability::Http if words.contains(&word) => http::link(linker)?,
            Capability::Sockets if words.contains(&word) => sockets::link(linker)?,
            Capability::Config if words.contains(&word) => config::link(linker)?,
            Capability::Keyvalue if words.contains(&word) => keyvalue::link(linker)?,
            Capability::Http | Capability::Sockets | Capability::Config | Capability::Keyvalue => {}
        }
    }
    Ok(())
}

fn link_p3(linker: &mut Linker<Ctx>, words: &BTreeSet<Capability>) -> wasmtime::Result<()> {
    baseline::link_p3(linker)?;
    files::link_p3(linker)?;
    environment::link_p3(linker)?;
    clock::link_p3(linker)?;
    random::link_p3(linker)?;
    if words.contains(&Capability::Http) {
        http::link_p3(linker)?;
    }
    if words.contains(&Capability::Sockets) {
        sockets::link_p3(linker)?;
    }
    Ok(())
}
