//! `config`: the granted values by key (wasi:config/store).

use toolgate_policy::capability::config::Grant;
use wasmtime::component::Linker;
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

use super::Ctx;

/// The values as the engine's library wants them, made once a plugin.
pub(crate) struct Prototype(WasiConfigVariables);

impl Prototype {
    pub(crate) fn new(grant: &Grant) -> Self {
        let pass = grant.allow();
        Self(pass.values().iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    wasmtime_wasi_config::add_to_linker(linker, |ctx| WasiConfig::new(&ctx.prototype.config.0))
}
