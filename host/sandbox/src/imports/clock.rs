//! `clock`: the wall clock and the monotonic clock, at the granted resolution. The monotonic clock starts with the
//! call, and neither ever reads 0.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toolgate_base::meter::StopError;
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::clock::{Grant, Pass};
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p3::bindings::clocks as p3;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::Ctx;

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<Ctx, Clock>(linker, view)?;
    monotonic_clock::add_to_linker::<Ctx, Clock>(linker, view)
}

pub(super) fn link_p3(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    p3::types::add_to_linker::<Ctx, Clock>(linker, view)?;
    p3::system_clock::add_to_linker::<Ctx, Clock>(linker, view)?;
    p3::monotonic_clock::add_to_linker::<Ctx, Clock>(linker, view)
}

struct Clock;

impl HasData for Clock {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: Grant,
    started: std::time::Instant,
    table: &'a mut ResourceTable,
    notes: &'a CallTrace,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    let grant = ctx.prototype.effective.clock;
    View { grant, started: ctx.started, table: &mut ctx.table, notes: &ctx.notes }
}

impl View<'_> {
    fn pass(&self) -> wasmtime::Result<Pass> {
        self.grant.allow().map_err(|denied| {
            self.notes.attempt(Attempt::Clock, AttemptVerdict::Refused);
            StopError::Grant(denied.to_string()).into()
        })
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Time since 1970.
    fn wall(&self) -> wasmtime::Result<Duration> {
        let pass = self.pass()?;
        // A system clock before 1970 reads as 1970.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        Ok(Duration::from_nanos(pass.wall_ns(u64::try_from(now).unwrap_or(u64::MAX))))
    }

    fn timer(&mut self, wait_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer::new(wait_ns))?;
        subscribe(self.table, timer)
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = self.wall()?;
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
        Ok(pass.monotonic_ns(self.elapsed_ns()))
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(self.pass()?.resolution_ns())
    }

    fn subscribe_instant(
        &mut self,
        when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let pass = self.pass()?;
        self.timer(pass.until_ns(when, self.elapsed_ns()))
    }

    fn subscribe_duration(
        &mut self,
        wait: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let pass = self.pass()?;
        self.timer(pass.round_up(wait))
    }
}

impl p3::types::Host for View<'_> {}

impl p3::system_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<p3::system_clock::Instant> {
        let now = self.wall()?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        Ok(p3::system_clock::Instant { seconds, nanoseconds: now.subsec_nanos() })
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(self.pass()?.resolution_ns())
    }
}

impl p3::monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let pass = self.pass()?;
        Ok(pass.monotonic_ns(self.elapsed_ns()))
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(self.pass()?.resolution_ns())
    }
}

impl<T: 'static> p3::monotonic_clock::HostWithStore<T> for Clock {
    async fn wait_until(store: &Accessor<T, Self>, when: u64) -> wasmtime::Result<()> {
        let wait = store.with(|mut access| {
            let view = access.get();
            view.pass().map(|pass| pass.until_ns(when, view.elapsed_ns()))
        })?;
        Timer::new(wait).ready().await;
        Ok(())
    }

    async fn wait_for(store: &Accessor<T, Self>, wait: u64) -> wasmtime::Result<()> {
        let wait = store.with(|mut access| access.get().pass().map(|pass| pass.round_up(wait)))?;
        Timer::new(wait).ready().await;
        Ok(())
    }
}

enum Timer {
    Now { yielded: bool },
    At(tokio::time::Instant),
    Never,
}

impl Timer {
    fn new(wait_ns: u64) -> Self {
        let wait = Duration::from_nanos(wait_ns);
        match tokio::time::Instant::now().checked_add(wait) {
            _ if wait.is_zero() => Self::Now { yielded: false },
            Some(at) => Self::At(at),
            None => Self::Never,
        }
    }
}

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        match self {
            // Yields once: a guest that polls a zero timer in a loop must not starve the reactor.
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
