//! The gallery of `docs/ATTACKS.md`: each guest is called repeatedly, alone and concurrently. Each call must end in the
//! expected fault within the client's patience. The host's memory returns to its level, a neighbour answers, and the
//! process lives.

use std::collections::BTreeSet;

use super::worker::{APART, worker};
use serde_json::{Value, json};
use toolgate_tests::process::{resident_kib, wait_until};
use toolgate_tests::{Reply, Server, Transport, World, root, test_guest, wat};

/// One guest and its expected outcome.
struct Exhibit {
    guest: Guest,
    function: &'static str,
    arguments: fn() -> Value,
    /// Texts, one of which the answer must contain.
    says: &'static [&'static str],
}

enum Guest {
    /// Text format, in `tests/guests/gallery`.
    Text(&'static str),
    /// Rust, in `tests/guests`.
    Rust(&'static str),
}

const FUEL: &[&str] = &["fuel = "];
const DEADLINE: &[&str] = &["deadline_ms = "];
const MEMORY: &[&str] = &["memory_bytes_max = "];
const CRASH: &[&str] = &["crashed", "recursed too deeply"];
const RULES: &[&str] = &["broke the rules between component and host"];
const OUTPUT: &[&str] = &["output_bytes_max = "];
const HANDLES: &[&str] = &["handles_max = "];

const fn text(name: &'static str, says: &'static [&'static str]) -> Exhibit {
    Exhibit { guest: Guest::Text(name), function: "run", arguments: || json!({}), says }
}

const fn given(name: &'static str, arguments: fn() -> Value, says: &'static [&'static str]) -> Exhibit {
    Exhibit { guest: Guest::Text(name), function: "run", arguments, says }
}

const fn rust(
    name: &'static str,
    function: &'static str,
    arguments: fn() -> Value,
    says: &'static [&'static str],
) -> Exhibit {
    Exhibit { guest: Guest::Rust(name), function, arguments, says }
}

const EXHIBITS: &[Exhibit] = &[
    rust("looping", "run", || json!({}), FUEL),
    text("loop-in-start", FUEL),
    given("loop-in-realloc", || json!({ "text": "x" }), FUEL),
    text("loop-in-post-return", FUEL),
    text("bulk-copy", DEADLINE),
    text("grow-bomb", MEMORY),
    text("grow-at-once", MEMORY),
    text("grow-in-start", MEMORY),
    text("grow-many", MEMORY),
    text("table-bomb", CRASH),
    text("recursion", CRASH),
    text("recursion-through-the-host", CRASH),
    text("trap-in-drop", CRASH),
    text("own-resources-without-end", HANDLES),
    text("list-without-end", RULES),
    text("list-out-of-bounds", RULES),
    text("list-misaligned", RULES),
    text("text-out-of-bounds", RULES),
    text("text-not-utf8", RULES),
    text("char-surrogate", RULES),
    text("char-too-high", RULES),
    text("enum-outside", RULES),
    text("option-outside", RULES),
    text("one-buffer-a-million-times", OUTPUT),
    text("text-of-a-hundred-megabytes", OUTPUT),
    given("realloc-out-of-bounds", || json!({ "numbers": [1, 2] }), RULES),
    given("realloc-misaligned", || json!({ "numbers": [1, 2] }), RULES),
    rust("polling", "one-many-times", || json!({ "times": 100_000 }), HANDLES),
    rust("polling", "many", || json!({ "count": 1_000_000 }), HANDLES),
    rust("polling", "for-ever", || json!({}), DEADLINE),
    rust("polling", "nothing", || json!({}), RULES),
    rust("polling", "zero-timers", || json!({}), DEADLINE),
    rust("polling", "write-nothing", || json!({}), FUEL),
    rust("polling", "write-zeroes", || json!({ "count": u64::MAX.to_string() }), RULES),
    rust("polling", "random", || json!({ "bytes": 4_294_967_296_u64 }), RULES),
    rust("timing", "look", || json!({ "times": 1_000_000_000 }), FUEL),
    rust("holding", "run", || json!({ "handles": 1_000_000 }), HANDLES),
    rust("hogging", "run", || json!({ "mebibytes": 500 }), MEMORY),
    rust("recursing", "run", || json!({}), CRASH),
    rust("panicking", "run", || json!({ "why": "x" }), CRASH),
    rust("exiting", "run", || json!({ "status": 0 }), &["status 0"]),
    rust("sleeping", "run", || json!({ "ms": 4_000_000_000_u64 }), DEADLINE),
];

/// A guest, its arguments and its answer.
type Answering = (&'static str, fn() -> Value, &'static str);

/// Guests that look like an attack, but may answer.
const HARMLESS: &[Answering] = &[
    ("realloc-twice-the-same", || json!({ "one": "first", "two": "other" }), "other"),
    ("trap-in-left-over-drop", || json!({}), "7"),
    ("bool-neither", || json!({}), "true"),
    ("flags-outside", || json!({}), r#"["two"]"#),
    ("list-overlapping", || json!({}), "[[16,2],[2,20],[20,2]]"),
    ("number-too-wide", || json!({}), "7"),
];

/// Guests that must not load, with the reason.
const REFUSED: &[(&str, &str)] = &[("four-gigabytes", "exceeds the limit")];

fn component(name: &str) -> Vec<u8> {
    let path = root().join(format!("tests/guests/gallery/{name}.wat"));
    wat(&std::fs::read_to_string(path).unwrap())
}

impl Exhibit {
    /// Sets the limit that the guest must meet, and puts the others out of its reach.
    fn limits(&self) -> &'static str {
        match self.says {
            FUEL => "fuel = 100_000_000",
            DEADLINE => "fuel = 1_000_000_000_000\ndeadline_ms = 250",
            _ => "fuel = 10_000_000_000",
        }
    }

    fn name(&self) -> &'static str {
        match self.guest {
            Guest::Text(name) | Guest::Rust(name) => name,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self.guest {
            Guest::Text(name) => component(name),
            Guest::Rust(name) => test_guest(name),
        }
    }
}

/// A short name, since some guests' names are too long for a plugin.
fn plugin(number: usize) -> String {
    format!("x{number}")
}

#[test]
fn every_guest_of_the_gallery_is_held() {
    let mut world = World::new().plugin("good", &toolgate_tests::guest::seven());
    for (number, exhibit) in EXHIBITS.iter().enumerate() {
        // Distinguished by a custom section, since no two plugins may have the same bytes.
        let bytes = toolgate_tests::guest::with_section(exhibit.bytes(), "number", plugin(number).as_bytes());
        world = world
            .plugin(&plugin(number), &bytes)
            .with("allow_lints = [\"similar-name\"]")
            .limit(exhibit.limits())
            .limit("faults_max = 1000000");
    }
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("good_seven", json!({})).text(), "7");
    let before = resident_kib(server.pid());
    for (number, exhibit) in EXHIBITS.iter().enumerate() {
        hold(&server, &plugin(number), exhibit, before);
    }
}

#[test]
fn nothing_that_a_guest_does_in_a_worker_ends_the_worker_or_raises_an_alarm() {
    let waiting = toolgate_tests::inner::waiting(100);
    let crowded = ("crowded", waiting, "run", json!({ "ns": 1 }), "engine = \"async\"");
    let attacks = EXHIBITS.iter().map(|exhibit| {
        (exhibit.name(), exhibit.bytes(), exhibit.function, (exhibit.arguments)(), exhibit.limits())
    });
    let harmless =
        HARMLESS.iter().map(|(name, arguments, _)| (*name, component(name), "run", arguments(), ""));
    for (name, bytes, function, arguments, line) in attacks.chain(harmless).chain([crowded]) {
        let world = World::new().plugin("x", &bytes).with(APART);
        let world = if line.starts_with("engine") { world.with(line) } else { world.limit(line) };
        let server = world.limit("faults_max = 1000000").serve(Transport::Http);
        let before = worker(&server);
        let tool = format!("x_{function}");
        let calls: Vec<_> = (0..3).map(|_| server.calling(&tool, arguments.clone())).collect();
        let replies: Vec<Reply> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert!(!server.log().contains("ALARM"), "{name} {function}: {}", server.log());
        assert_eq!(worker(&server), before, "{name} {function}: {replies:?}");
    }
}

/// Calls twice alone, so that the second sees the first's remains, then several times at once. Afterwards the host's
/// memory must be at most 32 MiB above `before`.
fn hold(server: &Server, plugin: &str, exhibit: &Exhibit, before: u64) {
    const AT_ONCE: u32 = 4;
    let name = format!("{} {}", exhibit.name(), exhibit.function);
    let tool = format!("{plugin}_{}", exhibit.function);
    let call = || server.call(&tool, (exhibit.arguments)());
    let judge = |reply: &Reply| {
        let said = reply.text();
        assert!(
            reply.is_error() && exhibit.says.iter().any(|words| said.contains(words)),
            "{name}: {reply:?}"
        );
        assert_eq!(server.call("good_seven", json!({})).text(), "7", "{name}: a neighbour");
    };
    for _ in 0..2 {
        judge(&call());
    }
    let calls: Vec<_> = (0..AT_ONCE).map(|_| server.calling(&tool, (exhibit.arguments)())).collect();
    for call in calls {
        judge(&call.join().unwrap());
    }
    let what = format!("{name}: the host's memory is back at {before} KiB");
    wait_until(&what, || resident_kib(server.pid()) <= before + (32 << 10));
}

#[test]
fn what_only_looks_like_an_attack_answers() {
    for (name, arguments, answer) in HARMLESS {
        let world = World::new().plugin("x", &component(name));
        assert_eq!(world.call("x_run", &arguments()).stdout.trim(), *answer, "{name}");
    }
}

#[test]
fn what_wants_too_much_from_the_start_does_not_load() {
    for (name, why) in REFUSED {
        let check = World::new().plugin("x", &component(name)).run(&["check"]);
        assert_ne!(check.code, 0, "{name}: {}", check.said());
        assert!(check.stderr.contains(why), "{name}: {}", check.stderr);
    }
    let instances = "(core instance (instantiate $m))".repeat(10_000);
    let many = wat(&format!(r#"(component (core module $m (memory 1)) {instances})"#));
    let check = World::new().plugin("x", &many).run(&["check"]);
    assert_ne!(check.code, 0, "{}", check.said());
}

#[test]
fn the_gallery_and_its_table_agree() {
    let shown: BTreeSet<String> = std::fs::read_dir(root().join("tests/guests/gallery"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let judged: BTreeSet<String> = EXHIBITS
        .iter()
        .filter(|exhibit| matches!(exhibit.guest, Guest::Text(_)))
        .map(|exhibit| exhibit.name().to_owned())
        .chain(HARMLESS.iter().map(|(name, ..)| (*name).to_owned()))
        .chain(REFUSED.iter().map(|(name, _)| (*name).to_owned()))
        .collect();
    assert_eq!(shown, judged, "a guest that nobody judges, or a judge without a guest");
    let ledger = std::fs::read_to_string(root().join("docs/ATTACKS.md")).unwrap();
    let rows: BTreeSet<String> = ledger
        .lines()
        .filter_map(|line| line.strip_prefix("| `gallery/"))
        .filter_map(|line| Some(line.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(shown, rows, "docs/ATTACKS.md has a row for each guest of the gallery");
}
