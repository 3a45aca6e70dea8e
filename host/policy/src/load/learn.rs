//! What a plugin would have to be granted for what it tried and was refused. Only a proposal: text for an operator to read,
//! change and write down. It grants nothing, and it asks for no more than what was tried.

use std::collections::{BTreeMap, BTreeSet};

use super::grant::Grants;
use super::manifest::Asked;
use crate::Capability;
use crate::address::{Host, HostPattern, Reach, is_metadata_name, may_connect};
use crate::capability::attempt::Attempt;
use crate::capability::files::{self, Access, Mount, Use};
use crate::capability::http::Rule;
use crate::redact::{inline_table, is_plain, printable};
use crate::request::Target;

/// What is in force while one learns: `present`, the empty grant for each word that the plugin needs and does not have, and,
/// where it can use files, the folder `empty`, in which it is given nothing and heard asking.
#[must_use]
pub fn in_force(present: Grants, asked: &Asked, empty: &str) -> Grants {
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
    grants
}

/// The smallest grant that lets through what was refused, beside what is granted already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lesson {
    /// The lines of `[plugin.grant]`.
    pub lines: Vec<String>,
    /// What an operator has to know of them, each a sentence.
    pub remarks: Vec<String>,
}

/// Makes the lesson of what was refused to a plugin that asks `asked` and has `present`.
#[must_use]
pub fn lesson(present: &Grants, asked: &Asked, refused: &BTreeSet<Attempt>) -> Lesson {
    let mut lesson = Lesson::default();
    let files = files_for(present, refused, &mut lesson.remarks);
    let http = http_for(present, refused, &mut lesson.remarks);
    let config = config_for(present, refused, &mut lesson.remarks);
    let mut rest = present.clone();
    for attempt in refused {
        match attempt {
            Attempt::Clock => rest.clock = Some(Default::default()),
            Attempt::Random => rest.random = Some(Default::default()),
            Attempt::File { .. } | Attempt::Request(_) | Attempt::NoRequest { .. } | Attempt::Config(_) => {}
        }
    }
    let stands = |word: Capability, empty: bool| !empty || present.has(word) || asked.needs().contains(&word);
    // These three are written below; the others as they are.
    (rest.files, rest.http, rest.config) = (None, None, None);
    if stands(Capability::Files, files.is_empty()) {
        lesson.lines.push(format!("files = {}", files::written(&files)));
    }
    if stands(Capability::Http, http.is_empty()) {
        let rules: Vec<String> = http.iter().map(Rule::written).collect();
        lesson.lines.push(format!("http = [{}]", rules.join(", ")));
    }
    if stands(Capability::Config, config.is_empty()) {
        lesson.lines.push(format!("config = {}", inline_table(&config)));
    }
    for (word, line) in [(Capability::Sockets, "sockets = []"), (Capability::Keyvalue, "keyvalue = {}")] {
        if asked.needs().contains(&word) && !present.has(word) {
            lesson.lines.push(line.to_owned());
        }
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

/// The folder that stands in a proposal for one that only the operator can name.
pub const FOLDER_TO_NAME: &str = "DIRECTORY";

/// The folders of the grant, with those that hold what was refused.
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

/// The folder that must be granted for a path of the guest: itself if it was opened as a folder, else the one it lies in.
fn folder_of(path: &str) -> Option<String> {
    let clean = path.starts_with('/')
        && path.chars().all(is_plain)
        // Longer names are cut in records, and what cannot be shown is spelled out.
        && !path.contains(['\\', '…'])
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
        && !path.contains("//");
    let folder = clean.then(|| path.rsplit_once('/'))??.0;
    Some(if folder.is_empty() { "/".to_owned() } else { folder.to_owned() })
}

/// The rules of the grant, with those that cover what was refused.
fn http_for(present: &Grants, refused: &BTreeSet<Attempt>, remarks: &mut Vec<String>) -> Vec<Rule> {
    let granted = present.http.clone().unwrap_or_default();
    let mut rules = Vec::new();
    // By scheme, host and port: which methods each path was asked by. Methods and paths of one rule are combined freely, so
    // that only paths with the same methods may share a rule.
    let mut paths: BTreeMap<Target, BTreeSet<String>> = BTreeMap::new();
    for attempt in refused {
        let target = match attempt {
            Attempt::Request(target) => target,
            Attempt::NoRequest { .. } => {
                remarks.push(format!("no grant covers {}", printable(&attempt.to_string(), 400)));
                continue;
            }
            Attempt::File { .. } | Attempt::Config(_) | Attempt::Clock | Attempt::Random => continue,
        };
        if let Some(why) = never(target) {
            remarks.push(format!("no grant is proposed for {attempt}: {why}"));
        } else if let Ok(pass) = granted.allow(target.clone()) {
            // Granted, and stopped at the address. The first rule that covers a request counts: this one goes before it.
            remarks.push(format!("{attempt} is granted, and its host leads to a private network or to nowhere that a grant reaches"));
            rules.push(Rule { reach: Reach::Private, ..narrowed(pass.rule(), target) });
        } else {
            paths.entry(target.for_method("GET")).or_default().insert(target.method().to_owned());
        }
    }
    rules.extend(granted.rules().iter().cloned());
    let mut shared: BTreeMap<(Target, BTreeSet<String>), Vec<String>> = BTreeMap::new();
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

/// Why no rule is proposed for a request, whatever it is for.
fn never(target: &Target) -> Option<String> {
    if target.path().contains('*') {
        return Some("its path has a `*`, which in a rule would mean any text".to_owned());
    }
    match target.host() {
        Host::Address(address) => {
            may_connect(*address, Reach::Private).err().map(|blocked| blocked.to_string())
        }
        Host::Name(name) => {
            is_metadata_name(name).then(|| format!("{name} is a metadata service; no grant reaches it"))
        }
    }
}

/// Whether a host is known to be private without asking anybody.
fn reach(host: &Host) -> Reach {
    let private = match host {
        Host::Address(address) => may_connect(*address, Reach::Global).is_err(),
        Host::Name(_) => host.is_loopback(),
    };
    if private { Reach::Private } else { Reach::Global }
}

/// A rule, for this request alone.
fn narrowed(rule: &Rule, target: &Target) -> Rule {
    Rule {
        host: HostPattern::Exact(target.host().clone()),
        methods: vec![target.method().to_owned()],
        paths: vec![target.path().to_owned()],
        ..rule.clone()
    }
}

/// The values of the grant, with a place for each that was asked for.
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
mod tests {
    use super::*;

    fn asked() -> Asked {
        let imports =
            ["wasi:filesystem/types@0.2.6", "wasi:http/types@0.2.6", "wasi:config/store@0.2.0-rc.1"];
        Asked::from_imports(imports, false).unwrap()
    }

    fn get(method: &str, url: &str) -> Attempt {
        Attempt::Request(Target::from_url(method, url).unwrap())
    }

    fn file(path: &str, wanted: Use) -> Attempt {
        Attempt::File { path: path.to_owned(), wanted }
    }

    fn learned(refused: &[Attempt]) -> Lesson {
        lesson(&Grants::default(), &asked(), &refused.iter().cloned().collect())
    }

    #[test]
    fn nothing_refused_leaves_what_is_needed_and_no_more() {
        assert_eq!(learned(&[]).lines, ["http = []", "config = {}"]);
    }

    #[test]
    fn methods_and_paths_are_not_combined_into_what_nobody_asked_for() {
        let told = learned(&[
            get("GET", "https://a.example/one"),
            get("GET", "https://a.example/two"),
            get("POST", "https://a.example/two"),
            get("GET", "https://a.example/three"),
            get("GET", "http://127.0.0.1:81/"),
        ]);
        let rules = told.lines[0].clone();
        assert!(rules.contains(r#"methods = ["GET"], paths = ["/one", "/three"]"#), "{rules}");
        assert!(rules.contains(r#"methods = ["GET", "POST"], paths = ["/two"]"#), "{rules}");
        assert!(
            rules.contains(r#"{ scheme = "http", host = "127.0.0.1", port = 81, methods = ["GET"], paths = ["/"], private = true }"#),
            "{rules}"
        );
    }

    #[test]
    fn what_would_widen_a_rule_or_reach_what_none_reaches_is_not_proposed() {
        let told = learned(&[
            get("GET", "https://a.example/*"),
            get("GET", "http://169.254.169.254/latest"),
            get("GET", "http://metadata.google.internal/"),
            Attempt::NoRequest { text: "GET ftp://a/\n[plugin]".into(), why: "none".into() },
            file("/a/../../etc/passwd", Use::Read),
            file("/a\\u{a}b/c", Use::Read),
        ]);
        assert_eq!(told.lines, ["http = []", "config = {}"]);
        assert!(told.remarks.len() >= 6, "{told:?}");
        assert!(told.remarks.iter().all(|remark| remark.chars().all(is_plain)), "{told:?}");
    }

    #[test]
    fn folders_are_those_asked_for_and_the_innermost_that_hold_what_was() {
        let told = learned(&[
            file("/docs/a.txt", Use::Read),
            file("/docs/deep/b.txt", Use::Read),
            file("/docs/out/c.txt", Use::Write),
            file("/list/", Use::Read),
        ]);
        assert_eq!(
            told.lines[0],
            r#"files = [{ host = "DIRECTORY", guest = "/docs", access = "read" }, { host = "DIRECTORY", guest = "/docs/out", access = "read-write" }, { host = "DIRECTORY", guest = "/list", access = "read" }]"#
        );
    }

    #[test]
    fn what_is_granted_stays_and_a_folder_that_was_written_to_is_raised() {
        let mount = files::MountText {
            host: "/srv/docs".to_owned(),
            guest: "/docs".to_owned(),
            access: "read".to_owned(),
            room: Default::default(),
            open_max: None,
        };
        let present = Grants {
            files: Some(files::Grant::new(vec![mount]).unwrap()),
            clock: Some(crate::capability::clock::Grant::None),
            ..Grants::default()
        };
        let refused = BTreeSet::from([file("/docs/new.txt", Use::Write), Attempt::Clock]);
        let told = lesson(&present, &asked(), &refused);
        assert!(told.lines.contains(
            &r#"files = [{ host = "/srv/docs", guest = "/docs", access = "read-write" }]"#.to_owned()
        ));
        assert!(told.lines.contains(&r#"clock = "coarse""#.to_owned()), "{told:?}");
    }

    #[test]
    fn a_rule_that_was_stopped_at_the_address_is_repeated_for_that_request_alone_and_before() {
        let text = crate::capability::http::RuleText {
            host: "intra.example".into(),
            paths: Some(vec!["/*".into()]),
            ..Default::default()
        };
        let present = Grants {
            http: Some(crate::capability::http::Grant::new(vec![text]).unwrap()),
            ..Grants::default()
        };
        let refused = BTreeSet::from([get("GET", "https://intra.example/a")]);
        let line = lesson(&present, &asked(), &refused).lines[0].clone();
        assert!(
            line.starts_with(
                r#"http = [{ host = "intra.example", methods = ["GET"], paths = ["/a"], private = true }, {"#
            ),
            "{line}"
        );
    }

    #[test]
    fn in_force_is_what_stands_there_and_nothing_for_the_rest() {
        let grants = in_force(Grants::default(), &asked(), "/empty");
        let effective = grants.meet(&asked()).unwrap();
        assert_eq!(effective.effects(), Default::default());
        assert_eq!(effective.files.mounts().len(), 1);
    }
}
