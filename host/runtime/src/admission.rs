//! Limits on concurrent calls, per plugin and in total. Further calls queue, with callers served in turn; beyond the
//! queue they are refused at once, so that callers back off. Calls of a caller or plugin on hold are refused as well.

mod breaker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::outcome::{Fault, FaultKind, Outcome};
use toolgate_policy::PluginName;
use toolgate_policy::call::Permit;
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_state::audit::{Event, Recorder};

use crate::turns::{Caller, Crowded, TurnSlot, Turns};
use breaker::{Breaker, Change, Trial, Whom};

/// Call slots of one plugin.
pub(crate) struct Admission {
    /// Identifies the plugin in the queue shared by all plugins.
    number: u64,
    plugin: PluginName,
    running: Arc<Turns>,
    /// Calls that have a slot of the plugin and wait for one in the shared queue; bounded by `queue` as well.
    at_door: AtomicU64,
    queue: u64,
    deadline_ms: u64,
    breaker: Breaker,
}

/// A slot for a running call; released on drop.
pub(crate) struct Slot {
    _of_plugin: TurnSlot,
    _of_all: TurnSlot,
}

/// A call waiting for a slot in the shared queue.
struct AtDoor<'a>(&'a Admission);

impl<'a> AtDoor<'a> {
    fn join(admission: &'a Admission) -> Result<Self, Crowded> {
        let joined = admission.at_door.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < admission.queue).then_some(waiting + 1)
        });
        joined.map(|_| Self(admission)).map_err(|_| Crowded::Full)
    }
}

impl Drop for AtDoor<'_> {
    fn drop(&mut self) {
        self.0.at_door.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Call slots shared by all plugins. Each plugin bounds how many of its calls wait here.
pub(crate) fn of_all(calls_max: usize) -> Arc<Turns> {
    Turns::new(calls_max, usize::MAX)
}

impl Admission {
    pub(crate) fn new(plugin: PluginName, limits: &CallLimits) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let at_most = |limit| usize::try_from(limits.get(limit)).unwrap_or(1);
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            plugin,
            running: Turns::new(at_most(CallLimit::Concurrency), at_most(CallLimit::Queue)),
            at_door: AtomicU64::new(0),
            queue: limits.get(CallLimit::Queue),
            deadline_ms: limits.get(CallLimit::Deadline),
            breaker: Breaker::new(limits.get(CallLimit::Faults)),
        }
    }

    /// Checks the circuit breaker for a call by `caller`. `learning` calls fail by design, so they are not counted.
    ///
    /// # Errors
    /// A fault if the caller or the plugin is on hold.
    pub(crate) fn begin(&self, caller: &Caller, learning: bool) -> Result<Option<Trial<'_>>, Fault> {
        (!learning).then(|| self.breaker.begin(caller, Instant::now())).transpose()
    }

    /// Settles a trial by its outcome. A change of a hold goes to the log and the record.
    pub(crate) fn settle(
        &self,
        trial: Option<Trial<'_>>,
        caller: &Caller,
        outcome: &Outcome,
        audit: &Recorder,
    ) {
        let change = trial.and_then(|trial| trial.ended(outcome, Instant::now()));
        let Some(change) = change else { return };
        let (whom, seconds) = match change {
            Change::Held(whom, lasts) => (whom, Some(lasts.as_secs())),
            Change::Released(whom) => (whom, None),
        };
        let tenant = caller.tenant().as_str();
        let (scope, culprit) = match whom {
            Whom::Caller => ("connection", Some(&**caller.peer())),
            Whom::Peer => ("address", Some(&**caller.peer())),
            Whom::Everybody => ("everybody", None),
        };
        let (plugin, shown) = (self.plugin.as_str(), culprit.unwrap_or("everybody"));
        match seconds {
            Some(seconds) => {
                tracing::warn!(
                    plugin,
                    tenant,
                    scope,
                    caller = shown,
                    seconds,
                    "a plugin failed too often in a row and is on hold"
                );
            }
            None => {
                tracing::info!(plugin, tenant, scope, caller = shown, "a plugin that was on hold works again")
            }
        }
        audit.event(&Event::Held { plugin, tenant, scope, caller: culprit, seconds });
    }

    /// Acquires a slot, waiting for one until the deadline.
    ///
    /// # Errors
    /// The limit that was hit, the interrupt that ended the call, or a permit for another plugin.
    pub(crate) async fn enter(
        &self,
        permit: &Permit,
        caller: &Caller,
        all: &Arc<Turns>,
        deadline: Instant,
        interrupt: &Interrupt,
    ) -> Result<Slot, Fault> {
        if (permit.target().plugin(), permit.tenant()) != (&self.plugin, caller.tenant()) {
            return Err(Fault::internal("the permit is for another plugin or tenant"));
        }
        let places = async {
            let of_plugin = self.running.enter(caller, 0).await?;
            // A peer's plugins take turns here, however many calls of one plugin wait.
            let of_all = all.enter_if(caller, self.number, || AtDoor::join(self)).await?;
            Ok(Slot { _of_plugin: of_plugin, _of_all: of_all })
        };
        tokio::select! {
            biased;
            fault = interrupt.raised() => Err(fault),
            slot = places => slot.map_err(|crowded| self.turned_away(crowded)),
            () = tokio::time::sleep_until(deadline) => {
                Err(Fault::limit(CallLimit::Deadline, self.deadline_ms).logged("it waited in the queue to its deadline"))
            }
        }
    }

    fn turned_away(&self, crowded: Crowded) -> Fault {
        match crowded {
            Crowded::Full => Fault::limit(CallLimit::Queue, self.queue),
            Crowded::GaveWay => {
                let text = format!(
                    "too many calls of this tool's plugin are waiting ({} = {}), most of them by this client; try again later",
                    CallLimit::Queue.name(),
                    self.queue
                );
                Fault::new(FaultKind::Limit(CallLimit::Queue), text)
            }
        }
    }
}
