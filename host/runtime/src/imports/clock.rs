//! `clock`: the wall clock and the monotonic clock, as fine as the grant says. The monotonic clock begins with the call.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toolgate_policy::capability::clock::{Grant, Pass};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::Ctx;
use crate::meter::Stop;

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<Ctx, Clock>(linker, view)?;
    monotonic_clock::add_to_linker::<Ctx, Clock>(linker, view)
}

struct Clock;

impl HasData for Clock {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: Grant,
    started: std::time::Instant,
    table: &'a mut ResourceTable,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { grant: ctx.prototype.effective.clock, started: ctx.started, table: &mut ctx.table }
}

impl View<'_> {
    fn pass(&self) -> wasmtime::Result<Pass> {
        self.grant.allow().map_err(|denied| Stop::Grant(denied.to_string()).into())
    }

    fn elapsed_ns(&self, pass: Pass) -> u64 {
        pass.cut(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn timer(&mut self, wait_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = Duration::from_nanos(wait_ns);
        let timer = match tokio::time::Instant::now().checked_add(wait) {
            _ if wait.is_zero() => Timer::Now { yielded: false },
            Some(at) => Timer::At(at),
            None => Timer::Never,
        };
        let timer = self.table.push(timer)?;
        subscribe(self.table, timer)
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let pass = self.pass()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Duration::from_nanos(pass.cut(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)));
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let step = Duration::from_nanos(self.pass()?.resolution_ns());
        Ok(wall_clock::Datetime { seconds: step.as_secs(), nanoseconds: step.subsec_nanos() })
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        let pass = self.pass()?;
        Ok(self.elapsed_ns(pass))
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(self.pass()?.resolution_ns())
    }

    fn subscribe_instant(
        &mut self,
        when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let pass = self.pass()?;
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.timer(pass.round_up(when).saturating_sub(now))
    }

    fn subscribe_duration(
        &mut self,
        wait: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let pass = self.pass()?;
        self.timer(pass.round_up(wait))
    }
}

enum Timer {
    Now { yielded: bool },
    At(tokio::time::Instant),
    Never,
}

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        match self {
            // A guest that polls in a loop with a zero timer must not keep the reactor from running.
            Self::Now { yielded } if !*yielded => {
                *yielded = true;
                tokio::task::yield_now().await;
            }
            Self::Now { .. } => {}
            Self::At(at) => tokio::time::sleep_until(*at).await,
            Self::Never => std::future::pending().await,
        }
    }
}
