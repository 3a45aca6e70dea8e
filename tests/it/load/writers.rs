//! Concurrent commands that change lock, trust policy and configuration: a reported change is on disk, and none is
//! undone by another. 160 changes, or `TOOLGATE_CASES`.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};
use toolgate_policy::{Digest, PluginName};
use toolgate_state::lockfile::{Entry, Lockfile};
use toolgate_tests::process::wait_until;
use toolgate_tests::world::names;
use toolgate_tests::{Ended, Transport, World};

use super::lock::{approve, seven};

const WRITERS: usize = 16;

fn cases() -> usize {
    std::env::var("TOOLGATE_CASES").ok().map_or(160, |cases| cases.parse().unwrap())
}

/// A plugin's entry in the lock.
pub(super) fn entry(world: &World, name: &str) -> Option<Entry> {
    let text = std::fs::read_to_string(world.path("toolgate.lock")).unwrap();
    let name: PluginName = name.parse().unwrap();
    Lockfile::parse(&text).unwrap().0.get(&name).cloned()
}

pub(super) fn trust(world: &World) -> toml::Table {
    std::fs::read_to_string(world.path("trust.toml")).unwrap().parse().unwrap()
}

/// Revocations in the trust policy, with their reasons.
pub(super) fn revoked(world: &World) -> Vec<(String, String)> {
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

/// A writer with a plugin of its own, named `name`.
struct Writer<'a> {
    world: &'a World,
    number: usize,
    name: String,
    /// State after the last successful change of its own plugin.
    left: Left,
    /// Approvers of the shared plugin, according to successful commands.
    shared: &'a Mutex<BTreeSet<String>>,
    /// Digests revoked according to successful commands.
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

    /// Makes the change number `step`, and checks that its effect is there.
    fn change(&mut self, step: usize) {
        let (name, by) = (self.name.clone(), format!("{} in {step}", self.name));
        match self.number % 8 {
            // New bytes of its own plugin.
            0 | 1 => {
                self.world.install(&name, &seven(&format!("Gives seven, {by}.")));
                self.ran(&["plugin", "approve", &name, "--yes", "--by", &by]);
                self.left = Left::Approved(by);
            }
            // A plugin that three other writers approve as well.
            2 => {
                let ended = self.run(&["plugin", "approve", "shared", "--yes", "--by", &by]);
                match ended.code {
                    0 if ended.stdout.contains("approved by") => drop(self.shared.lock().unwrap().insert(by)),
                    // Another writer approved it meanwhile, or it is unchanged.
                    0 | 3 => {}
                    code => panic!("{code}: {}", ended.said()),
                }
            }
            // Bytes that no other writer revokes.
            3 => self.revoke(&Digest::of(by.as_bytes()).to_string(), &by),
            // Bytes that two other writers revoke as well.
            4 => self.revoke(&Digest::of(format!("shared {step}").as_bytes()).to_string(), &by),
            // Removed from the configuration and added again.
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
            // Revokes approved bytes by name, then approves others.
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

    /// Asserts that the effect of its last change is there.
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
            // While the file and its signature are being replaced there may be no valid version.
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
