//! What a worker does: it takes its code and its functions, builds its walls, and then enters a guest for each call that it is
//! told of, in a fresh store as anywhere. It ends when nobody talks to it any more.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::meter::account::{Budget, MemoryAccount};
use toolgate_base::meter::{Meter, StopError};
use toolgate_base::outcome::{Fault, FaultKind};
use toolgate_base::relay::Relay;
use toolgate_base::spec::EngineKind;
use toolgate_mapping::lift::is_too_long;
use toolgate_mapping::schema::Reply;
use toolgate_mapping::wire;
use toolgate_policy::capability::{Effects, clock, config, environment, random as random_policy};
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_policy::limits::load::{COMPILED_BYTES_MAX, WORKER_ORDER_BYTES_MAX};
use toolgate_policy::load::Effective;
use toolgate_policy::name::ExportPath;
use toolgate_policy::{Digest, ToolName};
use toolgate_state::audit::record::CallTrace;

use super::attempts::WorkerAttempts;
use super::message::{ExportRef, FromWorker, ToWorker, WireFault, WorkerInit, message, next};
use crate::compile::cache;
use crate::engine;
use crate::export::{Export, InProcessModule, PreparedTarget, Val};
use crate::export_request::ExportRequest;
use crate::guests::GuestPool;
use crate::imports::host_calls::protocol::encode;
use crate::imports::host_calls::rpc_client::RpcClient;
use crate::imports::host_calls::{HostCalls, Powers};
use crate::imports::{CallPrototype, random};
use crate::linker::Linkers;
use crate::prepare::{exported, exports, linked};
use crate::store::{GuestRunEnd, Run};
use crate::worker::{confinement, rlimits};

/// A worker behind its walls.
struct WorkerRuntime {
    guests: GuestPool,
    functions: Vec<Arc<Export>>,
    limits: CallLimits,
    budget: Arc<Budget>,
    running: Mutex<HashMap<u64, RunningCall>>,
}

/// A call that has not ended.
#[derive(Clone)]
struct RunningCall {
    interrupt: Interrupt,
    /// Its way outside.
    afar: Arc<RpcClient>,
}

/// Works until stdin ends. The argument: bytes of memory.
///
/// # Errors
/// Why it does not; it was told to whoever listens.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut stdin = io::stdin().lock();
    let inside = match begin(args, &mut stdin) {
        Ok(inside) => Arc::new(inside),
        Err(why) => {
            say(&FromWorker::Failed { why: why.clone() }, &[]);
            return Err(why);
        }
    };
    say(&FromWorker::Ready, &[]);
    while let Ok((order, body)) = next(&mut stdin, WORKER_ORDER_BYTES_MAX, u32::MAX.into()) {
        match order {
            ToWorker::Call { id, function, left_us } => inside.call(id, function, left_us, &body),
            ToWorker::Cancel { id } => {
                if let Some(running) = inside.running().get(&id) {
                    running.interrupt.cancel();
                }
            }
            ToWorker::Answer { id, ask, fuel, stop } => {
                let running = inside.running().get(&id).cloned();
                if let Some(running) = running {
                    let stop = stop.as_deref().and_then(StopError::from_word);
                    running.afar.answered(ask, fuel, stop, &body);
                }
            }
        }
    }
    Ok(())
}

/// Everything that needs the system is done here; then the walls go up.
fn begin(args: &[String], stdin: &mut impl Read) -> Result<WorkerRuntime, String> {
    let [memory_bytes_max] = args else { return Err("its argument is bytes".to_owned()) };
    let memory_bytes_max = memory_bytes_max.parse().map_err(|_| "its argument is bytes".to_owned())?;
    rlimits::enter(memory_bytes_max).map_err(|error| format!("its limits cannot be set: {error}"))?;
    let (begin, code): (WorkerInit, _) =
        next(stdin, WORKER_ORDER_BYTES_MAX, COMPILED_BYTES_MAX).map_err(|error| error.to_string())?;
    let limits = limits(&begin)?;
    let functions = functions(&begin, &limits, &code)?;
    drop(code);
    random::begin().map_err(|error| error.to_string())?;
    let concurrency = usize::try_from(limits.get(CallLimit::Concurrency)).unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(concurrency);
    // The threads are behind the first wall because they are started there, and behind the second because it is built
    // around all there are.
    confinement::restrict().map_err(|error| error.to_string())?;
    let guests = GuestPool::start_only(threads).map_err(|error| format!("start its threads: {error}"))?;
    rlimits::seal().map_err(|error| format!("its limits cannot be set: {error}"))?;
    confinement::filter_calls().map_err(|error| error.to_string())?;
    // What its calls hold together is counted by who sends them.
    Ok(WorkerRuntime { guests, functions, limits, budget: Budget::new(u64::MAX), running: Mutex::default() })
}

fn limits(begin: &WorkerInit) -> Result<CallLimits, String> {
    let mut limits = CallLimits::default();
    for (name, value) in &begin.limits {
        let limit = CallLimit::from_name(name).ok_or("there is no such limit")?;
        limits.set(limit, i64::try_from(*value).map_err(|error| error.to_string())?)?;
    }
    Ok(limits)
}

/// What it was granted, as a configuration would grant it.
fn effective(begin: &WorkerInit) -> Result<Effective, String> {
    Ok(Effective {
        clock: clock::Grant::parse(&begin.clock).map_err(|error| error.to_string())?,
        random: random_policy::Grant::parse(&begin.random).map_err(|error| error.to_string())?,
        environment: environment::Grant::new(begin.environment.clone())
            .map_err(|_| "its environment is none".to_owned())?,
        config: config::Grant::new(begin.config.clone()),
        ..Effective::default()
    })
}

fn functions(begin: &WorkerInit, limits: &CallLimits, code: &[u8]) -> Result<Vec<Arc<Export>>, String> {
    let kind =
        EngineKind::ALL.into_iter().find(|kind| kind.word() == begin.engine).ok_or("no such engine")?;
    let limit = |limit| u32::try_from(limits.get(limit)).unwrap_or(u32::MAX);
    let engine = engine::walled(limit(CallLimit::Concurrency), limit(CallLimit::Stacks), kind)
        .map_err(|error| format!("{error:#}"))?;
    let component = cache::run(&engine, code).map_err(|error| format!("{error:#}"))?;
    let pre = linked(&Linkers::default(), &engine, kind, &component).map_err(|error| error.to_string())?;
    let place = |effective, folders| {
        let prototype = Arc::new(CallPrototype { effective, folders, powers: Arc::new(Powers::none()) });
        PreparedTarget::Here(Arc::new(InProcessModule { kind, pre: pre.clone(), prototype }))
    };
    let places = [
        place(effective(begin)?, begin.folders.clone()),
        place(Effective::nothing(), Vec::new()),
        place(Effective::nothing_as_before(), Vec::new()),
    ];
    let wanted = |named: &ExportRef| {
        let path = ExportPath { interface: named.interface.clone(), function: named.function.clone() };
        let (function, _) = exported(&component, &path)?;
        let tool = ToolName::internal(&named.function);
        Some(ExportRequest { tool, path, function: function?, reply: Reply::Nothing, given: named.given })
    };
    let wanted: Option<Vec<ExportRequest>> = begin.functions.iter().map(wanted).collect();
    let wanted = wanted.ok_or("it has not the functions that were named")?;
    // Whoever sends calls knows the bytes; here nobody asks.
    exports(&component, limits, (Digest::of(&[]), Effects::default()), places, wanted)
        .map_err(|error| error.to_string())
}

impl WorkerRuntime {
    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<u64, RunningCall>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call; how it ends is said when it does.
    fn call(self: &Arc<Self>, id: u64, function: u32, left_us: u64, body: &[u8]) {
        let deadline = Instant::now() + Duration::from_micros(left_us);
        let export = self.functions.get(function as usize).cloned();
        let args = export.as_ref().and_then(|export| {
            let shapes = export.function().params.iter().map(|field| &field.shape);
            wire::read(body, shapes, u64::MAX).ok()
        });
        let (Some(export), Some(args)) = (export, args) else {
            return ended_with(id, &Fault::internal("a worker was told of a call that it cannot make"));
        };
        let account = MemoryAccount::new(&self.budget, self.limits.get(CallLimit::Memory));
        let meter = Meter::new(self.limits.clone(), deadline, account);
        let tell = Box::new(move |ask, body: &[u8]| say(&FromWorker::Ask { id, ask }, body));
        let afar = Arc::new(RpcClient::new(tell, meter.clone()));
        let running = RunningCall { interrupt: Interrupt::default(), afar };
        self.running().insert(id, running.clone());
        let this = Arc::clone(self);
        self.guests.detach(async move {
            let finished = AssertUnwindSafe(this.finish(id, export, args, meter, &running));
            let ended = finished.catch_unwind().await;
            // Before the end is said, so that nothing of the call comes after it.
            running.afar.end();
            this.running().remove(&id);
            match ended {
                Ok((word, body)) => say(&word, &body),
                Err(_) => ended_with(id, &Fault::internal("the sandbox panicked")),
            }
        });
    }

    async fn finish(
        &self,
        id: u64,
        export: Arc<Export>,
        args: Vec<Val>,
        meter: Meter,
        running: &RunningCall,
    ) -> (FromWorker, Vec<u8>) {
        let nothing = |fault: &Fault| (ended(id, fault), Vec::new());
        let PreparedTarget::Here(here) = export.place() else {
            return nothing(&Fault::internal("a worker has no worker"));
        };
        let (relay, mut reports) = Relay::open();
        // Of a call that panics nothing more is said than that.
        let passing_on = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let (progress, total, message) = (report.progress, report.total, report.message);
                say(&FromWorker::Report { id, progress, total, message }, &[]);
            }
        }));
        let notes = CallTrace::default();
        let (here, outside) = (Arc::clone(here), HostCalls::Remote(Arc::clone(&running.afar)));
        let run = Run::new(Arc::clone(&export), here, meter, notes.clone(), relay, outside);
        let run = match run {
            Ok(run) => run,
            Err(error) => return nothing(&Fault::internal(error)),
        };
        let GuestRunEnd { came, fuel, memory_peak_bytes, written, store } =
            run.finish(args, &running.interrupt).await;
        // The last end of the way for reports goes with it; then all of them are on theirs.
        drop(store);
        drop(passing_on.await);
        if let Some(seen) = WorkerAttempts::in_notes(&notes).as_ref().and_then(encode) {
            say(&FromWorker::Seen { id }, &seen);
        }
        let mut body = Vec::new();
        let output_bytes_max = self.limits.get(CallLimit::Output);
        let fault = match came {
            Err(fault) => Some(fault),
            // Whoever hears it would refuse it, and holds less than it may be.
            Ok(Some(val)) if is_too_long(&val, export.function(), output_bytes_max) => {
                Some(Fault::limit(CallLimit::Output, output_bytes_max))
            }
            Ok(val) => {
                let mut parts = val.iter().zip(&export.function().result);
                let written = parts.try_for_each(|(val, shape)| wire::write(val, shape, &mut body));
                let strange = || Fault::new(FaultKind::Trap, "the tool gave back what is not of its type");
                if written.is_none() { Some(strange()) } else { None }
            }
        };
        let text = String::from_utf8_lossy(&written.text).into_owned();
        let fault = fault.as_ref().map(told);
        let body = if fault.is_some() { Vec::new() } else { body };
        let dropped_bytes = written.dropped_bytes;
        (FromWorker::Ended { id, fuel, memory_peak_bytes, written: text, dropped_bytes, fault }, body)
    }
}

fn ended_with(id: u64, fault: &Fault) {
    say(&ended(id, fault), &[]);
}

fn ended(id: u64, fault: &Fault) -> FromWorker {
    let (written, fault) = (String::new(), Some(told(fault)));
    FromWorker::Ended { id, fuel: 0, memory_peak_bytes: 0, written, dropped_bytes: 0, fault }
}

fn told(fault: &Fault) -> WireFault {
    let limit = match fault.kind() {
        FaultKind::Limit(limit) => Some(limit.name().to_owned()),
        _ => None,
    };
    let kind = fault.kind().word().to_owned();
    WireFault {
        kind,
        limit,
        told: fault.told().to_owned(),
        logged: fault.log_text().to_owned(),
        logs_last_words: fault.logs_last_words(),
    }
}

/// One message at a time. Nobody may be listening any more; then stdin ends as well.
#[expect(clippy::disallowed_methods, reason = "the server reads this, and no terminal")]
fn say(word: &FromWorker, body: &[u8]) {
    let mut stdout = io::stdout().lock();
    let said = message(word, body).and_then(|bytes| stdout.write_all(&bytes)).and_then(|()| stdout.flush());
    drop(said);
}
