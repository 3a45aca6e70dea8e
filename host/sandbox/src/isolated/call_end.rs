//! How a call in a worker ended: what the worker says of it, and what that is once it is read. All of it is a stranger's words.

use std::sync::Arc;

use toolgate_base::meter::Meter;
use toolgate_base::outcome::{Fault, FaultKind};
use toolgate_mapping::wire::{self, WireError};
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_policy::limits::lift::lift_bytes_max;
use toolgate_policy::redact::printable;

use super::handle::LiveWorker;
use super::message::{FromWorker, WireFault};
use super::read_loop::WorkerMessage;
use crate::export::{Export, GuestResult};
use crate::imports::output::Kept as Written;

/// What a worker says of a call's end, before it is read.
pub(crate) struct UnreadEnd {
    pub(super) live: Arc<LiveWorker>,
    pub(super) message: WorkerMessage,
    /// What the call has used in this process.
    pub(super) meter: Meter,
    /// Why nobody waited for its answer, if the worker was told so.
    pub(super) cancelled: Option<Fault>,
}

/// How a call ended.
pub(crate) struct WorkerCallEnd {
    pub(crate) came: GuestResult,
    pub(crate) fuel: u64,
    pub(crate) memory_peak_bytes: u64,
    pub(crate) written: Written,
}

impl UnreadEnd {
    /// How many bytes there are to read.
    pub(crate) fn bytes(&self) -> u64 {
        self.message.1.len() as u64
    }

    /// Reads it. A worker that cannot be understood is ended: whatever it is now, it is no worker of ours.
    pub(crate) fn read(self, export: &Export) -> WorkerCallEnd {
        let Self { live, message, meter, cancelled } = self;
        let ended = WorkerCallEnd::of(message, export, cancelled.is_some());
        let mut ended = ended.unwrap_or_else(|why| {
            tracing::error!(why, "ALARM: a worker cannot be understood and is ended");
            live.end();
            WorkerCallEnd::nothing(ended_early().logged(why))
        });
        // At least what this process has seen used.
        ended.fuel = ended.fuel.max(meter.debt());
        ended.came = ended.came.map_err(|fault| cancelled.unwrap_or(fault));
        ended
    }
}

impl WorkerCallEnd {
    /// What a worker said, or what is wrong with that.
    fn of((word, body): WorkerMessage, export: &Export, was_cancelled: bool) -> Result<Self, &'static str> {
        let FromWorker::Ended { id: _, fuel, memory_peak_bytes, written, dropped_bytes, fault } = word else {
            return Err("it answered a call with something else");
        };
        let came = match fault {
            Some(told) => restored(told, export.limits(), was_cancelled).map(Err),
            None => value(export, &body),
        };
        let written = Written::of(written.into_bytes(), dropped_bytes);
        Ok(Self {
            came: came.ok_or("it answered what the function cannot")?,
            fuel,
            memory_peak_bytes,
            written,
        })
    }

    /// Nothing came of it.
    pub(crate) fn nothing(fault: Fault) -> Self {
        Self { came: Err(fault), fuel: 0, memory_peak_bytes: 0, written: Written::default() }
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
fn restored(told: WireFault, limits: &CallLimits, was_cancelled: bool) -> Option<Fault> {
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
            if kind == FaultKind::Cancelled && !was_cancelled {
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

pub(super) fn ended_early() -> Fault {
    Fault::new(
        FaultKind::Worker,
        "the process that runs the tool ended before it answered; a new one is started for the next call",
    )
}
