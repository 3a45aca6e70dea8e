//! CALL in one function: record, judge, resolve, arguments, admission, sandbox, record. What a caller is told of it is
//! made elsewhere.

pub mod request;

use std::time::Duration;

use tokio::time::Instant;
use toolgate_policy::call::{Denied, judge};
use toolgate_policy::limits::call::CallLimit;

use crate::admission::breaker::Change;
use crate::audit::Event;
use crate::audit::record::{Closed, Opening, Record};
use crate::outcome::{Fault, FaultKind, Outcome};
use crate::rooms::Rooms;
use crate::sandbox::Call;
use request::Request;

/// Runs a call to its end. There is always a record, and it is closed before anybody learns the outcome.
pub(crate) async fn run(rooms: &Rooms, request: Request) -> Closed<Outcome> {
    let opening = Opening {
        principal: &request.principal,
        tool: &request.tool,
        arguments: &request.arguments,
        learning: request.learning,
    };
    let mut record = match rooms.audit.call(opening) {
        Ok(record) => record,
        Err(closed) => return *closed,
    };
    let outcome = attempt(rooms, &request, &mut record).await.unwrap_or_else(|early| early);
    if let Outcome::Fault(fault) = &outcome {
        tracing::info!(tool = %toolgate_policy::redact::printable(&request.tool, 100), fault = fault.log_text(), "a call came to nothing");
    }
    record.close(outcome)
}

async fn attempt(rooms: &Rooms, request: &Request, record: &mut Record) -> Result<Outcome, Outcome> {
    let Some(_flight) = rooms.flights.begin() else {
        return Err(Outcome::Fault(Fault::new(
            FaultKind::Stopping,
            "the host is stopping and takes no more calls",
        )));
    };
    let snapshot = rooms.snapshots.now();
    let permit = judge(&request.principal, snapshot.find(&request.tool)).map_err(Outcome::Denied)?;
    let tool = snapshot.resolve(&permit).ok_or(Outcome::Denied(Denied::Unknown))?;
    record.intent(&permit, &tool.provenance);
    let limits = tool.export.limits();
    let deadline = request.arrived + Duration::from_millis(limits.get(CallLimit::Deadline));
    let args = tool
        .lower(&request.arguments)
        .map_err(|problems| Outcome::Fault(Fault::new(FaultKind::Arguments, problems.to_string())))?;
    // Whoever learns wants to see it fail, and again: that holds nothing up, and says nothing about the plugin.
    let trial = (!request.learning).then(|| tool.admission.begin()).transpose().map_err(Outcome::Fault)?;
    let interrupt = request.interrupt.under(&tool.revoked, rooms.flights.stopping());
    let slot =
        tool.admission.enter(&permit, &rooms.calls, deadline, &interrupt).await.map_err(Outcome::Fault)?;
    let call = Call { deadline, interrupt, relay: request.relay.clone(), notes: record.notes(), slot };
    let outcome = rooms.sandbox.call(&permit, &tool.export, args, call).await;
    if let Some(change) = trial.and_then(|trial| trial.ended(&outcome, Instant::now())) {
        let plugin = permit.plugin().as_str();
        let seconds = match change {
            Change::Held(lasts) => Some(lasts.as_secs()),
            Change::Released => None,
        };
        match seconds {
            Some(seconds) => {
                tracing::warn!(plugin, seconds, "a plugin failed too often in a row and is on hold")
            }
            None => tracing::info!(plugin, "a plugin that was on hold works again"),
        }
        rooms.audit.event(&Event::Held { plugin, seconds });
    }
    Ok(outcome)
}
