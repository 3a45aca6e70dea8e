//! CALL in one function: record, judge, resolve, lower, settle, admission, sandbox, lift, record. Messages for callers are made
//! elsewhere.

pub mod request;

use std::sync::Arc;
use std::time::Duration;

use toolgate_base::outcome::{Fault, FaultKind, Outcome};
use toolgate_mapping::lift::lift_outcome;
use toolgate_mapping::lower::{LowerError, Lowered};
use toolgate_policy::call::{ArgumentFacts, DeniedError, Settled, Transport, judge, settle};
use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::limits::lift::{ARGUMENT_VALUES_BYTES_MAX, SMALL_VALUES_BYTES};
use toolgate_policy::limits::load::{SCHEMA_VALUE_STEPS_MAX, SCHEMA_VALUE_STEPS_SMALL};
use toolgate_sandbox::Call;
use toolgate_state::audit::record::{Closed, Record, RecordOpening};

use crate::services::Services;
use crate::snapshot::tool::{MisfitError, Tool};
use request::Request;

/// Runs a call to its end. There is always a record, and it is closed before the outcome is passed on.
pub(crate) async fn run(services: &Services, mut request: Request) -> Closed<Outcome> {
    let digest = digest(services, &mut request).await;
    let opening = RecordOpening {
        principal: &request.principal,
        tool: &request.tool,
        arguments: digest.as_deref().unwrap_or(UNREADABLE),
        learning: request.learning,
    };
    let mut record = match services.audit.call(opening) {
        Ok(record) => record,
        Err(closed) => return *closed,
    };
    let outcome = match digest {
        Ok(_) => attempt(services, &mut request, &mut record).await.unwrap_or_else(|early| early),
        Err(fault) => Outcome::Fault(fault),
    };
    if let Outcome::Fault(fault) = &outcome {
        tracing::info!(tool = %toolgate_policy::redact::printable(&request.tool, 100), fault = fault.log_text(), "a call came to nothing");
    }
    record.close(outcome)
}

async fn attempt(
    services: &Services,
    request: &mut Request,
    record: &mut Record,
) -> Result<Outcome, Outcome> {
    let Some(_flight) = services.flights.begin() else {
        return Err(Outcome::Fault(Fault::new(
            FaultKind::Stopping,
            "the host is stopping and takes no more calls",
        )));
    };
    let snapshot = services.snapshots.now();
    let rules = snapshot.rules();
    let moment = snapshot.moment(request.source, request.transport);
    let target = snapshot.find(&request.tool);
    let judged = judge(rules, &request.principal, target, &moment).map_err(Outcome::Denied)?;
    let tool = snapshot.resolve(&judged).ok_or(Outcome::Denied(DeniedError::Unknown))?;
    record.judged(&judged, &tool.provenance);
    let limits = tool.export.limits();
    let deadline = request.arrived + Duration::from_millis(limits.get(CallLimit::Deadline));
    let args = lower(services, request, &tool).await.map_err(Outcome::Fault)?;
    let facts = if judged.reads_arguments() { tool.facts(&args) } else { ArgumentFacts::default() };
    let moment = snapshot.moment(request.source, request.transport);
    if let Some(shadow) = snapshot.shadow() {
        let facts = tool.facts(&args);
        record.would(&shadow.explain(&request.principal, Some(&tool.target), &moment, Some(&facts)));
    }
    let permit = match settle(judged, rules, &facts, &moment).map_err(Outcome::Denied)? {
        Settled::Permit(permit) => permit,
        Settled::NeedsApproval(rule) => return Err(Outcome::Denied(DeniedError::errored(rule))),
    };
    record.intent(&permit);
    let held = services.sandbox.hold(args.bytes).ok_or_else(|| Outcome::Fault(Fault::no_memory()))?;
    let trial = tool.admission.begin(&request.caller, request.learning).map_err(Outcome::Fault)?;
    let interrupt = request.interrupt.under(&tool.revoked, services.flights.stopping());
    let slot = tool.admission.enter(&permit, &request.caller, &services.calls, deadline, &interrupt).await;
    let slot = (slot.map_err(Outcome::Fault)?, held);
    let call = Call {
        deadline,
        interrupt,
        relay: request.relay.clone(),
        notes: record.notes(),
        tells_crash: tool.crash_details.includes(request.transport != Transport::Http),
        lift: lift_outcome,
        slot,
    };
    let outcome = services.sandbox.call(&permit, &tool.export, args, call).await;
    let outcome = hold_to_schema(services, request, &tool, outcome).await;
    tool.admission.settle(trial, &request.caller, &outcome, &services.audit);
    Ok(outcome)
}

/// Digest field of the record for arguments that cannot be read.
const UNREADABLE: &str = "unreadable";

/// Digest of the arguments for the record.
async fn digest(services: &Services, request: &mut Request) -> Result<String, Fault> {
    if request.arguments.why_unreadable().is_some() {
        return Ok(UNREADABLE.to_owned());
    }
    let audit = Arc::clone(&services.audit);
    let digest = request.arguments.look(&request.caller, move |json| audit.digest(json)).await;
    digest.map_err(Fault::internal)?.map_err(Fault::internal)
}

/// Checks an answer against its tool's output schema. Long checks run on the threads for large messages.
async fn hold_to_schema(
    services: &Services,
    request: &Request,
    tool: &Arc<Tool>,
    outcome: Outcome,
) -> Outcome {
    let answer = match outcome {
        Outcome::Answer(answer) if tool.judges_answers() => answer,
        other => return other,
    };
    let (judged, answer) = match tool.judge(&answer, SCHEMA_VALUE_STEPS_SMALL) {
        Err(MisfitError::Large) => {
            let tool = Arc::clone(tool);
            let work = move || (tool.judge(&answer, SCHEMA_VALUE_STEPS_MAX), answer);
            match services.large.run(&request.caller, work).await {
                Ok(judged) => judged,
                Err(error) => return Outcome::Fault(Fault::internal(error)),
            }
        }
        judged => (judged, answer),
    };
    match judged {
        Ok(()) => Outcome::Answer(answer),
        Err(misfit) => {
            let why =
                format!("the tool's answer does not fit the output schema that it was listed with: {misfit}");
            Outcome::Fault(Fault::new(FaultKind::Lift, why))
        }
    }
}

/// Lowers the arguments to values. Large ones are lowered on the threads for large messages.
async fn lower(services: &Services, request: &mut Request, tool: &Arc<Tool>) -> Result<Lowered, Fault> {
    if let Some(why) = request.arguments.why_unreadable() {
        return Err(Fault::new(FaultKind::Arguments, why));
    }
    let mut lowered = Err(LowerError::Large);
    if !request.arguments.is_large() {
        lowered = lower_within(request, tool, SMALL_VALUES_BYTES).await?;
        if matches!(lowered, Err(LowerError::Large)) {
            let admitted = request.arguments.admit(&services.large, &request.caller);
            admitted.map_err(|refused| Fault::no_memory().logged(&refused.to_string()))?;
        }
    }
    if matches!(lowered, Err(LowerError::Large)) {
        let judging = Arc::clone(tool);
        let bytes = request.arguments.look(&request.caller, move |json| judging.judging_bytes(json)).await;
        let _held = services.sandbox.hold(bytes.map_err(Fault::internal)?).ok_or_else(Fault::no_memory)?;
        lowered = lower_within(request, tool, ARGUMENT_VALUES_BYTES_MAX).await?;
    }
    request.arguments.forget();
    lowered.map_err(|error| Fault::new(FaultKind::Arguments, error.to_string()))
}

async fn lower_within(
    request: &mut Request,
    tool: &Arc<Tool>,
    bytes_max: u64,
) -> Result<Result<Lowered, LowerError>, Fault> {
    let tool = Arc::clone(tool);
    let lowered = request.arguments.look(&request.caller, move |json| tool.lower(json, bytes_max)).await;
    lowered.map_err(Fault::internal)
}
