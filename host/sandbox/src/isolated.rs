//! Calls in a process of the plugin's own, behind the system's walls: the worker. It is started before anybody calls, kept,
//! and started anew when it has ended. It computes and reaches nothing: what it says is read as what a guest says is read,
//! and gives nobody any right. Who may call, for how long and on whose account is decided before and after, in this process;
//! what a call may reach outside is asked for here, and done here.

mod attempts;
pub(super) mod handle;
mod message;
mod read_loop;
mod request_gate;
mod serve;
pub(crate) mod worker_main;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex as Turn, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use toolgate_base::meter::Meter;
use toolgate_base::meter::account::MemoryAccount;
use toolgate_base::outcome::{Fault, FaultKind};
use toolgate_base::relay::Relay;
use toolgate_base::spec::EngineKind;
use toolgate_mapping::wire::{self, WireError};
use toolgate_policy::limits::call::{CallLimit, CallLimits, STACK_ADDRESSES, STACK_BYTES};
use toolgate_policy::limits::lift::{frame_bytes_max, import_bytes_max, lift_bytes_max};
use toolgate_policy::limits::load::{
    WORKER_BODY_BYTES, WORKER_CALL_BYTES, WORKER_GRACE_MS, WORKER_MEMORY_BYTES, WORKER_START_MS,
};
use toolgate_policy::load::Clearance;
use toolgate_policy::redact::printable;
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::{Component, Val};

use super::engine::stacks_each;
use super::export::{Export, GuestResult};
use super::export_request::ExportRequest;
use crate::imports::host_calls::{Broker, Powers};
use crate::imports::output::Kept as Written;
use crate::worker::handle::ChildHandle;
use handle::{Isolated, LiveWorker};
use message::{ExportRef, FromWorker, ToWorker, WireFault, WorkerInit, message};
use read_loop::{CallWaiter, Calls, MessageReader, WorkerMessage};
use request_gate::{Pending as AskedFor, RequestGate};
use serve::Serving;

/// The word by which the program knows that it was started as a worker. Its argument: bytes of memory.
pub(crate) const WORKER: &str = "__worker";

/// What a call brings.
pub(super) struct Beginning {
    pub(super) deadline: Instant,
    /// What is held for it in this process.
    pub(super) account: MemoryAccount,
    pub(super) relay: Relay,
    pub(super) notes: CallTrace,
    pub(super) powers: Arc<Powers>,
}

/// How a call ended.
pub(super) struct WorkerCallEnd {
    pub(super) came: GuestResult,
    pub(super) fuel: u64,
    pub(super) memory_peak_bytes: u64,
    pub(super) written: Written,
}

/// What a worker was last told of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    ToAnswer,
    ToEnd,
}

impl Isolated {
    /// Nothing is started yet.
    pub(super) fn new(
        program: &Path,
        clearance: &Clearance,
        component: &Component,
        wanted: &[ExportRequest],
        kind: EngineKind,
    ) -> Self {
        let (limits, effective) = (clearance.limits(), clearance.effective());
        let named = |wanted: &ExportRequest| ExportRef {
            interface: wanted.path.interface.clone(),
            function: wanted.path.function.clone(),
            given: wanted.given,
        };
        let begin = WorkerInit {
            engine: kind.word().to_owned(),
            limits: CallLimit::ALL.map(|limit| (limit.name().to_owned(), limits.get(limit))).into(),
            clock: effective.clock.word().to_owned(),
            random: effective.random.word(),
            environment: effective.environment.allow().variables().clone(),
            config: effective.config.allow().values().clone(),
            folders: effective.files.mounts().iter().map(|mount| mount.guest.clone()).collect(),
            functions: wanted.iter().map(named).collect(),
        };
        Self {
            program: program.to_owned(),
            begin,
            component: component.clone(),
            heard: MessageReader::within(limits),
            memory_bytes_max: memory_bytes_max(limits, kind),
            waiting_max: waiting_max(limits),
            live: Turn::default(),
        }
    }

    /// Starts it, if it does not run.
    ///
    /// # Errors
    /// Why there is no worker.
    pub(super) async fn start(&self) -> Result<(), String> {
        self.live().await.map(drop)
    }

    /// Runs one function in it. `gone` comes when nobody waits for the call any more.
    pub(super) async fn call(
        &self,
        export: &Export,
        args: &[Val],
        beginning: Beginning,
        gone: impl Future<Output = Fault>,
    ) -> WorkerCallEnd {
        let Beginning { deadline, account, relay, notes, powers } = beginning;
        tokio::pin!(gone);
        let live = tokio::select! {
            biased;
            fault = &mut gone => return WorkerCallEnd::nothing(fault),
            () = sleep_until(deadline) => return WorkerCallEnd::nothing(late(export, "its worker was not ready")),
            live = self.live() => live,
        };
        let live = match live {
            Ok(live) => live,
            Err(why) => return WorkerCallEnd::nothing(Fault::internal(why)),
        };
        tracing::debug!(tool = %export.tool(), "a guest begins");
        let meter = Meter::new(export.limits().clone(), deadline, account);
        let here = Broker::new(powers, meter.clone(), notes);
        let Some((id, told, asked)) = live.ask(export, args, relay, &here) else {
            return WorkerCallEnd::nothing(Fault::internal("the arguments cannot be put into bytes"));
        };
        let serving = Serving::new(&live, id, here);
        let told = serving.until(told, asked);
        tokio::pin!(told);
        let grace = Duration::from_millis(WORKER_GRACE_MS);
        let told = tokio::select! {
            biased;
            told = &mut told => told,
            () = sleep_until(deadline + grace) => {
                live.end();
                return WorkerCallEnd::nothing(late(export, "its worker did not answer and was ended"));
            }
            fault = &mut gone => {
                live.say(&ToWorker::Cancel { id }, &[]);
                return match timeout(grace + export.moment_after_cancel(), &mut told).await {
                    // It may have answered in the moment that it had.
                    Ok(Ok(told)) => live.read(export, told, Asked::ToEnd).and_here(&meter).unless(fault),
                    Ok(Err(_)) => WorkerCallEnd::nothing(fault),
                    Err(_) => {
                        live.end();
                        WorkerCallEnd::nothing(fault.logged("its worker did not answer and was ended"))
                    }
                };
            }
        };
        match told {
            Ok(told) => live.read(export, told, Asked::ToAnswer).and_here(&meter),
            Err(_) => WorkerCallEnd::nothing(ended_early()),
        }
    }

    /// The worker that runs; one that is started now, if there is none.
    async fn live(&self) -> Result<Arc<LiveWorker>, String> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !live.calls().ended) {
            return Ok(Arc::clone(live));
        }
        let (ready, is_ready) = oneshot::channel();
        let calls = Arc::<Mutex<Calls>>::default();
        let (heard, theirs) = (self.heard, Arc::clone(&calls));
        let args = vec![WORKER.to_owned(), self.memory_bytes_max.to_string()];
        let failed = |error: std::io::Error| format!("start its worker {}: {error}", self.program.display());
        // What a worker leaves is let go of on that thread, and connections wait for others only in a runtime.
        let runtime = Handle::current();
        let hear = move |stdout| {
            let _entered = runtime.enter();
            heard.hear(stdout, ready, &theirs);
        };
        let process =
            ChildHandle::start(&self.program, args, self.waiting_max, hear).await.map_err(failed)?;
        // Some tens of megabytes: not on a thread on which guests take turns.
        let component = self.component.clone();
        let code = tokio::task::spawn_blocking(move || component.serialize());
        let code = code.await.map_err(|error| error.to_string())?.map_err(|error| format!("{error:#}"))?;
        process.say(message(&self.begin, &code).map_err(failed)?, None);
        let time = Duration::from_millis(WORKER_START_MS);
        match timeout(time, is_ready).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(why))) => return Err(why),
            Ok(Err(_)) => return Err("its worker ended before it was ready".to_owned()),
            Err(_) => return Err(format!("its worker was not ready after {WORKER_START_MS} ms")),
        }
        let started = Arc::new(LiveWorker { process, calls, ids: AtomicU64::new(1) });
        *live = Some(Arc::clone(&started));
        Ok(started)
    }
}

/// What one call may come to hold in its worker and here.
pub(super) fn call_bytes_max(limits: &CallLimits) -> u64 {
    let output = limits.get(CallLimit::Output);
    // Its answer is lifted there and written, and read here into values once more.
    let written = frame_bytes_max(output).saturating_add(WORKER_BODY_BYTES);
    let lifted = lift_bytes_max(output).saturating_add(written).saturating_mul(2);
    let stacks = limits.get(CallLimit::Stacks).saturating_mul(STACK_BYTES);
    let inside = limits.get(CallLimit::Memory).saturating_add(stacks);
    inside.saturating_add(lifted).saturating_add(import_bytes_max(output))
}

/// What a worker may take: itself, and all its calls at their largest. The system counts addresses of stacks as memory.
fn memory_bytes_max(limits: &CallLimits, kind: EngineKind) -> u64 {
    let stacks_max = u32::try_from(limits.get(CallLimit::Stacks)).unwrap_or(u32::MAX);
    let stacks = u64::from(stacks_each(stacks_max, kind)).saturating_mul(STACK_ADDRESSES as u64);
    let call = call_bytes_max(limits).saturating_add(WORKER_CALL_BYTES).saturating_add(stacks);
    let calls = limits.get(CallLimit::Concurrency).saturating_add(1);
    call.saturating_mul(calls).saturating_add(WORKER_MEMORY_BYTES)
}

/// How much can wait to be told to a worker: what it begins with; of each call the beginning, the end, and the answers.
fn waiting_max(limits: &CallLimits) -> usize {
    let calls = usize::try_from(limits.get(CallLimit::Concurrency)).unwrap_or(usize::MAX).saturating_add(1);
    let each = request_gate::waiting_max(limits).saturating_add(2);
    calls.saturating_mul(each).saturating_add(1).min(Semaphore::MAX_PERMITS)
}

fn late(export: &Export, why: &str) -> Fault {
    Fault::limit(CallLimit::Deadline, export.limits().get(CallLimit::Deadline)).logged(why)
}

fn ended_early() -> Fault {
    Fault::new(
        FaultKind::Worker,
        "the process that runs the tool ended before it answered; a new one is started for the next call",
    )
}

impl LiveWorker {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it. Whoever calls from now on has another, also while this one is still on its way out.
    fn end(&self) {
        self.calls().ended = true;
        self.process.end();
    }

    fn say(&self, order: &ToWorker, body: &[u8]) {
        self.say_in_turn(order, body, None);
    }

    fn say_in_turn(&self, order: &ToWorker, body: &[u8], turn: Option<OwnedSemaphorePermit>) {
        match message(order, body) {
            Ok(bytes) => self.process.say(bytes, turn),
            Err(error) => tracing::error!(%error, "a worker could not be told"),
        }
    }

    /// Begins a call. Its answer never comes if the worker has ended.
    fn ask(
        &self,
        export: &Export,
        args: &[Val],
        relay: Relay,
        here: &Broker,
    ) -> Option<(u64, oneshot::Receiver<WorkerMessage>, Receiver<AskedFor>)> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut body = Vec::new();
        for (val, field) in args.iter().zip(&export.function().params) {
            wire::write(val, &field.shape, &mut body)?;
        }
        let (tell, told) = oneshot::channel();
        let (asking, asked) = RequestGate::within(export.limits(), Arc::clone(&here.files));
        let untold = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&untold).try_acquire_owned().ok();
        let mut calls = self.calls();
        if !calls.ended {
            let (untold, notes) = (Arc::clone(&untold), here.notes.clone());
            calls.waiting.insert(id, CallWaiter { untold, tell, relay, asking, notes });
        }
        drop(calls);
        let left = here.meter.deadline().saturating_duration_since(Instant::now());
        let left_us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        self.say_in_turn(&ToWorker::Call { id, function: export.number(), left_us }, &body, turn);
        Some((id, told, asked))
    }

    /// What a worker says of a call's end. One that cannot be understood is ended: whatever it is now, it is no worker of ours.
    fn read(&self, export: &Export, (word, body): WorkerMessage, asked: Asked) -> WorkerCallEnd {
        let FromWorker::Ended { id: _, fuel, memory_peak_bytes, written, dropped_bytes, fault } = word else {
            return self.strange("it answered a call with something else");
        };
        let came = match fault {
            Some(told) => restored(told, export.limits(), asked).map(Err),
            None => value(export, &body),
        };
        match came {
            Some(came) => {
                let written = Written::of(written.into_bytes(), dropped_bytes);
                WorkerCallEnd { came, fuel, memory_peak_bytes, written }
            }
            None => self.strange("it answered what the function cannot"),
        }
    }

    fn strange(&self, why: &str) -> WorkerCallEnd {
        tracing::error!(why, "ALARM: a worker cannot be understood and is ended");
        self.end();
        WorkerCallEnd::nothing(ended_early().logged(why))
    }
}

/// What a function gave back, if it is of its type.
fn value(export: &Export, body: &[u8]) -> Option<GuestResult> {
    let limit = export.limits().get(CallLimit::Output);
    let room = lift_bytes_max(limit);
    match wire::read(body, export.function().result.iter(), room) {
        Ok(mut vals) => Some(Ok(vals.pop())),
        Err(WireError::Large) => Some(Err(Fault::limit(CallLimit::Output, limit))),
        Err(WireError::Malformed) => None,
    }
}

/// A fault that a worker may tell of. Its words are a stranger's.
fn restored(told: WireFault, limits: &CallLimits, asked: Asked) -> Option<Fault> {
    const CHARS_MAX: usize = 500;
    let kinds = [
        FaultKind::Trap,
        FaultKind::Exit,
        FaultKind::Grant,
        FaultKind::Lift,
        FaultKind::Budget,
        FaultKind::Cancelled,
        FaultKind::Internal,
    ];
    let fault = match told.limit.as_deref().map(CallLimit::from_name) {
        Some(limit) => limit.map(|limit| Fault::limit(limit, limits.get(limit)))?,
        None => {
            let kind = kinds.into_iter().find(|kind| kind.word() == told.kind)?;
            // Nobody is blamed for a call that was cancelled, so that only who cancels may say it was.
            if kind == FaultKind::Cancelled && asked == Asked::ToAnswer {
                return None;
            }
            Fault::new(kind, printable(&told.told, CHARS_MAX))
        }
    };
    let more = told.logged.strip_prefix(told.told.as_str()).and_then(|more| more.strip_prefix(": "));
    Some(match more {
        Some(more) if told.logs_last_words => fault.logging_last_words(more),
        Some(more) => fault.logged(more),
        None => fault,
    })
}

impl WorkerCallEnd {
    fn nothing(fault: Fault) -> Self {
        Self { came: Err(fault), fuel: 0, memory_peak_bytes: 0, written: Written::default() }
    }

    /// The same, with at least the fuel that this process has seen used.
    fn and_here(mut self, meter: &Meter) -> Self {
        self.fuel = self.fuel.max(meter.debt());
        self
    }

    /// The same, unless nothing came of it: then the reason is this one.
    fn unless(mut self, fault: Fault) -> Self {
        self.came = self.came.map_err(|_| fault);
        self
    }
}
