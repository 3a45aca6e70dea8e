//! LOAD through the program: accepted and refused components. A refusal compiles nothing and harms no neighbour.

mod answers;
mod cache;
mod component;
mod grants;
mod kept;
mod lock;
mod lock_back;
mod manifest;
mod meanwhile;
mod mutations;
mod names;
mod never;
mod owners;
mod put_back;
mod reload;
mod reload_load;
mod revoke;
mod rules;
mod texts;
mod trust;
mod upgrade;
mod writers;

use toolgate_policy::Digest;
use toolgate_tests::{Transport, World, guest};

/// Plugins `good`, which loads, and `bad`.
fn beside_a_good_one(bad: &[u8]) -> World {
    World::with_own_cache().plugin("good", &guest::seven()).plugin("bad", bad)
}

/// Asserts that every command that loads refuses `bad` with this text, but not `good`, and compiles nothing of `bad`.
/// The server starts without it unless the configuration says otherwise.
fn assert_refused(world: World, words: &str) {
    let bytes = std::fs::read(world.path("plugins/bad.wasm")).unwrap();
    let digest = Digest::of(&bytes).hex();

    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stdout.contains("plugin good: ok"), "{}", check.said());
    let line = check.stderr.lines().find(|line| line.starts_with("plugin bad: refused: "));
    let line = line.unwrap_or_else(|| panic!("no reason: {}", check.said()));
    assert!(line.contains(words), "{line}");

    let config = std::fs::read_to_string(world.write()).unwrap();
    let stop = config.replacen("[server]\n", "[server]\non_refused = \"stop\"\n", 1);
    world.put("toolgate.toml", stop.as_bytes(), 0o644);
    let serve = world.run_as_is(&["serve", "--stdio"]);
    assert_eq!((serve.code, serve.stdout.as_str()), (3, ""), "{}", serve.said());
    assert!(serve.stderr.contains(words), "{}", serve.stderr);

    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["good_seven"]);
    assert!(server.log().contains(words), "{}", server.log());
    assert_eq!(server.call("good_seven", serde_json::json!({})).text(), "7");

    assert!(
        world.cached().iter().all(|name| !name.starts_with(&digest)),
        "it was compiled: {:?}",
        world.cached()
    );
    let recorded =
        world.records().into_iter().find(|record| record["event"] == "refuse" && record["plugin"] == "bad");
    let recorded = recorded.expect("the refusal is recorded");
    assert!(
        recorded["reasons"].to_string().contains(&words[..words.len().min(20)].replace('"', "\\\"")),
        "{recorded}"
    );
}
