//! Proposes the grants a plugin needs for its refused attempts. A proposal is text for an operator to review; it grants
//! nothing and covers only what was attempted.

mod sockets;

use std::collections::{BTreeMap, BTreeSet};

use super::grant::Grants;
use super::manifest::RequestedCapabilities;
use crate::Capability;
use crate::address::{Host, HostPattern, Reach, is_metadata_name, may_connect};
use crate::capability::attempt::Attempt;
use crate::capability::files::{self, Access, Mount, Use};
use crate::capability::http::{self, Grant, Rule};
use crate::capability::{keyvalue, sockets as socket};
use crate::redact::{inline_table, is_plain, printable};
use crate::request::RequestTarget;

/// Grants in force during `learn`: `present`, an empty grant for each missing capability the plugin needs, and the
/// folder `empty` if it can use files. There every access is refused and observed. Sockets open and connect nowhere.
#[must_use]
pub fn in_force(present: Grants, asked: &RequestedCapabilities, empty: &str) -> Grants {
    let mut grants = present;
    for word in asked.needs() {
        match word {
            Capability::Http => drop(grants.http.get_or_insert_default()),
            Capability::Sockets => drop(grants.sockets.get_or_insert_default()),
            Capability::Config => drop(grants.config.get_or_insert_default()),
            Capability::Keyvalue => drop(grants.keyvalue.get_or_insert_default()),
            Capability::Environment => drop(grants.environment.get_or_insert_default()),
            Capability::Clock => drop(grants.clock.get_or_insert_default()),
            Capability::Random => drop(grants.random.get_or_insert_default()),
            Capability::Files => {}
        }
    }
    if asked.covers(Capability::Files) {
        grants.files = Some(grants.files.unwrap_or_default().listening(empty));
    }
    grants.sockets = grants.sockets.map(socket::Grant::listening);
    grants
}

/// Smallest addition to the present grants that allows the refused attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantProposal {
    /// Lines of `[plugin.grant]`.
    pub lines: Vec<String>,
    /// Remarks for the operator, each a sentence.
    pub remarks: Vec<String>,
}

/// Makes the proposal from the refused attempts of a plugin that requests `asked` and has `present`.
#[must_use]
pub fn lesson(present: &Grants, asked: &RequestedCapabilities, refused: &BTreeSet<Attempt>) -> GrantProposal {
    let mut lesson = GrantProposal::default();
    let files = files_for(present, refused, &mut lesson.remarks);
    let http = http_for(present, refused, &mut lesson.remarks);
    let sockets = sockets::rules_for(present, refused, &mut lesson.remarks);
    let config = config_for(present, refused, &mut lesson.remarks);
    let mut rest = present.clone();
    if asked.needs().contains(&Capability::Keyvalue) {
        rest.keyvalue.get_or_insert_default();
    }
    for attempt in refused {
        match attempt {
            Attempt::Keyvalue => {
                rest.keyvalue = Some(keyvalue::Grant::by_default());
                let room = "how much it would keep cannot be seen: the room for it is the default";
                lesson.remarks.push(room.to_owned());
            }
            Attempt::Clock => rest.clock = Some(Default::default()),
            Attempt::Random => rest.random = Some(Default::default()),
            Attempt::File { .. }
            | Attempt::Request(_)
            | Attempt::Header { .. }
            | Attempt::NoRequest { .. }
            | Attempt::Lookup(_)
            | Attempt::Socket { .. }
            | Attempt::NoSocket { .. }
            | Attempt::Config(_) => {}
        }
    }
    let stands = |word: Capability, empty: bool| !empty || present.has(word) || asked.needs().contains(&word);
    // These four are written first; the others unchanged.
    (rest.files, rest.http, rest.sockets, rest.config) = (None, None, None, None);
    if stands(Capability::Files, files.is_empty()) {
        lesson.lines.push(format!("files = {}", files::written(&files)));
    }
    if stands(Capability::Http, http.is_empty()) {
        lesson.lines.push(format!("http = {}", http::written(&http)));
    }
    if stands(Capability::Sockets, sockets.is_empty()) {
        lesson.lines.push(format!("sockets = {}", socket::written(&sockets)));
    }
    if stands(Capability::Config, config.is_empty()) {
        lesson.lines.push(format!("config = {}", inline_table(&config)));
    }
    lesson.lines.extend(rest.written());
    if asked.covers(Capability::Environment) && present.environment.is_none() {
        lesson.remarks.push(
            "which environment variables it looks for cannot be seen: a program is given all of them at once"
                .to_owned(),
        );
    }
    lesson
}

/// Placeholder for a host folder that only the operator can name.
pub const FOLDER_TO_NAME: &str = "DIRECTORY";

/// The granted folders, with those that hold refused paths.
fn files_for(present: &Grants, refused: &BTreeSet<Attempt>, remarks: &mut Vec<String>) -> Vec<Mount> {
    let mut wanted: BTreeMap<String, Access> = BTreeMap::new();
    for attempt in refused {
        let Attempt::File { path, wanted: how } = attempt else { continue };
        let Some(folder) = folder_of(path) else {
            remarks
                .push(format!("no grant is proposed for {attempt}: its name is none that a grant can have"));
            continue;
        };
        let access = match how {
            Use::Read => Access::Read,
            Use::Write => Access::ReadWrite,
        };
        let slot = wanted.entry(folder).or_insert(access);
        *slot = access.max(*slot);
    }
    let mut mounts: Vec<Mount> = present.files.iter().flat_map(|grant| grant.mounts()).cloned().collect();
    let inside = |path: &str, folder: &str| {
        path.strip_prefix(folder).is_some_and(|rest| folder == "/" || rest.starts_with('/'))
    };
    for (guest, access) in &wanted {
        let covered =
            wanted.iter().any(|(other, has)| inside(guest, other) && has >= access && other != guest);
        if covered {
            continue;
        }
        match mounts.iter_mut().find(|mount| mount.guest == *guest) {
            Some(mount) => mount.access = (*access).max(mount.access),
            None => mounts.push(Mount::new(FOLDER_TO_NAME, guest, *access)),
        }
    }
    if mounts.iter().any(|mount| mount.host == FOLDER_TO_NAME) {
        remarks.push(format!(
            "{FOLDER_TO_NAME} stands for a folder of this machine; only you know which one the plugin should see there"
        ));
    }
    mounts
}

/// Folder to grant for a guest path: the path itself if it was opened as a folder, else its parent.
fn folder_of(path: &str) -> Option<String> {
    let clean = path.starts_with('/')
        && path.chars().all(is_plain)
        // Records cut longer names and escape unprintable characters.
        && !path.contains(['\\', '…'])
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
        && !path.contains("//");
    let folder = clean.then(|| path.rsplit_once('/'))??.0;
    Some(if folder.is_empty() { "/".to_owned() } else { folder.to_owned() })
}

/// The granted rules, with those that cover refused requests.
fn http_for(present: &Grants, refused: &BTreeSet<Attempt>, remarks: &mut Vec<String>) -> Vec<Rule> {
    let granted = present.http.clone().unwrap_or_default();
    let mut rules = Vec::new();
    // By scheme, host and port: the methods used for each path. A rule combines its methods and paths freely, so only
    // paths with the same methods may share one.
    let mut paths: BTreeMap<RequestTarget, BTreeSet<String>> = BTreeMap::new();
    for attempt in refused {
        if let Attempt::NoRequest { .. } = attempt {
            remarks.push(format!("no grant covers {}", printable(&attempt.to_string(), 400)));
        }
        let Attempt::Request(target) = attempt else { continue };
        if let Some(why) = never(target) {
            remarks.push(format!("no grant is proposed for {attempt}: {why}"));
        } else if let Ok(pass) = granted.allow(target.clone()) {
            // Granted, but its address was blocked. The first rule that covers a request applies, so this goes first.
            remarks.push(format!("{attempt} is granted, and its host leads to a private network or to nowhere that a grant reaches"));
            rules.push(Rule { reach: Reach::Private, ..narrowed(pass.rule(), target) });
        } else {
            paths.entry(target.for_method("GET")).or_default().insert(target.method().to_owned());
        }
    }
    rules.extend(with_headers(&granted, refused, remarks));
    rules.extend(granted.rules().iter().cloned());
    let mut shared: BTreeMap<(RequestTarget, BTreeSet<String>), Vec<String>> = BTreeMap::new();
    for (target, methods) in &paths {
        let site = target.at_root();
        shared.entry((site, methods.clone())).or_default().push(target.path().to_owned());
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    for ((site, methods), paths) in shared {
        if let Host::Name(name) = site.host()
            && !site.host().is_loopback()
        {
            names.insert(name.clone());
        }
        rules.push(Rule {
            scheme: site.scheme(),
            host: HostPattern::Exact(site.host().clone()),
            port: site.port(),
            methods: methods.into_iter().collect(),
            paths,
            headers: Vec::new(),
            secret: None,
            reach: reach(site.host()),
            ca: None,
        });
    }
    if !names.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        remarks.push(format!(
            "{} was not resolved; a host in a private network needs private = true as well",
            names.join(", ")
        ));
    }
    rules
}

/// Rules for granted requests that were refused for header fields no rule names. The first rule that covers a request
/// applies, so these go before the others.
fn with_headers(granted: &Grant, refused: &BTreeSet<Attempt>, remarks: &mut Vec<String>) -> Vec<Rule> {
    let mut named: BTreeMap<&RequestTarget, Vec<String>> = BTreeMap::new();
    for attempt in refused {
        if let Attempt::Header { request, name } = attempt {
            named.entry(request).or_default().push(name.clone());
        }
    }
    let rule = |(target, names): (&RequestTarget, Vec<String>)| {
        let pass = granted.allow(target.clone()).ok()?;
        remarks.push(format!(
            "{} {} is granted without {}: with it a server may take the request for another one",
            target.method(),
            target.url(),
            names.join(", ")
        ));
        let rule = narrowed(pass.rule(), target);
        Some(Rule { headers: [rule.headers.clone(), names].concat(), ..rule })
    };
    named.into_iter().filter_map(rule).collect()
}

/// Reason why no rule is proposed for a request.
fn never(target: &RequestTarget) -> Option<String> {
    if target.path().contains('*') {
        return Some("its path has a `*`, which in a rule would mean any text".to_owned());
    }
    out_of_reach(target.host())
}

/// Reason why no rule can reach a host.
fn out_of_reach(host: &Host) -> Option<String> {
    match host {
        Host::Address(address) => {
            may_connect(*address, Reach::Private, &[]).err().map(|blocked| blocked.to_string())
        }
        Host::Name(name) => {
            is_metadata_name(name).then(|| format!("{name} is a metadata service; no grant reaches it"))
        }
    }
}

/// Reach that a host needs, as far as its name or address shows without DNS.
fn reach(host: &Host) -> Reach {
    let private = match host {
        Host::Address(address) => may_connect(*address, Reach::Global, &[]).is_err(),
        Host::Name(_) => host.is_loopback(),
    };
    if private { Reach::Private } else { Reach::Global }
}

/// A copy of a rule narrowed to this request.
fn narrowed(rule: &Rule, target: &RequestTarget) -> Rule {
    Rule {
        host: HostPattern::Exact(target.host().clone()),
        methods: vec![target.method().to_owned()],
        paths: vec![target.path().to_owned()],
        ..rule.clone()
    }
}

/// The granted values, with a placeholder for each requested key.
fn config_for(
    present: &Grants,
    refused: &BTreeSet<Attempt>,
    remarks: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let pass = present.config.as_ref().map(|grant| grant.allow());
    let mut values = pass.map(|pass| pass.values().clone()).unwrap_or_default();
    let before = values.len();
    for attempt in refused {
        if let Attempt::Config(key) = attempt {
            if key.contains(['\\', '…']) {
                remarks.push(format!("no grant is proposed for {attempt}: its key is not shown as it is"));
                continue;
            }
            values.entry(key.clone()).or_insert_with(|| "VALUE".to_owned());
        }
    }
    if values.len() > before {
        remarks.push("VALUE stands for a value that only you know; a plugin can also do without".to_owned());
    }
    values
}

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
