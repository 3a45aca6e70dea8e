//! Commands that change lock, trust policy and configuration at the same time: what a command said it did is on the disk, and
//! none undid what another did. 160 changes, or as many as `TOOLGATE_CASES` says.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};
use toolgate_policy::{Digest, PluginName};
use toolgate_runtime::state::lockfile::{Entry, Lockfile};
use toolgate_tests::process::wait_until;
use toolgate_tests::prompt::Prompt;
use toolgate_tests::world::{TRUST, names};
use toolgate_tests::{Ended, Transport, World};

use super::lock::{approve, seven};

const WRITERS: usize = 16;

fn cases() -> usize {
    std::env::var("TOOLGATE_CASES").ok().map_or(160, |cases| cases.parse().unwrap())
}

/// What the lock says of a plugin.
fn entry(world: &World, name: &str) -> Option<Entry> {
    let text = std::fs::read_to_string(world.path("toolgate.lock")).unwrap();
    let name: PluginName = name.parse().unwrap();
    Lockfile::parse(&text).unwrap().get(&name).cloned()
}

fn trust(world: &World) -> toml::Table {
    std::fs::read_to_string(world.path("trust.toml")).unwrap().parse().unwrap()
}

/// What the trust policy revokes, each with its reason.
fn revoked(world: &World) -> Vec<(String, String)> {
    let trust = trust(world);
    let text = |row: &toml::Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = trust.get("revoke").and_then(toml::Value::as_array).into_iter().flatten();
    rows.map(|row| (text(row, "digest"), text(row, "reason"))).collect()
}

fn is_configured(world: &World, name: &str) -> bool {
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let plugins = config.get("plugin").and_then(toml::Value::as_array).into_iter().flatten();
    plugins.into_iter().any(|plugin| plugin["name"].as_str() == Some(name))
}

/// One writer with a plugin of its own, called as `name` says.
struct Writer<'a> {
    world: &'a World,
    number: usize,
    name: String,
    /// What the last change of its own plugin that succeeded left behind.
    left: Left,
    /// Who approved the plugin that several writers approve, as far as a command said so.
    shared: &'a Mutex<BTreeSet<String>>,
    /// The digests of which a command said that it revoked them.
    revoked: &'a Mutex<BTreeSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Left {
    Nothing,
    Approved(String),
    Withdrawn,
}

impl Writer<'_> {
    fn run(&self, args: &[&str]) -> Ended {
        self.world.run_as_is(args)
    }

    fn ran(&self, args: &[&str]) {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.said());
    }

    /// The change number `step`, and whether what it left is there.
    fn change(&mut self, step: usize) {
        let (name, by) = (self.name.clone(), format!("{} in {step}", self.name));
        match self.number % 8 {
            // New bytes of its own plugin.
            0 | 1 => {
                self.world.install(&name, &seven(&format!("Gives seven, {by}.")));
                self.ran(&["plugin", "approve", &name, "--yes", "--by", &by]);
                self.left = Left::Approved(by);
            }
            // A plugin that three others approve as well.
            2 => {
                let ended = self.run(&["plugin", "approve", "shared", "--yes", "--by", &by]);
                match ended.code {
                    0 if ended.stdout.contains("approved by") => drop(self.shared.lock().unwrap().insert(by)),
                    // Another writer approved it meanwhile, or it is as it was approved.
                    0 | 3 => {}
                    code => panic!("{code}: {}", ended.said()),
                }
            }
            // Bytes that nobody else revokes.
            3 => self.revoke(&Digest::of(by.as_bytes()).to_string(), &by),
            // Bytes that two others revoke as well.
            4 => self.revoke(&Digest::of(format!("shared {step}").as_bytes()).to_string(), &by),
            // Out of the configuration and into it.
            5 | 6 => match self.left {
                Left::Nothing => {
                    let file = format!("plugins/{name}.wasm");
                    self.ran(&["plugin", "add", &file, "--yes", "--by", &by]);
                    self.left = Left::Approved(by);
                }
                Left::Approved(_) | Left::Withdrawn => {
                    self.ran(&["plugin", "remove", &name]);
                    self.left = Left::Nothing;
                }
            },
            // Approved bytes are revoked by name, then others approved.
            _ => match self.left {
                Left::Nothing | Left::Withdrawn => {
                    self.world.install(&name, &seven(&format!("Gives seven, {by}.")));
                    self.ran(&["plugin", "approve", &name, "--yes", "--by", &by]);
                    self.left = Left::Approved(by);
                }
                Left::Approved(_) => {
                    let digest = entry(self.world, &name).unwrap().pin.digest;
                    self.ran(&["plugin", "revoke", &name, "--reason", &by]);
                    self.revoked.lock().unwrap().insert(digest.to_string());
                    self.left = Left::Withdrawn;
                }
            },
        }
        self.hold();
    }

    fn revoke(&self, digest: &str, reason: &str) {
        self.ran(&["plugin", "revoke", digest, "--reason", reason]);
        self.revoked.lock().unwrap().insert(digest.to_owned());
        assert!(revoked(self.world).iter().any(|(row, _)| row == digest), "{digest} is not revoked");
    }

    /// What its last change left is there.
    fn hold(&self) {
        let entry = entry(self.world, &self.name);
        let is = match &entry {
            None => Left::Nothing,
            Some(entry) if entry.pin.revoked.is_some() => Left::Withdrawn,
            Some(entry) => Left::Approved(entry.pin.approval.by.clone()),
        };
        assert_eq!(is, self.left, "{}", self.name);
        if matches!(self.number % 8, 5 | 6) {
            assert_eq!(is_configured(self.world, &self.name), self.left != Left::Nothing, "{}", self.name);
        }
    }
}

#[test]
fn sixteen_writers_of_every_kind_lose_and_undo_nothing() {
    let name = |number: usize| format!("p{number}");
    let mut world = World::new().locked().plugin("shared", &seven("Gives seven to all."));
    for number in 0..WRITERS {
        match number % 8 {
            0 | 1 | 7 => world = world.plugin(&name(number), &seven(&format!("Gives {number}."))),
            _ => world.install(&name(number), &seven(&format!("Gives {number}."))),
        }
    }
    world.write();
    let (shared, withdrawn) = (Mutex::default(), Mutex::default());
    let mut writers: Vec<Writer<'_>> = (0..WRITERS)
        .map(|number| Writer {
            world: &world,
            number,
            name: name(number),
            left: Left::Nothing,
            shared: &shared,
            revoked: &withdrawn,
        })
        .collect();
    world.put("toolgate.lock", Lockfile::default().text().unwrap().as_bytes(), 0o644);
    std::thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(move || (0..cases().div_ceil(WRITERS)).for_each(|step| writer.change(step)));
        }
    });
    writers.iter().for_each(Writer::hold);
    let rows = revoked(&world);
    let listed: BTreeSet<String> = rows.iter().map(|(digest, _)| digest.clone()).collect();
    assert_eq!(listed, *withdrawn.lock().unwrap());
    assert_eq!(rows.len(), listed.len(), "each is revoked once");
    assert_eq!(trust(&world)["version"].as_integer(), Some(1 + rows.len() as i64), "one version for each");
    if let Some(by) = entry(&world, "shared").map(|entry| entry.pin.approval.by) {
        assert!(shared.lock().unwrap().contains(&by), "{by} was told that it did not approve");
    }
    println!("{} changes, {} revoked", cases(), rows.len());
    let left = names(&world.path(""));
    assert!(!left.iter().any(|name| name.starts_with('.')), "nothing is left beside the files: {left:?}");
    let check = world.run_as_is(&["plugin", "list", "--json"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

/// A plugin `q` that somebody is being asked about, beside `p`, which is approved.
fn asked() -> (World, Prompt) {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    let world = world.plugin("q", &seven("Gives seven, too."));
    world.write();
    let prompt = Prompt::start(&world, &["plugin", "approve", "q", "--by", "a tester"]);
    assert!(prompt.shown().contains("q: new"), "{}", prompt.shown());
    (world, prompt)
}

#[test]
fn what_happened_while_a_question_waited_is_not_undone_by_the_answer() {
    for args in [&["plugin", "remove", "p"][..], &["plugin", "revoke", "p", "--reason", "a flaw"]] {
        let (world, prompt) = asked();
        let ended = world.run_as_is(args);
        assert_eq!(ended.code, 0, "{}", ended.said());
        let before = entry(&world, "p");
        let (code, shown) = prompt.answer("y");
        assert_eq!(code, 0, "{shown}");
        assert_eq!(entry(&world, "q").unwrap().pin.approval.by, "a tester");
        assert_eq!(entry(&world, "p"), before, "{args:?}");
        assert!(before.is_none_or(|entry| entry.pin.revoked.is_some()));
    }
}

#[test]
fn what_is_approved_is_what_was_shown_or_nothing() {
    type Change = fn(&World);
    let changes: [(&str, Change, &str); 7] = [
        ("other bytes", |world| world.install("q", &seven("Gives eight.")), "its bytes changed"),
        (
            "another grant",
            |world| {
                let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
                let more = "source = \"file:plugins/q.wasm\"\n[plugin.limits]\nfuel = 5\n";
                let text = text.replace("source = \"file:plugins/q.wasm\"\n", more);
                world.put("toolgate.toml", text.as_bytes(), 0o644);
            },
            "its configuration changed",
        ),
        (
            "no configuration",
            |world| assert_eq!(world.run_as_is(&["plugin", "remove", "q"]).code, 0),
            "there is no [[plugin]] called `q`",
        ),
        (
            "another approval",
            |world| {
                let other = ["plugin", "approve", "q", "--yes", "--by", "another"];
                assert_eq!(world.run_as_is(&other).code, 0);
            },
            "another approved it meanwhile",
        ),
        (
            "revoked bytes",
            |world| {
                let digest = Digest::of(&seven("Gives seven, too.")).to_string();
                let ended = world.run_as_is(&["plugin", "revoke", &digest, "--reason", "a flaw"]);
                assert_eq!(ended.code, 0, "{}", ended.said());
            },
            "is revoked: a flaw",
        ),
        (
            "a signer who counts no more",
            |world| {
                world.key("other");
                let trust = TRUST.replace("version = 1", "version = 2").replace("vendor.pub", "other.pub");
                world.put("trust.toml", trust.as_bytes(), 0o644);
            },
            "is no [[signer]]",
        ),
        (
            "no file",
            |world| std::fs::remove_file(world.path("plugins/q.wasm")).unwrap(),
            "plugins/q.wasm: No such file",
        ),
    ];
    for (what, change, words) in changes {
        let (world, prompt) = asked();
        change(&world);
        let before = std::fs::read_to_string(world.path("toolgate.lock")).unwrap();
        let (code, shown) = prompt.answer("y");
        assert!(matches!(code, 2..=4), "{what}: {code}: {shown}");
        assert!(shown.contains(words), "{what}: not `{words}`: {shown}");
        let after = std::fs::read_to_string(world.path("toolgate.lock")).unwrap();
        assert_eq!(after, before, "{what}: nothing was written");
    }
}

#[test]
fn a_plugin_that_is_being_added_is_not_added_twice_nor_over_what_came_meanwhile() {
    let world = World::new().locked();
    world.install("q", &seven("Gives seven."));
    world.write();
    let prompt = Prompt::start(&world, &["plugin", "add", "plugins/q.wasm", "--by", "first"]);
    let second = world.run_as_is(&["plugin", "add", "plugins/q.wasm", "--yes", "--by", "second"]);
    assert_eq!(second.code, 0, "{}", second.said());
    let (code, shown) = prompt.answer("y");
    assert_eq!(code, 3, "{shown}");
    assert!(shown.contains("`q` was added meanwhile"), "{shown}");
    assert_eq!(entry(&world, "q").unwrap().pin.approval.by, "second");
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    assert_eq!(text.matches("name = \"q\"").count(), 1, "{text}");

    // What others wrote into the configuration meanwhile stays.
    world.install("r", &seven("Gives seven, too."));
    let prompt = Prompt::start(&world, &["plugin", "add", "plugins/r.wasm", "--by", "first"]);
    world.put("toolgate.toml", format!("{text}\n# what came meanwhile\n").as_bytes(), 0o644);
    let removed = world.run_as_is(&["plugin", "remove", "q"]);
    assert_eq!(removed.code, 0, "{}", removed.said());
    let (code, shown) = prompt.answer("y");
    assert_eq!(code, 0, "{shown}");
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    assert!(text.contains("# what came meanwhile") && !text.contains("name = \"q\""), "{text}");
    assert_eq!(world.run_as_is(&["call", "r_seven"]).code, 0);
    assert!(entry(&world, "q").is_none());
}

#[test]
fn a_revocation_that_stands_already_still_takes_the_approval_back() {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    let digest = entry(&world, "p").unwrap().pin.digest;
    let by_hand = TRUST.replace("version = 1", "version = 2");
    let by_hand = format!("{by_hand}[[revoke]]\ndigest = \"{digest}\"\nreason = \"by hand\"\n");
    world.put("trust.toml", by_hand.as_bytes(), 0o644);
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert_eq!(ended.code, 0, "{}", ended.said());
    assert_eq!(std::fs::read_to_string(world.path("trust.toml")).unwrap(), by_hand, "nothing to add");
    assert_eq!(entry(&world, "p").unwrap().pin.revoked.as_deref(), Some("a flaw"));
}

#[test]
fn a_revocation_does_not_need_the_rest_of_the_configuration() {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put(
        "toolgate.toml",
        format!("{text}\n[[secret]]\nname = \"x\"\nfile = \"gone\"\n").as_bytes(),
        0o644,
    );
    assert_eq!(world.run_as_is(&["check"]).code, 2);
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert_eq!(ended.code, 0, "{}", ended.said());
    assert_eq!(revoked(&world).len(), 1);
    assert!(entry(&world, "p").unwrap().pin.revoked.is_some());
}

#[test]
fn a_version_that_cannot_be_raised_is_an_error_and_nothing_is_written() {
    let trust = TRUST.replace("version = 1", &format!("version = {}", i64::MAX));
    let world = World::new().locked().plugin("p", &seven("Gives seven.")).trust(&trust);
    approve(&world);
    let before =
        ["trust.toml", "toolgate.lock"].map(|file| std::fs::read_to_string(world.path(file)).unwrap());
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert!(ended.code == 2 && ended.stderr.contains("cannot be raised"), "{}", ended.said());
    let after =
        ["trust.toml", "toolgate.lock"].map(|file| std::fs::read_to_string(world.path(file)).unwrap());
    assert_eq!(after, before);
}

#[test]
fn what_could_only_be_written_in_part_is_said() {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    // The lock is made in a folder that is gone when it is written: a link that leads nowhere we can write.
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    std::fs::rename(world.path("toolgate.lock"), world.path("elsewhere/toolgate.lock")).unwrap();
    std::os::unix::fs::symlink(world.path("elsewhere/toolgate.lock"), world.path("toolgate.lock")).unwrap();
    // A folder of the name under which it would be written first.
    std::fs::create_dir(world.path("elsewhere/.toolgate.lock.new")).unwrap();
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert_eq!(ended.code, 4, "{}", ended.said());
    assert!(ended.stdout.contains("revoked in "), "{}", ended.said());
    assert!(ended.stderr.contains("is revoked all the same"), "{}", ended.said());
    assert_eq!(revoked(&world).len(), 1);
    assert_eq!(world.run_as_is(&["check"]).code, 3);
    let approve = world.run_as_is(&["plugin", "approve", "p", "--yes"]);
    assert_ne!(approve.code, 0, "{}", approve.said());
}

#[test]
fn a_server_never_goes_back_to_a_version_that_was_approved_earlier() {
    let world = World::new()
        .locked()
        .server("watch = true")
        .plugin("p", &seven("Version 0."))
        .plugin("q", &seven("Other."));
    approve(&world);
    let server = world.serve(Transport::Http);
    let version = || {
        let listed: Value = server.request("tools/list", json!({}))["result"]["tools"].clone();
        let p = listed.as_array().unwrap().iter().find(|tool| tool["name"] == "p_seven").cloned();
        p.map(|tool| {
            tool["description"]
                .as_str()
                .unwrap()
                .replace(['.'], "")
                .replace("Version ", "")
                .parse::<u32>()
                .unwrap()
        })
    };
    let last = u32::try_from(cases() / 16).unwrap();
    std::thread::scope(|scope| {
        let writers = scope.spawn(|| {
            for number in 1..=last {
                world.install("p", &seven(&format!("Version {number}.")));
                let ended = world.run_as_is(&["plugin", "approve", "p", "--yes", "--by", "a tester"]);
                assert_eq!(ended.code, 0, "{}", ended.said());
                server.signal("HUP");
            }
        });
        let others = scope.spawn(|| {
            for number in 0..last {
                world.install("q", &seven(&format!("Other {number}.")));
                let ended = world.run_as_is(&["plugin", "approve", "q", "--yes", "--by", "a tester"]);
                assert_eq!(ended.code, 0, "{}", ended.said());
            }
        });
        let mut seen = 0;
        wait_until("the last version serves", || {
            // While a file and its signature are being replaced there may be none.
            if let Some(now) = version() {
                assert!(now >= seen, "from {seen} back to {now}: {}", server.log());
                seen = now;
            }
            seen == last
        });
        writers.join().unwrap();
        others.join().unwrap();
    });
}
