//! Where guest code runs, and nowhere else: [`Sandbox::call`] takes a permit, makes a fresh store, enters the guest on
//! threads of its own, and ends it when a limit, the deadline or the caller says so. Who may call is not decided here.

pub(crate) mod compile;
pub(crate) mod engine;
pub(crate) mod export;
pub(crate) mod export_request;
pub(crate) mod guests;
pub mod interrupt;
pub(crate) mod isolated;
mod last_words;
mod linker;
pub(crate) mod prepare;
mod store;
mod trap;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use toolgate_policy::call::Permit;
use toolgate_policy::capability::http::Pass;
use toolgate_policy::limits::call::{CallLimit, GRACE_MS};
use toolgate_policy::limits::lift::UNCOUNTED_VALUES_BYTES;
use wasmtime::component::Val;

use crate::audit::record::CallTrace;
use crate::egress::Egress;
use crate::imports::host_calls::{Broker, HostCalls};
use crate::meter::Meter;
use crate::meter::account::{Budget, Hold, MemoryAccount};
use crate::outcome::{Fault, FaultKind, Outcome};
use crate::relay::Relay;
use crate::state::keyvalue::Stores;
use compile::Compiler;
use compile::progress::CompileProgress;
use export::{Export, InProcessModule, PreparedTarget};
use guests::GuestExecutor;
use interrupt::Interrupt;
use isolated::Beginning;
use isolated::handle::WorkerModule;
use linker::Linkers;
use store::{Run, answer, show};

/// Everything that sandboxes share: the engine, its linkers, the compiler's cache, the guests' threads, the memory that
/// all calls may hold together, the way out, the plugins' stores.
pub struct Sandbox {
    compiler: Compiler,
    linkers: Linkers,
    guests: GuestExecutor,
    budget: Arc<Budget>,
    egress: Arc<Egress>,
    stores: Stores,
}

/// What a call brings besides its permit and arguments.
pub(crate) struct Call<S> {
    /// When it must have ended.
    pub(crate) deadline: Instant,
    /// What ends it earlier.
    pub(crate) interrupt: Interrupt,
    /// Its way to its caller.
    pub(crate) relay: Relay,
    /// Where it notes what it does.
    pub(crate) notes: CallTrace,
    /// Whether its caller is told what the plugin wrote last, if it crashes.
    pub(crate) tells_crash: bool,
    /// Its place among calls, given back when its store is gone.
    pub(crate) slot: S,
}

impl Sandbox {
    /// Starts the threads that guests run on. `memory_bytes_max` is what all calls may hold together.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(crate) fn new(
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
            stores,
            compiler,
        })
    }

    /// Runs one function in a fresh store. The outcome is told as soon as it is known; the store is torn down after.
    pub(crate) async fn call<S: Send + 'static>(
        &self,
        permit: &Permit,
        export: &Arc<Export>,
        args: Vec<Val>,
        call: Call<S>,
    ) -> Outcome {
        let is_for = (permit.digest(), permit.tool(), permit.effects());
        if is_for != (export.digest(), export.tool(), export.effects()) {
            return Outcome::Fault(Fault::internal("the permit is for another tool"));
        }
        let (deadline, interrupt) = (call.deadline, call.interrupt.clone());
        let begun = match export.place() {
            PreparedTarget::Here(here) => self.here(here, export, args, call),
            PreparedTarget::Apart(apart) => self.apart(apart, export, args, call),
        };
        match begun {
            Ok((told, task)) => self.wait(told, task, deadline, &interrupt, export).await,
            Err(fault) => Outcome::Fault(fault),
        }
    }

    /// Begins a call on the guests' threads.
    fn here<S: Send + 'static>(
        &self,
        here: &Arc<InProcessModule>,
        export: &Arc<Export>,
        args: Vec<Val>,
        call: Call<S>,
    ) -> Result<(oneshot::Receiver<Outcome>, Option<guests::GuestTask>), Fault> {
        let Call { deadline, interrupt, relay, notes, tells_crash, slot } = call;
        let account = MemoryAccount::new(&self.budget, export.limits().get(CallLimit::Memory));
        let meter = Meter::new(export.limits().clone(), deadline, account.clone());
        let (tell, told) = oneshot::channel();
        let powers = Arc::clone(&here.prototype.powers);
        let tells = tells_crash.then(|| Arc::clone(&powers));
        let broker = Broker::new(powers, meter.clone(), notes.clone());
        let outside = HostCalls::Local(Arc::new(broker));
        let (exported, here) = (Arc::clone(export), Arc::clone(here));
        let run = Run::new(exported, here, meter, notes.clone(), relay, outside);
        let run = run.map_err(Fault::internal)?;
        let export = Arc::clone(export);
        let task = self.guests.spawn(&Arc::clone(export.pace()), async move {
            tracing::debug!(tool = %export.tool(), "a guest begins");
            let ended = run.finish(args, &interrupt).await;
            notes.used(ended.fuel, ended.memory_peak_bytes);
            show(&export, &ended.written);
            // In this order also where the call is abandoned: by a caller that has its answer, as a rule.
            let rest = (ended.store, slot);
            let outcome = answer(&export, ended.came, &account);
            let outcome = last_words::add(outcome, &ended.written, tells.as_deref());
            // Nobody may be listening any more; the record has its own end. The store is torn down after the answer.
            drop(tell.send(outcome));
            if export.pace().is_slow() {
                // That of a hog takes milliseconds, so it has a turn of its own.
                tokio::task::yield_now().await;
            }
            drop(rest);
        });
        Ok((told, Some(task)))
    }

    /// Begins a call in the plugin's worker. All the memory that it may come to hold is taken from the budget at once.
    fn apart<S: Send + 'static>(
        &self,
        apart: &WorkerModule,
        export: &Arc<Export>,
        args: Vec<Val>,
        call: Call<S>,
    ) -> Result<(oneshot::Receiver<Outcome>, Option<guests::GuestTask>), Fault> {
        let Call { deadline, interrupt, relay, notes, tells_crash, slot } = call;
        let account = MemoryAccount::new(&self.budget, export.limits().get(CallLimit::Memory));
        let whole = account.hold_beside(isolated::call_bytes_max(export.limits()));
        let whole = whole.map_err(|_| Fault::no_memory())?;
        let (mut tell, told) = oneshot::channel();
        let (worker, export) = (Arc::clone(&apart.worker), Arc::clone(export));
        let tells = tells_crash.then(|| Arc::clone(&apart.powers));
        let beginning = Beginning {
            deadline,
            account: account.clone(),
            relay,
            notes: notes.clone(),
            powers: Arc::clone(&apart.powers),
        };
        self.guests.detach(async move {
            let gone = async {
                tokio::select! {
                    fault = interrupt.raised() => fault,
                    () = tell.closed() => Fault::new(FaultKind::Cancelled, "the call was cancelled"),
                }
            };
            let ended = worker.call(&export, &args, beginning, gone).await;
            notes.used(ended.fuel, ended.memory_peak_bytes);
            show(&export, &ended.written);
            let outcome = answer(&export, ended.came, &account);
            drop(tell.send(last_words::add(outcome, &ended.written, tells.as_deref())));
            drop((whole, slot));
        });
        Ok((told, None))
    }

    /// From now on `listener` is told of plugins that take long to compile.
    pub(crate) fn tell_compiling(&self, listener: CompileProgress) {
        self.compiler.tell(listener);
    }

    /// Takes memory of the host for a call's arguments from what all calls may hold together; few bytes are not counted.
    pub(crate) fn hold(&self, bytes: u64) -> Option<Hold> {
        let counted = if bytes > UNCOUNTED_VALUES_BYTES { bytes } else { 0 };
        MemoryAccount::new(&self.budget, 0).hold_beside(counted).ok()
    }

    /// Where an allowed request would connect to, or a sentence that says why nowhere.
    pub(crate) async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, String> {
        self.egress.resolve(pass).await.map_err(|error| error.to_string())
    }

    /// The addresses of this machine's interfaces; nothing if the system does not tell.
    pub(crate) fn own_addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.egress.own_addresses()
    }

    /// Waits for a call from a thread that may wait, and be it one that drives others.
    pub(crate) fn wait_for<T: Send>(&self, call: impl Future<Output = T> + Send) -> Result<T, String> {
        self.guests.wait_for(call).ok_or_else(|| "the sandbox panicked".to_owned())
    }

    /// Waits for the guest's own end, and a little longer than its deadline: a guest that is stuck in the host is left
    /// behind, and its place stays taken until it lets go.
    async fn wait(
        &self,
        told: oneshot::Receiver<Outcome>,
        task: Option<guests::GuestTask>,
        deadline: Instant,
        interrupt: &Interrupt,
        export: &Export,
    ) -> Outcome {
        let grace = std::time::Duration::from_millis(GRACE_MS);
        tokio::select! {
            outcome = told => outcome.unwrap_or_else(|_| Outcome::Fault(Fault::internal("the sandbox panicked"))),
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
