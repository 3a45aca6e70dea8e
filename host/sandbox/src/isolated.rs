//! Calls in a confined process of the plugin's own: the worker. It is started before the first call, and anew when it has ended. The
//! worker only computes. Its messages are as untrusted as guest output and carry no authority. Who may call, for how long and on
//! whose account is decided in this process, which also performs the requests of its calls.

mod attempts;
pub(super) mod call_end;
pub(super) mod handle;
mod init;
mod read_loop;
mod serve;
pub(crate) mod worker_main;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use toolgate_base::meter::Meter;
use toolgate_base::meter::account::MemoryAccount;
use toolgate_base::outcome::Fault;
use toolgate_base::relay::Relay;
use toolgate_base::spec::EngineKind;
use toolgate_mapping::lower::Lowered;
use toolgate_mapping::wire;
use toolgate_policy::limits::call::{CallLimit, CallLimits, STACK_ADDRESSES, STACK_BYTES};
use toolgate_policy::limits::lift::{frame_bytes_max, import_bytes_max, lift_bytes_max};
use toolgate_policy::limits::load::{
    WORKER_BODY_BYTES, WORKER_CALL_BYTES, WORKER_GRACE_MS, WORKER_MEMORY_BYTES, WORKER_START_MS,
};
use toolgate_policy::load::Clearance;
use toolgate_policy::principal::Tenant;
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::{Component, Val};

use super::engine::stacks_each;
use super::export::Export;
use super::export_request::ExportRequest;
use super::guests::SlowLane;
use crate::imports::host_calls::{Broker, Powers};
use crate::imports::perform::HostResource;
use crate::protocol::frame::{Message, ToWorker, encode};
use crate::rpc::gate::{self, Pending, RequestGate};
use crate::worker::handle::ChildHandle;
use call_end::{UnreadEnd, ended_early};
use handle::{Isolated, LiveWorker};
use init::{ExportRef, WorkerInit};
use read_loop::{CallWaiter, Calls, WorkerMessage, WorkerReader};
use serve::Serving;

/// The word by which the program knows that it was started as a worker. Its argument: bytes of memory.
pub(crate) const WORKER: &str = "__worker";

/// The parts of a call that begins.
pub(super) struct Beginning {
    pub(super) deadline: Instant,
    /// Memory held for it in this process.
    pub(super) account: MemoryAccount,
    pub(super) relay: Relay,
    pub(super) notes: CallTrace,
    pub(super) powers: Arc<Powers>,
    /// The tenant whose data the call may touch.
    pub(super) tenant: Tenant,
    pub(super) slow: SlowLane,
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
            reader: WorkerReader::new(limits),
            memory_bytes_max: memory_bytes_max(limits, kind),
            waiting_max: waiting_max(limits),
            live: tokio::sync::Mutex::default(),
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
    ///
    /// # Errors
    /// Why it says nothing.
    pub(super) async fn call(
        &self,
        export: &Arc<Export>,
        args: Lowered,
        beginning: Beginning,
        gone: impl Future<Output = Fault>,
    ) -> Result<UnreadEnd, Fault> {
        let Beginning { tenant, deadline, account, relay, notes, powers, slow } = beginning;
        tokio::pin!(gone);
        let encoding = Arc::clone(export);
        let body = tokio::select! {
            biased;
            fault = &mut gone => return Err(fault),
            () = sleep_until(deadline) => return Err(late(export, "its arguments were not encoded in time")),
            body = slow.run(args.bytes, move || encoded(&encoding, &args.vals)) => body.flatten(),
        };
        let body = body.ok_or_else(|| Fault::internal("the arguments cannot be put into bytes"))?;
        let live = tokio::select! {
            biased;
            fault = &mut gone => return Err(fault),
            () = sleep_until(deadline) => return Err(late(export, "its worker was not ready")),
            live = self.live() => live.map_err(Fault::internal)?,
        };
        tracing::debug!(tool = %export.tool(), "a guest begins");
        let meter = Meter::new(export.limits().clone(), deadline, account);
        let broker = Broker::new(tenant, powers, meter.clone(), notes);
        let (id, answer, requests) = live.begin(export, &body, relay, &broker);
        drop(body);
        let _begun = BegunCall { live: Arc::clone(&live), id };
        let serving = Serving::new(&live, id, broker);
        let answer = serving.until(answer, requests);
        tokio::pin!(answer);
        let grace = Duration::from_millis(WORKER_GRACE_MS);
        let (message, cancelled) = tokio::select! {
            biased;
            answer = &mut answer => (answer.map_err(|_| ended_early())?, None),
            () = sleep_until(deadline + grace) => {
                live.end();
                return Err(late(export, "its worker did not answer and was ended"));
            }
            fault = &mut gone => {
                live.send_in_place(&ToWorker::Cancel { id }, &[], None);
                match timeout(grace + export.moment_after_cancel(), &mut answer).await {
                    // It may have answered in the moment that it had.
                    Ok(Ok(answer)) => (answer, Some(fault)),
                    Ok(Err(_)) => return Err(fault),
                    Err(_) => {
                        live.end();
                        return Err(fault.logged("its worker did not answer and was ended"));
                    }
                }
            }
        };
        Ok(UnreadEnd { live: Arc::clone(&live), message, meter, cancelled })
    }

    /// The worker that runs; one that is started now, if there is none.
    async fn live(&self) -> Result<Arc<LiveWorker>, String> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !live.calls().ended) {
            return Ok(Arc::clone(live));
        }
        let (ready, is_ready) = oneshot::channel();
        let calls = Arc::<Mutex<Calls>>::default();
        let (reader, theirs) = (self.reader, Arc::clone(&calls));
        let args = vec![WORKER.to_owned(), self.memory_bytes_max.to_string()];
        let failed = |error: std::io::Error| format!("start its worker {}: {error}", self.program.display());
        // What a worker closes is dropped on that thread, and connections wait for others only in a runtime.
        let runtime = Handle::current();
        let read_loop = move |stdout| {
            let _entered = runtime.enter();
            reader.run(stdout, ready, &theirs);
        };
        let process =
            ChildHandle::start(&self.program, args, self.waiting_max, read_loop).await.map_err(failed)?;
        // Some tens of megabytes: not on a thread on which guests take turns.
        let component = self.component.clone();
        let code = tokio::task::spawn_blocking(move || component.serialize());
        let code = code.await.map_err(|error| error.to_string())?.map_err(|error| format!("{error:#}"))?;
        process.send(encode(&self.begin, &code).map_err(failed)?, None);
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

/// Memory that one call may come to hold in its worker and here.
pub(super) fn call_bytes_max(limits: &CallLimits) -> u64 {
    let output = limits.get(CallLimit::Output);
    // Its answer is lifted and encoded there, and decoded here.
    let written = frame_bytes_max(output).saturating_add(WORKER_BODY_BYTES);
    let lifted = lift_bytes_max(output).saturating_add(written).saturating_mul(2);
    let stacks = limits.get(CallLimit::Stacks).saturating_mul(STACK_BYTES);
    let inside = limits.get(CallLimit::Memory).saturating_add(stacks);
    inside.saturating_add(lifted).saturating_add(import_bytes_max(output))
}

/// Memory that a worker may take: itself, and all its calls at their largest. The system counts addresses of stacks as memory.
fn memory_bytes_max(limits: &CallLimits, kind: EngineKind) -> u64 {
    let stacks_max = u32::try_from(limits.get(CallLimit::Stacks)).unwrap_or(u32::MAX);
    let stacks = u64::from(stacks_each(stacks_max, kind)).saturating_mul(STACK_ADDRESSES as u64);
    let call = call_bytes_max(limits).saturating_add(WORKER_CALL_BYTES).saturating_add(stacks);
    let calls = limits.get(CallLimit::Concurrency).saturating_add(1);
    call.saturating_mul(calls).saturating_add(WORKER_MEMORY_BYTES)
}

/// Messages that can wait to be written to a worker: the first; of each call the beginning, the end, and the answers.
fn waiting_max(limits: &CallLimits) -> usize {
    let calls = usize::try_from(limits.get(CallLimit::Concurrency)).unwrap_or(usize::MAX).saturating_add(1);
    let each = gate::waiting_max(limits).saturating_add(2);
    calls.saturating_mul(each).saturating_add(1).min(Semaphore::MAX_PERMITS)
}

fn late(export: &Export, why: &str) -> Fault {
    Fault::limit(CallLimit::Deadline, export.limits().get(CallLimit::Deadline)).logged(why)
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

    /// Sends a message. Its place is free when it is the next to be written.
    fn send_in_place(&self, message: &impl Message, body: &[u8], place: Option<OwnedSemaphorePermit>) {
        match encode(message, body) {
            Ok(frame) => self.process.send(frame, place),
            Err(error) => tracing::error!(%error, "a message to a worker could not be written"),
        }
    }

    /// Begins a call with these arguments. There is no answer if the worker has ended.
    fn begin(
        &self,
        export: &Export,
        body: &[u8],
        relay: Relay,
        broker: &Broker,
    ) -> (u64, oneshot::Receiver<WorkerMessage>, Receiver<Pending<HostResource>>) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let (gate, requests) = RequestGate::new(export.limits(), broker.close_file());
        let unsent = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&unsent).try_acquire_owned().ok();
        let mut calls = self.calls();
        if !calls.ended {
            let notes = broker.notes.clone();
            calls.waiting.insert(id, CallWaiter { unsent, sender, relay, gate, notes });
        }
        drop(calls);
        let left = broker.meter.deadline().saturating_duration_since(Instant::now());
        let left_us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        self.send_in_place(&ToWorker::Call { id, function: export.number, left_us }, body, place);
        (id, answer, requests)
    }
}

/// A call in a worker. If this goes before the worker has ended the call, nobody can any more: then the worker is ended.
struct BegunCall {
    live: Arc<LiveWorker>,
    id: u64,
}

impl Drop for BegunCall {
    fn drop(&mut self) {
        if self.live.calls().waiting.remove(&self.id).is_some() {
            self.live.end();
        }
    }
}

/// Arguments as bytes, if they are of their types.
fn encoded(export: &Export, args: &[Val]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut parts = args.iter().zip(&export.function().params);
    parts.try_for_each(|(val, field)| wire::write(val, &field.shape, &mut body))?;
    Some(body)
}
