//! `toolgate:plugin`: functions for plugins that know Toolgate, without a grant. They reach only the operator's log and
//! the caller of the current call.

use toolgate_base::meter::Meter;
use toolgate_base::relay::Relay;
use wasmtime::component::{HasData, Linker};

use super::Ctx;
use crate::bindings::toolgate::plugin::{cancelled, log, progress};

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    log::add_to_linker::<Ctx, Plugin>(linker, view)?;
    progress::add_to_linker::<Ctx, Plugin>(linker, view)?;
    cancelled::add_to_linker::<Ctx, Plugin>(linker, view)?;
    // Types only.
    linker.instance("toolgate:plugin/content@0.1.0")?;
    Ok(())
}

struct Plugin;

impl HasData for Plugin {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    output: &'a super::output::Output,
    relay: &'a Relay,
    meter: &'a Meter,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { output: &ctx.output, relay: &ctx.relay, meter: &ctx.meter }
}

impl log::Host for View<'_> {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Notice => "notice",
            log::Level::Warning => "warning",
            log::Level::Error => "error",
            log::Level::Critical => "critical",
            log::Level::Alert => "alert",
            log::Level::Emergency => "emergency",
        };
        self.meter.charge(message.len() as u64);
        self.output.keep(format!("{level}: {}\n", message.trim_end_matches('\n')).as_bytes());
    }
}

impl progress::Host for View<'_> {
    fn report(&mut self, progress: f64, total: Option<f64>, message: Option<String>) {
        self.meter.charge(message.as_ref().map_or(0, String::len) as u64);
        self.relay.report(progress, total, message.as_deref());
    }
}

impl cancelled::Host for View<'_> {
    fn is_cancelled(&mut self) -> bool {
        self.relay.is_cancelled()
    }
}
