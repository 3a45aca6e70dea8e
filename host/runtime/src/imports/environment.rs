//! `environment`: the granted variables, no arguments, no working directory. Nothing of the host's own.

use toolgate_policy::capability::environment::Grant;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::cli::environment;

use super::Ctx;

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    environment::add_to_linker::<Ctx, Environment>(linker, |ctx| View {
        grant: &ctx.prototype.effective.environment,
    })
}

struct Environment;

impl HasData for Environment {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: &'a Grant,
}

impl environment::Host for View<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let pass = self.grant.allow();
        Ok(pass.variables().iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}
