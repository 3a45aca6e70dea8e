//! `config`: the granted values by key (wasi:config/store). Each requested key is noted in the record.

use toolgate_base::meter::Meter;
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::config::Grant;
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::{HasData, Linker};

use super::Ctx;
use crate::bindings::wasi::config::store;

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    store::add_to_linker::<Ctx, Config>(linker, view)
}

struct Config;

impl HasData for Config {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: &'a Grant,
    notes: &'a CallTrace,
    meter: &'a Meter,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { grant: &ctx.prototype.effective.config, notes: &ctx.notes, meter: &ctx.meter }
}

impl store::Host for View<'_> {
    fn get(&mut self, key: String) -> Result<Option<String>, store::Error> {
        let pass = self.grant.allow();
        let value = pass.values().get(&key).cloned();
        self.meter.charge(key.len() as u64);
        let judged = if value.is_some() { AttemptVerdict::Allowed } else { AttemptVerdict::Refused };
        self.notes.attempt(Attempt::Config(key), judged);
        Ok(value)
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, store::Error> {
        let pass = self.grant.allow();
        Ok(pass.values().iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
