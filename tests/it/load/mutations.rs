//! Random changes of a component, its signature, the trust policy, the lock or a cached file: only what was approved
//! loads. 2,000 changes, or `TOOLGATE_CASES`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_policy::load::Grants;
use toolgate_policy::load::pin::{Approval, Pin};
use toolgate_policy::load::signer::UnixTime;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::reconcile::Loaded;
use toolgate_runtime::spec::{Approvals, Spec};
use toolgate_state::lockfile::{Entry, Lockfile};
use toolgate_tests::chance::Chance;
use toolgate_tests::world::{TRUST, names};
use toolgate_tests::{World, guest, inside};

const SEED: u64 = 0x70_6f_69_6e_74;

/// One in this many changes that could be checked in process is checked by the program.
const BY_PROGRAM: usize = 20;

fn cases() -> usize {
    std::env::var("TOOLGATE_CASES").ok().map_or(2_000, |cases| cases.parse().unwrap())
}

/// The file to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Component,
    Signature,
    Policy,
    Lock,
    Cache,
}

const PARTS: [Part; 5] = [Part::Component, Part::Signature, Part::Policy, Part::Lock, Part::Cache];

/// Outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Nothing loads, or the approved version continues to serve.
    Refused,
    /// The approved version loads.
    Same,
}

/// Checker of a change: functions in this process, or the program. Each has a state of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Readers,
    Program,
}

/// A world where `p` is signed, approved and compiled, with a trust policy in force; and all that of another version.
struct Approved {
    world: World,
    gate: Gate,
    spec: Spec,
    digest: Digest,
    other: BTreeMap<Part, Vec<u8>>,
}

fn says(text: &str) -> Vec<u8> {
    let texts = json!({ "format": 1, "tool": { "seven": { "description": text } } });
    guest::with_section(guest::seven(), "toolgate", texts.to_string().as_bytes())
}

/// A trust policy of the highest version, so that no change makes it a valid newer one.
fn policy(plugin: &str, revoked: &[u8]) -> String {
    let more = format!(
        r#"
[[signer]] # who looks at what comes from elsewhere
id = "reviewer"
key = "keys/reviewer.pub"
[[role]]
name = "vetting"
threshold = 1
signers = ["reviewer"]
[[rule]]
plugin = "{plugin}"
require = ["vetting"]
[[revoke]]
digest = "{}"
reason = "a flaw"
"#,
        Digest::of(revoked)
    );
    TRUST.replace("version = 1", &format!("version = {}\ngrace_days = 30", i64::MAX)) + &more
}

fn lock(pin: Pin) -> Vec<u8> {
    let mut lock = Lockfile::default();
    let signers = vec!["publisher: vendor".to_owned()];
    let source = "file:plugins/p.wasm".to_owned();
    let entry = Entry { pin, version: None, source, signers, remapped_from: Vec::new() };
    lock.0.insert("p".parse().unwrap(), entry);
    lock.text().unwrap().into_bytes()
}

impl Approved {
    fn new() -> Self {
        let (ours, other) = (says("Gives seven."), says("Gives seven, and all files to me."));
        let world = World::with_own_cache().plugin("p", &other).locked().trust(&policy("q", b"bad"));
        world.key("reviewer");
        let gate = inside::gate(&world, "inside");
        let mut spec = inside::spec(&world, &[("p", Grants::default())]);
        let read = |path: &str| std::fs::read(world.path(path)).unwrap();
        let pin = || {
            assert!(gate.start(&spec).serves);
            gate.now().plugins()[0].pin(Approval { by: "a tester".to_owned(), at: UnixTime(1_800_000_000) })
        };
        let others = BTreeMap::from([
            (Part::Lock, lock(pin())),
            (Part::Cache, read(&format!("inside/cache/{}", names(&world.path("inside/cache"))[0]))),
            (Part::Component, other),
            (Part::Signature, read("plugins/p.wasm.sigstore.json")),
            (Part::Policy, policy("r", b"worse").into_bytes()),
        ]);
        world.install("p", &ours);
        let pin = pin();
        spec.approvals = Approvals::Asked(BTreeMap::from([("p".parse().unwrap(), pin.clone())]));
        assert!(gate.start(&spec).serves);
        world.put("toolgate.lock", &lock(pin), 0o644);
        let in_force = world.run(&["tools"]);
        assert_eq!(in_force.code, 0, "{}", in_force.said());
        Self { digest: Digest::of(&ours), world, gate, spec, other: others }
    }

    fn file(&self, part: Part, by: By) -> String {
        match part {
            Part::Component => "plugins/p.wasm".to_owned(),
            Part::Signature => "plugins/p.wasm.sigstore.json".to_owned(),
            Part::Policy => "trust.toml".to_owned(),
            Part::Lock => "toolgate.lock".to_owned(),
            Part::Cache => {
                let folder = if by == By::Program { "state/cache" } else { "inside/cache" };
                let ours = self.digest.hex();
                let cached = names(&self.world.path(folder));
                let name = cached.iter().find(|name| name.starts_with(&ours)).unwrap();
                format!("{folder}/{name}")
            }
        }
    }

    /// Changes a file, checks the outcome, and restores the file.
    fn attempt(&self, part: Part, by: By, chance: &mut Chance) -> (&'static str, Result<End, String>) {
        let file = self.file(part, by);
        let ours = std::fs::read(self.world.path(&file)).unwrap();
        let (way, changed) = change(chance, &ours, &self.other[&part]);
        let mode = if part == Part::Cache { 0o600 } else { 0o644 };
        self.world.put(&file, &changed, mode);
        let ended = match by {
            By::Readers => self.read(part, &changed),
            By::Program => self.checked(part),
        };
        let is_right = ended.and_then(|end| match (part, end) {
            (Part::Cache, End::Same) if std::fs::read(self.world.path(&file)).unwrap() == ours => Ok(end),
            (Part::Cache, _) => Err("it is not compiled anew".to_owned()),
            (_, End::Refused) => Ok(end),
            (Part::Signature, End::Same) if signature(&changed) == signature(&ours) => Ok(end),
            (Part::Policy, End::Same) if trust(&changed) == trust(&ours) => Ok(end),
            (_, End::Same) => Err("it loads".to_owned()),
        });
        self.world.put(&file, &ours, mode);
        (way, is_right.map_err(|why| format!("{part:?} by {by:?}, {way}: {why}: {}", changed.escape_ascii())))
    }

    fn read(&self, part: Part, changed: &[u8]) -> Result<End, String> {
        let mut spec = self.spec.clone();
        if part == Part::Lock {
            let lock = std::str::from_utf8(changed).ok().and_then(|text| Lockfile::parse(text).ok());
            let Some(lock) = lock else { return Ok(End::Refused) };
            spec.approvals = Approvals::Asked(lock.pins());
        }
        let report = self.gate.reconciler.look(&spec).1;
        match report.plugins.as_slice() {
            [(_, Loaded::Ready { digest, .. })] if *digest == self.digest => Ok(End::Same),
            [(_, Loaded::Not { instead, .. })] if instead.is_none_or(|digest| digest == self.digest) => {
                Ok(End::Refused)
            }
            _ => Err(format!("{report:?}")),
        }
    }

    fn checked(&self, part: Part) -> Result<End, String> {
        let check = self.world.run_as_is(&["check"]);
        let approved = format!("plugin p: ok: 1 tools, {}\n", self.digest);
        let alarmed = check.stderr.contains("ALARM: a cached file is not used");
        match check.code {
            0 if check.stdout == approved && alarmed == (part == Part::Cache) => Ok(End::Same),
            2 | 3 if !check.stdout.contains(": ok") => Ok(End::Refused),
            _ => Err(format!("{check:?}")),
        }
    }
}

/// Content of a bundle, without white space and the optional key hint.
fn signature(text: &[u8]) -> Value {
    let mut bundle: Value = serde_json::from_slice(text).unwrap();
    bundle["dsseEnvelope"]["signatures"][0].as_object_mut().unwrap().remove("keyid");
    bundle
}

/// Content of a trust policy, with defaults filled in and without repeated revocations.
fn trust(text: &[u8]) -> toml::Table {
    let mut table: toml::Table = std::str::from_utf8(text).unwrap().parse().unwrap();
    table.entry("grace_days").or_insert(30.into());
    let revoked = table.remove("revoke").unwrap();
    let revoked = revoked.as_array().unwrap().iter().map(|entry| {
        let reason = entry.get("reason").cloned().unwrap_or("no reason given".into());
        (entry["digest"].as_str().unwrap().to_owned(), reason)
    });
    table.insert("revoke".to_owned(), toml::Value::Table(revoked.collect()));
    let signers = table.get_mut("signer").and_then(toml::Value::as_array_mut);
    for key in signers.into_iter().flatten().filter_map(|signer| signer.get_mut("key")) {
        // `keys//vendor.pub` is the same file.
        let path: PathBuf = Path::new(key.as_str().unwrap()).components().collect();
        *key = path.to_str().unwrap().into();
    }
    let roles = table.get_mut("role").and_then(toml::Value::as_array_mut);
    for role in roles.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        role.entry("threshold").or_insert(1.into());
    }
    table
}

type Way = fn(&mut Chance, &mut Vec<u8>, &[u8]);

const WAYS: [(&str, Way); 4] = [
    ("flipped", |chance, bytes, _| flip(chance, bytes)),
    ("cut", |chance, bytes, _| cut(chance, bytes)),
    ("spliced", splice),
    ("fields changed", swap_fields),
];

/// Changes `ours`, possibly with parts of `other`, up to three times in one way.
fn change(chance: &mut Chance, ours: &[u8], other: &[u8]) -> (&'static str, Vec<u8>) {
    let (name, way) = *chance.pick(&WAYS);
    loop {
        let mut bytes = ours.to_vec();
        for _ in 0..=chance.below(3) {
            way(chance, &mut bytes, other);
        }
        if bytes != ours {
            return (name, bytes);
        }
    }
}

fn flip(chance: &mut Chance, bytes: &mut [u8]) {
    let (at, to) = (chance.below(bytes.len()), chance.below(bytes.len()));
    match chance.below(3) {
        0 => bytes[at] ^= 1 << chance.below(8),
        1 => bytes[at] = chance.bits() as u8,
        _ => bytes.swap(at, to),
    }
}

/// Shortens or extends it.
fn cut(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let some = range(chance, bytes.len());
    match chance.below(4) {
        0 => bytes.truncate(some.start),
        1 => drop(bytes.drain(some)),
        2 => {
            let again = bytes[some.clone()].to_vec();
            drop(bytes.splice(some.start..some.start, again));
        }
        _ => {
            let fresh: Vec<u8> = (0..=chance.below(8)).map(|_| chance.bits() as u8).collect();
            drop(bytes.splice(some.start..some.start, fresh));
        }
    }
}

/// Replaces a part with one of the other.
fn splice(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    let some = range(chance, bytes.len().min(other.len()));
    match chance.below(8) {
        0 => other.clone_into(bytes),
        1..4 => drop(bytes.splice(some.start.., other[some.start..].to_vec())),
        _ => bytes[some.clone()].copy_from_slice(&other[some]),
    }
}

/// Deletes, repeats, moves or replaces lines, quoted words, or texts between zero bytes.
fn swap_fields(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    let by = *chance.pick(b"\n\"\0");
    let mut fields: Vec<Vec<u8>> = bytes.split(|byte| *byte == by).map(<[u8]>::to_vec).collect();
    let others: Vec<&[u8]> = other.split(|byte| *byte == by).collect();
    let (at, to) = (chance.below(fields.len()), chance.below(fields.len()));
    match chance.below(5) {
        0 => drop(fields.remove(at)),
        1 => fields.insert(at, fields[to].clone()),
        2 => fields.swap(at, to),
        3 => fields[at] = others[at.min(others.len() - 1)].to_vec(),
        _ => fields[at] = chance.pick(&others).to_vec(),
    }
    *bytes = fields.join(&by);
}

/// A range in this length; short and long ones are equally likely.
fn range(chance: &mut Chance, len: usize) -> Range<usize> {
    let start = chance.below(len + 1);
    let most = if chance.once_in(2) { len - start } else { (len - start).min(16) };
    start..start + chance.below(most + 1)
}

#[test]
fn nothing_that_is_changed_by_chance_loads_but_what_was_approved() {
    let approved = Approved::new();
    for by in [By::Readers, By::Program] {
        let plain =
            if by == By::Program { approved.checked(Part::Lock) } else { approved.read(Part::Policy, b"") };
        assert_eq!(plain, Ok(End::Same), "unchanged, it loads");
    }
    println!("{} changes with seed {SEED:#x}", cases());
    let (started, mut counts) = (Instant::now(), BTreeMap::new());
    let mut wrong = Vec::new();
    for case in 0..cases() {
        let mut chance = Chance::nth(SEED, case as u64);
        let part = PARTS[case % PARTS.len()];
        // Only the program reads the trust policy.
        let by = if part == Part::Policy || chance.once_in(BY_PROGRAM) { By::Program } else { By::Readers };
        let (way, end) = approved.attempt(part, by, &mut chance);
        match end {
            Ok(end) => *counts.entry((part, way, end)).or_insert(0) += 1,
            Err(why) => wrong.push(format!("case {case}: {why}")),
        }
    }
    println!("in {:?}: {counts:?}", started.elapsed());
    assert!(wrong.is_empty(), "{} of {} with seed {SEED:#x}: {wrong:#?}", wrong.len(), cases());
    if cases() < 2_000 {
        return;
    }
    assert!(counts.len() >= PARTS.len() * WAYS.len(), "each part was changed in each way");
    for (state, folder) in [("inside", "in this process"), ("state", "in the program")] {
        let audit = std::fs::read_to_string(approved.world.path(&format!("{state}/audit.jsonl"))).unwrap();
        assert!(audit.contains("\"alarm\""), "what was wrong with cached files {folder} is in the record");
    }
}
