//! The main function of a worker: it reads its code and its functions, confines itself, and then enters a guest for each call, in a
//! fresh store as anywhere. It ends with its stdin.

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

use super::attempts;
use super::init::{ExportRef, WorkerInit};
use crate::compile::cache;
use crate::engine;
use crate::export::{Export, InProcessModule, PreparedTarget, Val};
use crate::export_request::ExportRequest;
use crate::guests::GuestPool;
use crate::imports::host_calls::{HostCalls, Powers};
use crate::imports::{CallPrototype, random};
use crate::linker::Linkers;
use crate::prepare::{exported, exports, linked};
use crate::protocol::blob::{BoundedVec, ByteBlob};
use crate::protocol::frame::{FromWorker, ToWorker, WireFault, encode, read};
use crate::rpc::client::RpcClient;
use crate::store::{GuestRunEnd, Run};
use crate::worker::{confinement, rlimits};

/// A confined worker.
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
    client: Arc<RpcClient>,
}

/// Serves until stdin ends. The argument: bytes of memory.
///
/// # Errors
/// Why it cannot start, which the server reads as well.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut stdin = io::stdin().lock();
    let worker = match begin(args, &mut stdin) {
        Ok(worker) => Arc::new(worker),
        Err(why) => {
            send(&FromWorker::Failed { why: why.clone() }, &[]);
            return Err(why);
        }
    };
    send(&FromWorker::Ready, &[]);
    while let Ok((message, frame)) = read(&mut stdin, WORKER_ORDER_BYTES_MAX, u32::MAX.into()) {
        match message {
            ToWorker::Call { id, function, left_us } => worker.call(id, function, left_us, frame.body()),
            ToWorker::Cancel { id } => {
                if let Some(running) = worker.running().get(&id) {
                    running.interrupt.cancel();
                }
            }
            ToWorker::Answer { id, ask, fuel, stop, response } => {
                let running = worker.running().get(&id).cloned();
                if let Some(running) = running {
                    let stop = stop.as_deref().and_then(StopError::from_word);
                    running.client.answered(ask, fuel, stop, response);
                }
            }
        }
    }
    Ok(())
}

/// Does everything that needs the system, then confines the process.
fn begin(args: &[String], stdin: &mut impl Read) -> Result<WorkerRuntime, String> {
    let [memory_bytes_max] = args else { return Err("its argument is bytes".to_owned()) };
    let memory_bytes_max = memory_bytes_max.parse().map_err(|_| "its argument is bytes".to_owned())?;
    rlimits::enter(memory_bytes_max).map_err(|error| format!("its limits cannot be set: {error}"))?;
    let (begin, code): (WorkerInit, _) =
        read(stdin, WORKER_ORDER_BYTES_MAX, COMPILED_BYTES_MAX).map_err(|error| error.to_string())?;
    let limits = limits(&begin)?;
    let functions = functions(&begin, &limits, code.body())?;
    drop(code);
    random::begin().map_err(|error| error.to_string())?;
    let concurrency = usize::try_from(limits.get(CallLimit::Concurrency)).unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(concurrency);
    // Landlock holds the threads because they are started after it, and seccomp because it is installed for all there are.
    confinement::restrict().map_err(|error| error.to_string())?;
    let guests = GuestPool::start_only(threads).map_err(|error| format!("start its threads: {error}"))?;
    rlimits::seal().map_err(|error| format!("its limits cannot be set: {error}"))?;
    confinement::filter_calls().map_err(|error| error.to_string())?;
    // The server counts what its calls hold together.
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

/// Its grants, as a configuration has them.
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
        PreparedTarget::InProcess(Arc::new(InProcessModule { kind, pre: pre.clone(), prototype }))
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
    // The server knows the bytes; here nothing compares them.
    exports(&component, limits, (Digest::of(&[]), Effects::default()), places, wanted)
        .map_err(|error| error.to_string())
}

impl WorkerRuntime {
    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<u64, RunningCall>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call, whose end is sent when it comes.
    fn call(self: &Arc<Self>, id: u64, function: u32, left_us: u64, body: &[u8]) {
        let deadline = Instant::now() + Duration::from_micros(left_us);
        let export = self.functions.get(function as usize).cloned();
        let args = export.as_ref().and_then(|export| {
            let shapes = export.function().params.iter().map(|field| &field.shape);
            wire::read(body, shapes, u64::MAX).ok()
        });
        let (Some(export), Some(args)) = (export, args) else {
            return ended_with(id, &Fault::internal("a worker was sent a call that it cannot make"));
        };
        let account = MemoryAccount::new(&self.budget, self.limits.get(CallLimit::Memory));
        let meter = Meter::new(self.limits.clone(), deadline, account);
        let client = Arc::new(RpcClient::new(id, write, meter.clone()));
        let running = RunningCall { interrupt: Interrupt::default(), client };
        self.running().insert(id, running.clone());
        let this = Arc::clone(self);
        self.guests.detach(async move {
            let finished = AssertUnwindSafe(this.finish(id, export, args, meter, &running));
            let ended = finished.catch_unwind().await;
            // Before the end is sent, so that nothing of the call comes after it.
            running.client.end();
            this.running().remove(&id);
            match ended {
                Ok((message, body)) => send(&message, &body),
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
        let PreparedTarget::InProcess(module) = &export.plugin.place else {
            return nothing(&Fault::internal("a worker has no worker"));
        };
        let (relay, mut reports) = Relay::open();
        // Of a call that panics nothing more is sent than that.
        let passing_on = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let (progress, total, message) = (report.progress, report.total, report.message);
                send(&FromWorker::Report { id, progress, total, message }, &[]);
            }
        }));
        let notes = CallTrace::default();
        let (module, outside) = (Arc::clone(module), HostCalls::Remote(Arc::clone(&running.client)));
        let run = Run::new(Arc::clone(&export), module, meter, notes.clone(), relay, outside);
        let run = match run {
            Ok(run) => run,
            Err(error) => return nothing(&Fault::internal(error)),
        };
        let GuestRunEnd { result, fuel, memory_peak_bytes, written, store } =
            run.finish(args, &running.interrupt).await;
        // The last sender of reports goes with it; then all of them are sent.
        drop(store);
        drop(passing_on.await);
        let attempts = attempts::listed(&notes);
        if !attempts.is_empty() {
            send(&FromWorker::Attempts { id, attempts: BoundedVec(attempts) }, &[]);
        }
        let mut body = Vec::new();
        let output_bytes_max = self.limits.get(CallLimit::Output);
        let fault = match result {
            Err(fault) => Some(fault),
            // The server would refuse it, and holds less than it may be.
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
        let fault = fault.as_ref().map(to_wire);
        let body = if fault.is_some() { Vec::new() } else { body };
        let (written, dropped_bytes) = (ByteBlob(written.text), written.dropped_bytes);
        (FromWorker::Ended { id, fuel, memory_peak_bytes, written, dropped_bytes, fault }, body)
    }
}

fn ended_with(id: u64, fault: &Fault) {
    send(&ended(id, fault), &[]);
}

fn ended(id: u64, fault: &Fault) -> FromWorker {
    let (written, fault) = (ByteBlob(Vec::new()), Some(to_wire(fault)));
    FromWorker::Ended { id, fuel: 0, memory_peak_bytes: 0, written, dropped_bytes: 0, fault }
}

fn to_wire(fault: &Fault) -> WireFault {
    let kind = match fault.kind() {
        FaultKind::Limit(limit) => limit.name(),
        kind => kind.word(),
    };
    WireFault {
        kind: kind.to_owned(),
        caller_text: fault.caller_text().to_owned(),
        log_text: fault.log_text().to_owned(),
        logs_last_words: fault.logs_last_words(),
    }
}

fn send(message: &FromWorker, body: &[u8]) {
    if let Ok(frame) = encode(message, body) {
        write(&frame);
    }
}

/// One frame at a time. The server may have ended; then stdin ends as well.
#[expect(clippy::disallowed_methods, reason = "the server reads this, and no terminal")]
fn write(frame: &[u8]) {
    let mut stdout = io::stdout().lock();
    drop(stdout.write_all(frame).and_then(|()| stdout.flush()));
}
