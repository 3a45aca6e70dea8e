//! Where guest code runs, and nowhere else: [`Sandbox::call`] takes a permit, makes a fresh store, enters the guest on
//! threads of its own, and ends it when a limit, the deadline or the caller says so. Who may call is not decided here.

pub(crate) mod compile;
pub(crate) mod engine;
pub(crate) mod guests;
pub mod interrupt;
mod linker;
pub(crate) mod prepare;
mod store;
mod trap;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use toolgate_policy::call::Permit;
use toolgate_policy::capability::http::Pass;
use toolgate_policy::limits::call::{CallLimit, GRACE_MS};
use wasmtime::component::Val;

use crate::audit::record::Notes;
use crate::egress::Egress;
use crate::meter::Meter;
use crate::meter::memory::Budget;
use crate::outcome::{Fault, Outcome};
use crate::relay::Relay;
use crate::state::keyvalue::Stores;
use compile::Compiler;
use guests::Guests;
use interrupt::Interrupt;
use linker::Linkers;
use prepare::Export;
use store::Run;

/// Everything that sandboxes share: the engine, its linkers, the compiler's cache, the guests' threads, the memory that
/// all calls may hold together, the way out, the plugins' stores.
pub struct Sandbox {
    compiler: Compiler,
    linkers: Linkers,
    guests: Guests,
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
    pub(crate) notes: Notes,
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
        Ok(Self {
            linkers: Linkers::default(),
            guests: Guests::start()?,
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
        if permit.digest() != export.digest() || permit.tool() != export.tool() {
            return Outcome::Fault(Fault::internal("the permit is for another tool"));
        }
        let Call { deadline, interrupt, relay, notes, slot } = call;
        let meter = Meter::new(export.limits().clone(), deadline);
        let (tell, told) = oneshot::channel();
        let run = match Run::new(Arc::clone(export), meter, notes, relay, &self.budget) {
            Ok(run) => run,
            Err(error) => return Outcome::Fault(Fault::internal(error)),
        };
        let guest_interrupt = interrupt.clone();
        let tool = export.tool().clone();
        let task = self.guests.spawn(async move {
            tracing::debug!(%tool, "a guest begins");
            let ended = run.finish(args, &guest_interrupt).await;
            // Nobody may be listening any more; the record has its own end. The store is torn down after the answer.
            drop(tell.send(ended.outcome));
            drop(ended.store);
            drop(slot);
        });
        self.wait(told, task, deadline, &interrupt, export).await
    }

    /// Where an allowed request would connect to, or a sentence that says why nowhere.
    pub(crate) async fn resolve(&self, pass: &Pass) -> Result<Vec<SocketAddr>, String> {
        self.egress.resolve(pass).await.map_err(|error| error.to_string())
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
        task: guests::Task,
        deadline: Instant,
        interrupt: &Interrupt,
        export: &Export,
    ) -> Outcome {
        let grace = std::time::Duration::from_millis(GRACE_MS);
        tokio::select! {
            outcome = told => outcome.unwrap_or_else(|_| Outcome::Fault(Fault::internal("the sandbox panicked"))),
            () = tokio::time::sleep_until(deadline + grace) => {
                task.abandon();
                let limit = export.limits().get(CallLimit::Deadline);
                Outcome::Fault(Fault::limit(CallLimit::Deadline, limit).logged("it was stuck in the host"))
            }
            fault = interrupt.raised_for(grace + export.moment_after_cancel()) => {
                task.abandon();
                Outcome::Fault(fault.logged("it was stuck in the host"))
            }
        }
    }
}
