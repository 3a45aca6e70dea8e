//! The record of one call: opened before any decision, closed exactly once. A dropped record closes itself, so that a
//! denial, a trap, a cancellation and a panic all leave one. Only this module makes [`Closed`], which the reply
//! demands.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value, json};
use toolgate_base::outcome::{Fault, FaultKind, Outcome, Verdict};
use toolgate_policy::call::{Explanation, Judged, Permit, RuleId};
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::files::Use;
use toolgate_policy::limits::call::RECORD_PLACES_MAX;
use toolgate_policy::load::Provenance;
use toolgate_policy::redact::printable;
use toolgate_policy::{Capability, Principal};

use super::places;
use super::sink::Sink;

/// Facts known when a call arrives.
pub struct RecordOpening<'a> {
    /// Principal that made the call.
    pub principal: &'a Principal,
    /// Requested name, whether or not a tool has it.
    pub tool: &'a str,
    /// Digest of the arguments, from [`super::Recorder::digest`].
    pub arguments: &'a str,
    /// Whether the call is a probe for the capabilities that the plugin requests.
    pub learning: bool,
}

/// A record that is open.
pub struct Record {
    sink: Arc<Sink>,
    started: Instant,
    fields: Map<String, Value>,
    notes: CallTrace,
    open: bool,
}

/// An outcome whose record is closed.
#[must_use]
#[derive(Debug)]
pub struct Closed<T> {
    value: T,
    notes: CallTrace,
}

/// Trace to which a running call adds what it does, for its record. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CallTrace(Arc<Mutex<TraceEntries>>);

#[derive(Debug, Default)]
struct TraceEntries {
    fuel: u64,
    memory_peak_bytes: u64,
    attempts: Listed<Attempt>,
    full: BTreeSet<(String, &'static str)>,
    hosts: Listed<String>,
    dropped: u64,
}

/// Number of times each key was allowed and refused. The two are counted apart, since a refusal says nothing about
/// calls before or after it. Each has its own limit, so that refused attempts cannot crowd out allowed ones.
type Listed<K> = BTreeMap<(K, AttemptVerdict), u64>;

/// Counts one more; `false` beyond the limit. Keys that are `alike` share the limit.
fn note<K: Ord>(listed: &mut Listed<K>, key: K, judged: AttemptVerdict, alike: impl Fn(&K) -> bool) -> bool {
    let entry = (key, judged);
    let is_like_it = |(other, is): &&(K, AttemptVerdict)| *is == judged && alike(other);
    if !listed.contains_key(&entry) && listed.keys().filter(is_like_it).count() >= RECORD_PLACES_MAX {
        return false;
    }
    *listed.entry(entry).or_default() += 1;
    true
}

/// Takes back one that was counted as allowed.
fn take_back<K: Ord>(listed: &mut Listed<K>, key: K) {
    if let Entry::Occupied(mut entry) = listed.entry((key, AttemptVerdict::Allowed)) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

impl TraceEntries {
    fn attempt(&mut self, attempt: Attempt, judged: AttemptVerdict) {
        let room = room(&attempt);
        if !note(&mut self.attempts, attempt, judged, |other| self::room(other) == room) {
            self.dropped += 1;
        }
    }

    fn host(&mut self, host: String, judged: AttemptVerdict) {
        if !note(&mut self.hosts, host, judged, |_| true) {
            self.dropped += 1;
        }
    }

    fn listed(&self) -> BTreeSet<(Attempt, AttemptVerdict)> {
        self.attempts.keys().cloned().collect()
    }
}

/// Group of attempts that share a limit: by capability and by whether they may write. Many reads hide no write.
fn room(attempt: &Attempt) -> (Capability, bool) {
    let changes = match attempt {
        Attempt::File { wanted, .. } => *wanted == Use::Write,
        Attempt::Request(target) | Attempt::Header { request: target, .. } => {
            !["GET", "HEAD", "OPTIONS"].contains(&target.method())
        }
        _ => false,
    };
    (attempt.capability(), changes)
}

impl Record {
    pub(super) fn open(sink: Arc<Sink>, opening: RecordOpening<'_>) -> Self {
        let mut fields = Map::new();
        fields.insert("time".to_owned(), Value::from(super::now()));
        fields.insert("event".to_owned(), Value::from("call"));
        fields.insert("principal".to_owned(), Value::from(printable(&opening.principal.to_string(), 200)));
        fields.insert("tenant".to_owned(), Value::from(opening.principal.tenant().to_string()));
        fields.insert("tool".to_owned(), Value::from(printable(opening.tool, 200)));
        fields.insert("arguments".to_owned(), Value::from(opening.arguments));
        if opening.learning {
            fields.insert("learning".to_owned(), Value::from(true));
        }
        Self { sink, started: Instant::now(), fields, notes: CallTrace::default(), open: true }
    }

    /// Records the tool that was judged, and the rules that decided.
    pub fn judged(&mut self, judged: &Judged, provenance: &Provenance) {
        let rules: Vec<&str> = judged.rules().iter().map(RuleId::as_str).collect();
        self.fields.insert("rule".to_owned(), Value::from(rules.join(", ")));
        self.fields.insert("policy".to_owned(), Value::from(judged.policy().to_string()));
        self.fields.insert("plugin".to_owned(), Value::from(judged.target().plugin().as_str()));
        self.fields.insert("digest".to_owned(), Value::from(judged.target().digest().to_string()));
        if let Some(version) = &provenance.version {
            self.fields.insert("version".to_owned(), Value::from(printable(version, 100)));
        }
        self.fields.insert("signers".to_owned(), Value::from(provenance.signers.clone()));
        if let Some(approval) = &provenance.approval {
            self.fields.insert("approved_by".to_owned(), Value::from(printable(&approval.by, 200)));
        }
    }

    /// Records the permit under which the guest is about to run, with the effects that it may have.
    pub fn intent(&mut self, permit: &Permit) {
        self.fields.insert("decision".to_owned(), Value::from("permit"));
        self.fields.insert("effects".to_owned(), Value::from(permit.effects().words()));
    }

    /// Records the verdict of rules that are being tried.
    pub fn would(&mut self, explained: &Explanation) {
        let by: Vec<&str> = explained.by.iter().map(RuleId::as_str).collect();
        let would = json!({ "verdict": explained.verdict.as_str(), "by": by });
        self.fields.insert("would".to_owned(), would);
    }

    /// Trace for the running call.
    pub fn notes(&self) -> CallTrace {
        self.notes.clone()
    }

    /// Closes the record. If it cannot be written the outcome is withheld: nothing unrecorded is answered.
    pub fn close(mut self, outcome: Outcome) -> Closed<Outcome> {
        match self.write(&outcome) {
            Ok(()) => Closed { value: outcome, notes: self.notes() },
            Err(error) => {
                let fault = Fault::new(
                    FaultKind::Audit,
                    "the host could not record the call; its answer is withheld",
                );
                Closed { value: Outcome::Fault(fault.logged(&error.to_string())), notes: self.notes() }
            }
        }
    }

    fn write(&mut self, outcome: &Outcome) -> std::io::Result<()> {
        self.open = false;
        if let Outcome::Denied(denied) = outcome {
            self.fields.insert("decision".to_owned(), Value::from(format!("deny: {denied}")));
        }
        let mut line = std::mem::take(&mut self.fields);
        line.insert("outcome".to_owned(), describe(outcome));
        line.insert(
            "wall_us".to_owned(),
            json!(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)),
        );
        self.notes.with(|noted| {
            line.insert("fuel".to_owned(), json!(noted.fuel));
            line.insert("memory_peak_bytes".to_owned(), json!(noted.memory_peak_bytes));
            places::write(&noted.listed(), &noted.full, &mut line);
            let host = |(host, judged): &(String, AttemptVerdict)| match judged {
                AttemptVerdict::Allowed => host.clone(),
                AttemptVerdict::Refused => format!("refused: {host}"),
            };
            line.insert("hosts".to_owned(), noted.hosts.keys().map(host).collect());
            if noted.dropped > 0 {
                line.insert("places_not_listed".to_owned(), json!(noted.dropped));
            }
        });
        self.sink.write(&Value::Object(line))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.open {
            let fell = Fault::new(FaultKind::Internal, "the call was dropped before it ended");
            if let Err(error) = self.write(&Outcome::Fault(fell)) {
                tracing::error!(%error, "the record of calls cannot be written");
            }
        }
    }
}

impl Closed<Outcome> {
    /// The only outcome without a record: the fault that none can be written.
    pub(super) fn unrecorded(fault: Fault) -> Self {
        Self { value: Outcome::Fault(fault), notes: CallTrace::default() }
    }
}

impl<T> Closed<T> {
    /// The recorded value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Attempts in the record, and the number of those beyond its limits.
    pub fn attempts(&self) -> (BTreeSet<(Attempt, AttemptVerdict)>, u64) {
        self.notes.with(|noted| (noted.listed(), noted.dropped))
    }

    /// The recorded value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl CallTrace {
    /// Sets fuel used so far and peak memory.
    pub fn used(&self, fuel: u64, memory_peak_bytes: u64) {
        self.with(|noted| {
            noted.fuel = noted.fuel.max(fuel);
            noted.memory_peak_bytes = noted.memory_peak_bytes.max(memory_peak_bytes);
        });
    }

    /// Records an attempt of the guest.
    pub fn attempt(&self, attempt: Attempt, judged: AttemptVerdict) {
        let attempt = places::bounded(attempt);
        self.with(|noted| noted.attempt(attempt, judged));
    }

    /// Turns an attempt recorded as allowed into a refused one: it was refused before anything was sent or resolved.
    pub fn turned_back(&self, attempt: Attempt, host: &str) {
        let (attempt, host) = (places::bounded(attempt), places::text(host));
        self.with(|noted| {
            take_back(&mut noted.attempts, attempt.clone());
            take_back(&mut noted.hosts, host.clone());
            noted.attempt(attempt, AttemptVerdict::Refused);
            noted.host(host, AttemptVerdict::Refused);
        });
    }

    /// Counts attempts that are not listed.
    pub fn not_listed(&self, count: usize) {
        self.with(|noted| noted.dropped += count as u64);
    }

    /// Records that a file operation hit a quota. It was granted, so it is not an attempt that a further grant would
    /// allow.
    pub fn full(&self, path: &str, limit: &'static str) {
        let full = (places::text(path), limit);
        self.with(|noted| {
            if noted.full.len() < RECORD_PLACES_MAX || noted.full.contains(&full) {
                noted.full.insert(full);
            } else {
                noted.dropped += 1;
            }
        });
    }

    /// Records a host for an allowed or refused request. Each of the two has its own limit.
    pub fn host(&self, host: &str, judged: AttemptVerdict) {
        let host = places::text(host);
        self.with(|noted| noted.host(host, judged));
    }

    /// Attempts recorded so far.
    pub fn listed(&self) -> BTreeSet<(Attempt, AttemptVerdict)> {
        self.with(|noted| noted.listed())
    }

    fn with<T>(&self, act: impl FnOnce(&mut TraceEntries) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn describe(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Answer(answer) => match answer.verdict {
            Verdict::Ok => json!({ "kind": "answer" }),
            Verdict::Err => json!({ "kind": "err" }),
        },
        Outcome::Denied(_) => json!({ "kind": "denied" }),
        Outcome::Fault(fault) => {
            let mut described = json!({
                "kind": fault.kind().word(),
                "blame": fault.blame().to_string(),
                "text": printable(fault.log_text(), 1_000),
            });
            if let (FaultKind::Limit(limit), Value::Object(map)) = (fault.kind(), &mut described) {
                map.insert("limit".to_owned(), Value::from(limit.name()));
            }
            described
        }
    }
}

#[cfg(test)]
mod tests {
    use toolgate_policy::request::RequestTarget;

    use super::*;

    fn file(at: usize, wanted: Use) -> Attempt {
        Attempt::File { path: format!("/docs/{at}"), wanted }
    }

    #[test]
    fn whoever_looks_at_much_or_is_refused_much_hides_no_change() {
        let notes = CallTrace::default();
        for at in 0..2 * RECORD_PLACES_MAX {
            notes.attempt(file(at, Use::Read), AttemptVerdict::Allowed);
            notes.attempt(file(at, Use::Write), AttemptVerdict::Refused);
        }
        for method in ["GET", "DELETE"] {
            for at in 0..2 * RECORD_PLACES_MAX {
                let target =
                    RequestTarget::from_url(method, &format!("http://a.example/{method}/{at}")).unwrap();
                notes.attempt(Attempt::Request(target), AttemptVerdict::Allowed);
            }
        }
        notes.attempt(file(0, Use::Write), AttemptVerdict::Allowed);
        let listed = notes.listed();
        assert!(listed.contains(&(file(0, Use::Write), AttemptVerdict::Allowed)));
        assert_eq!(listed.len(), 4 * RECORD_PLACES_MAX + 1);
        assert_eq!(notes.with(|noted| noted.dropped), 4 * RECORD_PLACES_MAX as u64);
    }
}
