//! Runs guest code. [`Sandbox::call`] takes a permit, creates a fresh store, and enters the guest on separate threads,
//! until it returns, or a limit, the deadline or the caller ends it. Access control is not done here.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod bindings;
pub mod child;
pub mod compile;
pub(crate) mod engine;
pub mod export;
pub mod export_request;
pub(crate) mod guests;
mod imports;
pub mod inspect;
pub(crate) mod isolated;
mod last_words;
mod lifting;
mod linker;
mod memory;
pub mod prepare;
mod protocol;
mod rpc;
mod stacks;
mod store;
mod trap;
mod worker;

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::meter::Meter;
use toolgate_base::meter::account::{Budget, Hold, MemoryAccount};
use toolgate_base::outcome::{Fault, FaultKind, Outcome};
use toolgate_base::relay::Relay;
use toolgate_mapping::lower::Lowered;
use toolgate_mapping::schema::Reply;
use toolgate_mapping::shape::Function;
use toolgate_net::egress::Egress;
use toolgate_policy::call::Permit;
use toolgate_policy::limits::call::{CallLimit, GRACE_MS};
use toolgate_policy::limits::lift::UNCOUNTED_VALUES_BYTES;
use toolgate_policy::principal::Tenant;
use toolgate_state::audit::record::CallTrace;
use toolgate_state::keyvalue::Stores;
use wasmtime::component::Val;

use crate::imports::host_calls::{Broker, HostCalls};
use compile::Compiler;
use export::{Export, GuestResult, InProcessModule, PreparedTarget};
use guests::GuestExecutor;
use isolated::Beginning;
use isolated::call_end::{UnreadEnd, WorkerCallEnd};
use isolated::handle::WorkerModule;
use linker::Linkers;
use store::{Run, show};

/// State shared by all sandboxes: compiler and cache, linkers, guest threads, memory budget, egress, plugins' stores.
pub struct Sandbox {
    /// Compiles components.
    pub compiler: Compiler,
    linkers: Linkers,
    guests: GuestExecutor,
    budget: Arc<Budget>,
    /// Sends what guests request.
    pub egress: Arc<Egress>,
    stores: Arc<Stores>,
}

/// Conversion of a function's result into the outcome of its call: [`toolgate_mapping::lift::lift_outcome`].
pub type Lift = fn(Option<&Val>, &Function, &Reply, u64, &MemoryAccount) -> Outcome;

/// Context of a call, besides its permit and arguments.
pub struct Call<S> {
    /// Time by which the call must have ended.
    pub deadline: Instant,
    /// Signal that ends it earlier.
    pub interrupt: Interrupt,
    /// Channel to the caller.
    pub relay: Relay,
    /// Record of what it does.
    pub notes: CallTrace,
    /// Whether the caller is shown the plugin's last output if it crashes.
    pub tells_crash: bool,
    /// Mapping of its result, run where the guest ran, while the guest's store still counts the memory.
    pub lift: Lift,
    /// Admission of the call, released after its store is dropped.
    pub slot: S,
}

impl Sandbox {
    /// Starts the guest threads. `memory_bytes_max` bounds the memory of all calls together.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new(
        compiler: Compiler,
        stores: Stores,
        egress: Arc<Egress>,
        memory_bytes_max: u64,
    ) -> std::io::Result<Self> {
        let guests = GuestExecutor::start()?;
        egress.run_on(guests.handle(), guests.connections());
        Ok(Self {
            linkers: Linkers::default(),
            guests,
            budget: Budget::new(memory_bytes_max),
            egress,
            stores: Arc::new(stores),
            compiler,
        })
    }

    /// Runs one function in a fresh store. The outcome is returned as soon as it is known; the store is dropped after.
    pub async fn call<S: Send + 'static>(
        &self,
        permit: &Permit,
        export: &Arc<Export>,
        args: Lowered,
        call: Call<S>,
    ) -> Outcome {
        let target = permit.target();
        let is_for = (target.digest(), target.tool(), permit.effects());
        if is_for != (export.plugin.digest, Some(&export.tool), export.plugin.effects) {
            return Outcome::Fault(Fault::internal("the permit is for another tool"));
        }
        let (deadline, interrupt) = (call.deadline, call.interrupt.clone());
        let tenant = permit.tenant().clone();
        let begun = match &export.plugin.place {
            PreparedTarget::InProcess(module) => self.call_in_process(module, tenant, export, args, call),
            PreparedTarget::Worker(module) => self.call_in_worker(module, tenant, export, args, call),
        };
        match begun {
            Ok((outcome, task)) => self.wait(outcome, task, deadline, &interrupt, export).await,
            Err(fault) => Outcome::Fault(fault),
        }
    }

    /// Starts a call on the guest threads.
    fn call_in_process<S: Send + 'static>(
        &self,
        module: &Arc<InProcessModule>,
        tenant: Tenant,
        export: &Arc<Export>,
        args: Lowered,
        call: Call<S>,
    ) -> Result<(oneshot::Receiver<Outcome>, Option<guests::GuestTask>), Fault> {
        let Call { deadline, interrupt, relay, notes, tells_crash, lift, slot } = call;
        let account = MemoryAccount::new(&self.budget, export.limits().get(CallLimit::Memory));
        let meter = Meter::new(export.limits().clone(), deadline, account.clone());
        let (sender, outcome) = oneshot::channel();
        let powers = Arc::clone(&module.prototype.powers);
        let known_to_caller = tells_crash.then(|| Arc::clone(&powers));
        let broker = Broker::new(tenant, powers, meter.clone(), notes.clone());
        let outside = HostCalls::Local(Arc::new(broker));
        let (exported, module) = (Arc::clone(export), Arc::clone(module));
        let run = Run::new(exported, module, meter, notes.clone(), relay, outside);
        let run = run.map_err(Fault::internal)?;
        let export = Arc::clone(export);
        let task = self.guests.spawn(&Arc::clone(&export.plugin.pace), async move {
            tracing::debug!(tool = %export.tool(), "a guest begins");
            let ended = run.finish(args.vals, &interrupt).await;
            notes.used(ended.fuel, ended.memory_peak_bytes);
            show(&export, &ended.written);
            // Dropped in this order, also if the task is abandoned, as usually once the caller has its answer.
            let rest = (ended.store, slot);
            let outcome = lift_result(lift, &export, ended.result, &account);
            let outcome = last_words::add(outcome, &ended.written, known_to_caller.as_deref());
            // The receiver may be gone; the record ends on its own. The store is dropped after the answer.
            drop(sender.send(outcome));
            if export.plugin.pace.is_slow() {
                // Dropping a large store takes milliseconds, so it gets a turn of its own.
                tokio::task::yield_now().await;
            }
            drop(rest);
        });
        Ok((outcome, Some(task)))
    }

    /// Starts a call in the plugin's worker. Its maximum memory is taken from the budget in advance.
    fn call_in_worker<S: Send + 'static>(
        &self,
        module: &WorkerModule,
        tenant: Tenant,
        export: &Arc<Export>,
        args: Lowered,
        call: Call<S>,
    ) -> Result<(oneshot::Receiver<Outcome>, Option<guests::GuestTask>), Fault> {
        let Call { deadline, interrupt, relay, notes, tells_crash, lift, slot } = call;
        let account = MemoryAccount::new(&self.budget, export.limits().get(CallLimit::Memory));
        let whole = account.hold_beside(isolated::call_bytes_max(export.limits()));
        let whole = whole.map_err(|_| Fault::no_memory())?;
        let (mut sender, outcome) = oneshot::channel();
        let (worker, export) = (Arc::clone(&module.worker), Arc::clone(export));
        let known_to_caller = tells_crash.then(|| Arc::clone(&module.powers));
        let beginning = Beginning {
            tenant,
            deadline,
            account: account.clone(),
            relay,
            notes: notes.clone(),
            powers: Arc::clone(&module.powers),
            slow: self.guests.slow_lane(),
        };
        let slow = self.guests.slow_lane();
        self.guests.detach(async move {
            let gone = async {
                tokio::select! {
                    fault = interrupt.raised() => fault,
                    () = sender.closed() => Fault::new(FaultKind::Cancelled, "the call was cancelled"),
                }
            };
            let unread = worker.call(&export, args, beginning, gone).await;
            let bytes = unread.as_ref().map_or(0, UnreadEnd::bytes);
            let finish = move || {
                let ended = unread.map_or_else(WorkerCallEnd::nothing, |unread| unread.read(&export));
                notes.used(ended.fuel, ended.memory_peak_bytes);
                show(&export, &ended.written);
                let outcome = lift_result(lift, &export, ended.result, &account);
                drop(sender.send(last_words::add(outcome, &ended.written, known_to_caller.as_deref())));
                drop((whole, slot));
            };
            slow.run(bytes, finish).await.unwrap_or_default();
        });
        Ok((outcome, None))
    }

    /// Takes memory for a call's arguments from the budget of all calls; small amounts are not counted.
    pub fn hold(&self, bytes: u64) -> Option<Hold> {
        let counted = if bytes > UNCOUNTED_VALUES_BYTES { bytes } else { 0 };
        MemoryAccount::new(&self.budget, 0).hold_beside(counted).ok()
    }

    /// Blocks on a call from a thread that may block, even one that drives a runtime.
    pub fn wait_for<T: Send>(&self, call: impl Future<Output = T> + Send) -> Result<T, String> {
        self.guests.wait_for(call).ok_or_else(|| "the sandbox panicked".to_owned())
    }

    /// Waits for the guest to end, until slightly after its deadline. A guest that is blocked in the host is then
    /// abandoned, and its admission stays taken until it returns.
    async fn wait(
        &self,
        outcome: oneshot::Receiver<Outcome>,
        task: Option<guests::GuestTask>,
        deadline: Instant,
        interrupt: &Interrupt,
        export: &Export,
    ) -> Outcome {
        let grace = std::time::Duration::from_millis(GRACE_MS);
        tokio::select! {
            outcome = outcome => outcome.unwrap_or_else(|_| Outcome::Fault(Fault::internal("the sandbox panicked"))),
            () = tokio::time::sleep_until(deadline + grace) => {
                task.iter().for_each(guests::GuestTask::abandon);
                let limit = export.limits().get(CallLimit::Deadline);
                Outcome::Fault(Fault::limit(CallLimit::Deadline, limit).logged("it was stuck in the host, or got no turn"))
            }
            fault = interrupt.raised_for(grace + export.moment_after_cancel()) => {
                task.iter().for_each(guests::GuestTask::abandon);
                Outcome::Fault(fault.logged("it was stuck in the host, or got no turn"))
            }
        }
    }
}

fn lift_result(lift: Lift, export: &Export, result: GuestResult, account: &MemoryAccount) -> Outcome {
    let bytes_max = export.limits().get(CallLimit::Output);
    match result {
        Ok(result) => lift(result.as_ref(), export.function(), &export.reply, bytes_max, account),
        Err(fault) => Outcome::Fault(fault),
    }
}
