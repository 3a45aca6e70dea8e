//! Parts of a grant that no recorded call used, so that an operator can remove them, and the refused uses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::files::{Access, Use};
use toolgate_policy::redact::printable;
use toolgate_state::StateDir;
use toolgate_state::audit::review::{self, Reach, Recorded};

use super::super::exit::Exit;
use super::super::output;
use super::Subject;

/// Refused uses that are listed; further ones are counted.
const REFUSED_SHOWN_MAX: usize = toolgate_policy::limits::call::RECORD_PLACES_MAX;

/// Summary of the records.
#[derive(Default)]
struct RecordSummary {
    calls: u64,
    not_listed: u64,
    folders_read: BTreeSet<usize>,
    folders_written: BTreeSet<usize>,
    rules: BTreeSet<usize>,
    places: BTreeSet<usize>,
    store: bool,
    /// Refused attempts, with the number of calls and the time of the last.
    refused: BTreeMap<Attempt, (u64, String)>,
    refused_not_shown: u64,
}

pub(super) fn run(subject: &Subject<'_>, json: bool) -> Result<(), Exit> {
    let state = StateDir::open(&subject.config.state).map_err(|error| Exit::host(&error))?;
    let mut seen = RecordSummary::default();
    let reach =
        review::calls(state.root(), |call| seen.add(subject, call)).map_err(|error| Exit::host(&error))?;
    let unused = unused(subject, &seen);
    if json {
        output::print_json(&as_json(subject, &seen, &reach, &unused));
    } else {
        output::print(&as_text(subject, &seen, &reach, &unused));
    }
    Ok(())
}

impl RecordSummary {
    /// Counts a call's uses against the present grant, not the grant at the time of the call.
    fn add(&mut self, subject: &Subject<'_>, call: Recorded) {
        if call.plugin != subject.spec.name.as_str() || call.learning {
            return;
        }
        self.calls += 1;
        self.not_listed += call.not_listed;
        let effective = subject.effective();
        for (attempt, judged) in call.attempts {
            match (judged, &attempt) {
                (AttemptVerdict::Refused, _) => {
                    if self.refused.len() >= REFUSED_SHOWN_MAX && !self.refused.contains_key(&attempt) {
                        self.refused_not_shown += 1;
                        continue;
                    }
                    let (times, last) = self.refused.entry(attempt).or_default();
                    *times += 1;
                    last.clone_from(&call.time);
                }
                (AttemptVerdict::Allowed, Attempt::File { path, wanted }) => {
                    let into = match wanted {
                        Use::Read => &mut self.folders_read,
                        Use::Write => &mut self.folders_written,
                    };
                    into.extend(effective.files.locate(path));
                }
                (AttemptVerdict::Allowed, Attempt::Request(target)) => {
                    self.rules.extend(effective.http.allow(target.clone()).map(|pass| pass.index()));
                }
                (AttemptVerdict::Allowed, Attempt::Socket { protocol, host, port }) => {
                    let naming = effective.sockets.naming(host);
                    let there = naming.filter(|(_, rule)| (rule.protocol, rule.port) == (*protocol, *port));
                    self.places.extend(there.map(|(index, _)| index));
                }
                (AttemptVerdict::Allowed, Attempt::Keyvalue) => self.store = true,
                // Too long to be listed, so the rule that allowed it is unknown.
                (AttemptVerdict::Allowed, Attempt::NoRequest { .. }) => self.not_listed += 1,
                (
                    AttemptVerdict::Allowed,
                    Attempt::Header { .. }
                    | Attempt::Lookup(_)
                    | Attempt::NoSocket { .. }
                    | Attempt::Config(_)
                    | Attempt::Clock
                    | Attempt::Random,
                ) => {}
            }
        }
    }
}

/// Unused parts of the grant, each with its place.
fn unused(subject: &Subject<'_>, seen: &RecordSummary) -> Vec<(String, String)> {
    let effective = subject.effective();
    let mut unused = Vec::new();
    for (index, mount) in effective.files.mounts().iter().enumerate() {
        let (read, written) = (seen.folders_read.contains(&index), seen.folders_written.contains(&index));
        let folder = format!("files: {} as {}", mount.host, mount.guest);
        let what = match (mount.access, read, written) {
            (_, false, false) => folder,
            (Access::ReadWrite, true, false) => {
                format!(r#"{folder} was read and never written; access = "read" is enough"#)
            }
            (Access::Nothing | Access::Read | Access::ReadWrite, _, _) => continue,
        };
        unused.push((subject.at(&format!("grant.files[{index}]")), what));
    }
    for (index, rule) in effective.http.rules().iter().enumerate() {
        if !seen.rules.contains(&index) {
            unused.push((subject.at(&format!("grant.http[{index}]")), format!("http: {}", rule.written())));
        }
    }
    for (index, rule) in effective.sockets.rules().iter().enumerate() {
        if !seen.places.contains(&index) {
            let what = format!("sockets: {}", rule.written());
            unused.push((subject.at(&format!("grant.sockets[{index}]")), what));
        }
    }
    if effective.keyvalue.room().is_some() && !seen.store {
        unused.push((subject.at("grant.keyvalue"), format!("keyvalue: {}", effective.keyvalue.written())));
    }
    unused
}

/// Limits of what the records show.
fn caveats(seen: &RecordSummary, reach: &Reach) -> Vec<String> {
    let mut caveats = Vec::new();
    if reach.unreadable > 0 {
        let (unreadable, lines) = (reach.unreadable, reach.lines);
        caveats.push(format!("{unreadable} of {lines} lines of the record could not be read"));
    }
    if seen.not_listed > 0 {
        let why = "their records had no room for it: what looks unused may be among that";
        caveats.push(format!("calls touched {} more than is listed; {why}", seen.not_listed));
    }
    caveats
}

fn as_text(
    subject: &Subject<'_>,
    seen: &RecordSummary,
    reach: &Reach,
    unused: &[(String, String)],
) -> String {
    let name = &subject.spec.name;
    let since = reach.since.as_deref().map(|since| printable(since, 40));
    let mut lines = vec![match since {
        Some(since) => format!("{} recorded calls of {name}; the record begins at {since}", seen.calls),
        None => format!("no recorded calls of {name}: there is no record yet"),
    }];
    lines.extend(caveats(seen, reach));
    lines.push("never used:".to_owned());
    lines.extend(unused.iter().map(|(at, what)| format!("  {what} ({at})")));
    if unused.is_empty() {
        lines.push("  nothing".to_owned());
    }
    lines.push("refused:".to_owned());
    for (attempt, (times, last)) in &seen.refused {
        lines.push(format!("  {attempt}: in {times} calls, last at {last}"));
    }
    match (seen.refused.is_empty(), seen.refused_not_shown) {
        (true, _) => lines.push("  nothing".to_owned()),
        (false, 0) => {}
        (false, more) => lines.push(format!("  and {more} more")),
    }
    lines.iter().map(|line| printable(line, 2_000)).collect::<Vec<_>>().join("\n")
}

fn as_json(subject: &Subject<'_>, seen: &RecordSummary, reach: &Reach, unused: &[(String, String)]) -> Value {
    let unused = unused.iter().map(|(at, what)| json!({ "at": at, "what": what }));
    let refused = seen.refused.iter().map(|(attempt, (times, last))| {
        json!({ "capability": attempt.capability().word(), "what": attempt.to_string(), "calls": times, "last": last })
    });
    json!({
        "plugin": subject.spec.name.as_str(),
        "calls": seen.calls,
        "since": reach.since,
        "lines": reach.lines,
        "unreadable": reach.unreadable,
        "notListed": seen.not_listed,
        "unused": unused.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "refusedNotShown": seen.refused_not_shown,
    })
}
