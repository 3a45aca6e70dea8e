//! One store per call: created, bounded, entered, ended. No part of it is reused.

use std::sync::Arc;

use tokio::time::sleep_until;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::meter::{Meter, StopError};
use toolgate_base::outcome::Fault;
use toolgate_base::relay::Relay;
use toolgate_base::spec::EngineKind;
use toolgate_mapping::deferred::settle;
use toolgate_policy::limits::call::{CallLimit, LOG_LINE_CHARS_MAX, STACK_BYTES, YIELD_FUEL};
use toolgate_policy::limits::lift::{import_bytes_max, lift_bytes_max};
use toolgate_policy::limits::size;
use toolgate_policy::redact::printable_lines;
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::Val;
use wasmtime::{CallHook, Store, StoreContextMut};

use super::export::{Export, GuestResult, InProcessModule};
use super::last_words;
use super::trap::{Circumstances, fault};
use crate::imports::Ctx;
use crate::imports::host_calls::HostCalls;
use crate::imports::output::GuestOutput;
use crate::memory::Memory;
use crate::stacks::{Full, Stacks};

/// Call that is ready to enter its guest.
pub(super) struct Run {
    export: Arc<Export>,
    here: Arc<InProcessModule>,
    store: Store<Ctx>,
    meter: Meter,
    relay: Relay,
}

/// End of a call, and the store to drop.
pub(super) struct GuestRunEnd {
    pub(super) result: GuestResult,
    pub(super) fuel: u64,
    pub(super) memory_peak_bytes: u64,
    pub(super) written: GuestOutput,
    pub(super) store: Store<Ctx>,
}

impl Run {
    /// Creates the store and sets its limits.
    ///
    /// # Errors
    /// The engine was created without a feature that is used here.
    pub(super) fn new(
        export: Arc<Export>,
        here: Arc<InProcessModule>,
        meter: Meter,
        notes: CallTrace,
        relay: Relay,
        outside: HostCalls,
    ) -> wasmtime::Result<Self> {
        let mut memory = Memory::new(meter.account().clone());
        let room = memory.make_room(import_bytes_max(meter.limit(CallLimit::Output)));
        let mut ctx =
            Ctx::new(Arc::clone(&here.prototype), meter.clone(), memory, notes, relay.clone(), outside);
        ctx.stacks = (here.kind == EngineKind::Async).then(|| Stacks::new(meter.limit(CallLimit::Stacks)));
        let mut store = Store::new(here.pre.engine(), ctx);
        store.limiter(|ctx| &mut ctx.memory);
        store.set_fuel(meter.limit(CallLimit::Fuel))?;
        store.fuel_async_yield_interval(Some(YIELD_FUEL))?;
        store.set_hostcall_fuel(size(room));
        store.set_max_component_handles(size(meter.limit(CallLimit::Handles)));
        store.call_hook(crossing);
        Ok(Self { export, here, store, meter, relay })
    }

    /// Runs the guest until it returns or is ended.
    pub(super) async fn finish(mut self, args: Vec<Val>, interrupt: &Interrupt) -> GuestRunEnd {
        let deadline = self.meter.deadline();
        let ended = tokio::select! {
            biased;
            fault = self.given_up(interrupt) => Err(fault),
            () = sleep_until(deadline) => {
                Err(Fault::limit(CallLimit::Deadline, self.meter.limit(CallLimit::Deadline)))
            }
            result = enter(&mut self.store, &self.here, &self.export, &args) => Ok(result),
        };
        let used = self.meter.limit(CallLimit::Fuel).saturating_sub(self.store.get_fuel().unwrap_or(0));
        let ctx = self.store.data_mut();
        let (fuel, memory_peak_bytes) =
            (used.saturating_add(self.meter.debt()), self.meter.account().peak_bytes());
        let written = ctx.output.take();
        let result = match ended {
            Err(fault) => Err(fault),
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                let text = String::from_utf8_lossy(&written.text);
                let last_words = last_words::find(&text);
                let limit = |which| self.meter.limit(which);
                let (refused, is_cramped) = (ctx.memory.refused(), ctx.memory.is_cramped());
                let known = Circumstances { limit: &limit, refused, is_cramped, last_words };
                Err(fault(&error, &known))
            }
        };
        GuestRunEnd { result, fuel, memory_peak_bytes, written, store: self.store }
    }

    /// Waits until the call is cancelled. A plugin that checks for cancellation gets a grace period to end on its own.
    fn given_up(&self, interrupt: &Interrupt) -> impl Future<Output = Fault> + use<> {
        let (relay, interrupt) = (self.relay.clone(), interrupt.clone());
        let moment = self.export.moment_after_cancel();
        async move {
            let fault = interrupt.raised().await;
            relay.cancel();
            tokio::time::sleep(moment).await;
            fault
        }
    }
}

/// Logs a guest's output for the operator.
pub(super) fn show(export: &Export, written: &GuestOutput) {
    let text = String::from_utf8_lossy(&written.text);
    if !text.is_empty() {
        // Prefixed line by line, so that none can be mistaken for a line of the host's.
        let shown = printable_lines(&text, LOG_LINE_CHARS_MAX).replace('\n', "\n    | ");
        let (tool, dropped) = (export.tool(), written.dropped_bytes);
        tracing::info!(target: "toolgate::guest", "{tool} wrote (then {dropped} bytes that were dropped):\n    | {shown}");
    }
}

/// Instantiates the component and calls the function: guest code runs from here on.
async fn enter(
    store: &mut Store<Ctx>,
    here: &InProcessModule,
    export: &Export,
    args: &[Val],
) -> wasmtime::Result<Option<Val>> {
    let instance = here.pre.instantiate_async(&mut *store).await?;
    let function = instance
        .get_func(&mut *store, export.index)
        .ok_or_else(|| wasmtime::format_err!("the component does not export {}", export.path()))?;
    let mut results = vec![Val::Bool(false); usize::from(export.function().result.is_some())];
    // On the asynchronous engine a function may return its result before it ends.
    let early = here.kind == EngineKind::Async;
    let ctx = store.data_mut();
    ctx.ratio = export.ratio;
    ctx.lifting.begin(args.iter().map(allocations).sum(), early);
    function.call_async(&mut *store, args, &mut results).await?;
    match results.pop() {
        Some(result) => {
            let bytes_max = size(export.limits().get(CallLimit::Output));
            Ok(Some(settle(store, result, export.function(), bytes_max).await?))
        }
        None => Ok(None),
    }
}

/// Minimum number of allocations in a guest for an argument before its function begins: one per string and list.
fn allocations(arg: &Val) -> u64 {
    let inside = |val: &Option<Box<Val>>| val.as_deref().map_or(0, allocations);
    match arg {
        Val::String(_) => 1,
        Val::List(vals) => vals.iter().map(allocations).sum::<u64>().saturating_add(1),
        Val::Record(fields) => fields.iter().map(|(_, val)| allocations(val)).sum(),
        Val::Tuple(vals) => vals.iter().map(allocations).sum(),
        Val::Variant(_, val) | Val::Option(val) | Val::Result(Ok(val) | Err(val)) => inside(val),
        _ => 0,
    }
}

/// Checks the meter whenever the guest enters or leaves the host, and reserves memory for the result when one may
/// follow. (Setting fuel here would restart the yield interval, and a loop over a cheap import would never yield.)
fn crossing(mut store: StoreContextMut<'_, Ctx>, hook: CallHook) -> wasmtime::Result<()> {
    let entering = match hook {
        CallHook::CallingHost => true,
        CallHook::ReturningFromHost => false,
        CallHook::CallingWasm | CallHook::ReturningFromWasm => {
            stacks(store.data_mut(), matches!(hook, CallHook::CallingWasm))?;
            let ctx = store.data_mut();
            if ctx.lifting.is_due(matches!(hook, CallHook::CallingWasm)) {
                let bytes = lift_bytes_max(ctx.meter.limit(CallLimit::Output));
                let room = ctx.memory.make_room(bytes);
                let fuel = ctx.ratio.fuel(room);
                store.set_hostcall_fuel(size(fuel));
            }
            return Ok(());
        }
    };
    store.data_mut().lifting.crossed(entering);
    let left = store.get_fuel()?;
    Ok(store.data().meter.crossed(entering, left)?)
}

/// Counts the stacks of a call. Must run on the stack on which the guest is entered or returns.
fn stacks(ctx: &mut Ctx, is_entered: bool) -> Result<(), StopError> {
    let Some(stacks) = &mut ctx.stacks else { return Ok(()) };
    let here = 0u8;
    let at = std::ptr::from_ref(&here).addr();
    if !is_entered {
        stacks.returned(at);
        return Ok(());
    }
    match stacks.entered(at) {
        // Every call has memory for its first stack.
        Ok(held) if held > 1 => Ok(ctx.memory.hold_stack(STACK_BYTES)?),
        Ok(_) => Ok(()),
        Err(Full) => Err(StopError::Limit(CallLimit::Stacks)),
    }
}
