//! The end of a call in a worker, as the worker reports it, and once that is read. All of it is a stranger's text.

use std::sync::Arc;

use toolgate_base::meter::Meter;
use toolgate_base::outcome::{Fault, FaultKind};
use toolgate_mapping::wire::{self, WireError};
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_policy::limits::lift::lift_bytes_max;
use toolgate_policy::redact::printable;

use super::handle::LiveWorker;
use super::read_loop::WorkerMessage;
use crate::export::{Export, GuestResult};
use crate::imports::output::GuestOutput;
use crate::protocol::blob::ByteBlob;
use crate::protocol::frame::{Frame, FromWorker, WireFault};

/// The end of a call as a worker reports it, before it is read.
pub(crate) struct UnreadEnd {
    pub(super) live: Arc<LiveWorker>,
    pub(super) message: WorkerMessage,
    /// Usage of the call in this process.
    pub(super) meter: Meter,
    /// The reason that its answer is not wanted any more, if the worker was told so.
    pub(super) cancelled: Option<Fault>,
}

/// The end of a call.
pub(crate) struct WorkerCallEnd {
    pub(crate) result: GuestResult,
    pub(crate) fuel: u64,
    pub(crate) memory_peak_bytes: u64,
    pub(crate) written: GuestOutput,
}

impl UnreadEnd {
    /// Bytes to read.
    pub(crate) fn bytes(&self) -> u64 {
        self.message.1.body().len() as u64
    }

    /// Reads it. A worker that cannot be understood is ended: whatever it is now, it is not one of ours.
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
        ended.result = ended.result.map_err(|fault| cancelled.unwrap_or(fault));
        ended
    }
}

impl WorkerCallEnd {
    /// The end of a call, or what is wrong with the message.
    fn of(
        (message, frame): WorkerMessage,
        export: &Export,
        was_cancelled: bool,
    ) -> Result<Self, &'static str> {
        let FromWorker::Ended { id: _, fuel, memory_peak_bytes, written, dropped_bytes, fault } = message
        else {
            return Err("it answered a call with something else");
        };
        let result = match fault {
            Some(fault) => restored(fault, export.limits(), was_cancelled).map(Err),
            None => value(export, &frame),
        };
        let ByteBlob(written) = written;
        let written = GuestOutput::of(written, dropped_bytes);
        Ok(Self {
            result: result.ok_or("it answered what the function cannot")?,
            fuel,
            memory_peak_bytes,
            written,
        })
    }

    /// A call without a result.
    pub(crate) fn nothing(fault: Fault) -> Self {
        Self { result: Err(fault), fuel: 0, memory_peak_bytes: 0, written: GuestOutput::default() }
    }
}

/// The result of a function, if it is of its type.
fn value(export: &Export, frame: &Frame) -> Option<GuestResult> {
    let limit = export.limits().get(CallLimit::Output);
    let room = lift_bytes_max(limit);
    match wire::read(frame.body(), export.function().result.iter(), room) {
        Ok(mut vals) => Some(Ok(vals.pop())),
        Err(WireError::Large) => Some(Err(Fault::limit(CallLimit::Output, limit))),
        Err(WireError::Malformed) => None,
    }
}

/// A fault that a worker may report. Its text is a stranger's.
fn restored(wire: WireFault, limits: &CallLimits, was_cancelled: bool) -> Option<Fault> {
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
    let fault = match CallLimit::from_name(&wire.kind) {
        Some(limit) => Fault::limit(limit, limits.get(limit)),
        None => {
            let kind = kinds.into_iter().find(|kind| kind.word() == wire.kind)?;
            // Nobody is blamed for a call that was cancelled, so that only who cancels may say it was.
            if kind == FaultKind::Cancelled && !was_cancelled {
                return None;
            }
            Fault::new(kind, printable(&wire.caller_text, CHARS_MAX))
        }
    };
    let more = wire.log_text.strip_prefix(wire.caller_text.as_str()).and_then(|more| more.strip_prefix(": "));
    Some(match more {
        Some(more) if wire.logs_last_words => fault.logging_last_words(more),
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
