//! `environment`: the granted variables, no arguments, no working directory. The host's own environment is not exposed.

use toolgate_policy::capability::environment::Grant;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::cli::environment;
use wasmtime_wasi::p3::bindings::cli::environment as p3;

use super::Ctx;

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    environment::add_to_linker::<Ctx, Environment>(linker, view)
}

pub(super) fn link_p3(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    p3::add_to_linker::<Ctx, Environment>(linker, view)
}

struct Environment;

impl HasData for Environment {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: &'a Grant,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { grant: &ctx.prototype.effective.environment }
}

impl View<'_> {
    fn variables(&self) -> Vec<(String, String)> {
        let pass = self.grant.allow();
        pass.variables().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl environment::Host for View<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.variables())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl p3::Host for View<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.variables())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn get_initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}
