//! Folders of plugins: each component directly in one is a plugin named after its file, all with one grant.

use serde_json::json;
use toolgate_tests::{Transport, World, guest};

fn folder() -> World {
    let world = World::new().plugin_folder("dir:plugins");
    world.install("one", &guest::seven());
    world.install("two", &guest::seven());
    world
}

#[test]
fn each_component_in_a_folder_is_a_plugin_by_its_files_name() {
    let world = folder().limit("fuel = 100000");
    std::fs::create_dir(world.path("plugins/below")).unwrap();
    std::fs::copy(world.path("plugins/one.wasm"), world.path("plugins/below/three.wasm")).unwrap();
    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["one_seven", "two_seven"]);
    assert_eq!(server.call("two_seven", json!({})).text(), "7");
}

#[test]
fn a_component_that_is_put_there_serves_after_a_reload_and_one_that_is_taken_away_does_not() {
    let world = folder();
    let server = world.serve(Transport::Http);
    world.install("three", &guest::seven());
    std::fs::remove_file(world.path("plugins/one.wasm")).unwrap();
    server.signal("HUP");
    toolgate_tests::process::wait_until("the other list", || server.tools() == ["three_seven", "two_seven"]);
}

#[test]
fn a_watched_folder_is_looked_through_without_a_signal() {
    let world = folder().server("watch = true");
    let server = world.serve(Transport::Http);
    world.install("three", &guest::seven());
    let all = ["one_seven", "three_seven", "two_seven"];
    toolgate_tests::process::wait_until("the third", || server.tools() == all);
}

#[test]
fn each_needs_its_own_signatures() {
    let world = folder();
    std::fs::remove_file(world.path("plugins/two.wasm.sigstore.json")).unwrap();
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stdout.contains("plugin one: ok"), "{}", check.said());
    let words = "plugin two: refused: no signature was found beside it";
    assert!(check.stderr.contains(words), "{}", check.said());
}

#[test]
fn a_link_that_leaves_a_folder_of_plugins_is_refused_and_one_within_it_serves() {
    use std::os::unix::fs::symlink;
    // As Kubernetes mounts a ConfigMap: each name is a link through `..data` to a folder that is replaced as a whole.
    let world = folder();
    std::fs::create_dir(world.path("plugins/..2026_01")).unwrap();
    symlink("..2026_01", world.path("plugins/..data")).unwrap();
    for ending in ["wasm", "wasm.sigstore.json"] {
        let from = world.path(&format!("plugins/one.{ending}"));
        std::fs::copy(from, world.path(&format!("plugins/..2026_01/three.{ending}"))).unwrap();
        symlink(format!("..data/three.{ending}"), world.path(&format!("plugins/three.{ending}"))).unwrap();
    }
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    assert!(check.stdout.contains("plugin three: ok"), "{}", check.said());
    for ending in ["wasm", "wasm.sigstore.json"] {
        let (from, to) = (format!("plugins/one.{ending}"), format!("elsewhere.{ending}"));
        std::fs::copy(world.path(&from), world.path(&to)).unwrap();
        symlink(world.path(&to), world.path(&format!("plugins/four.{ending}"))).unwrap();
    }
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stdout.contains("plugin three: ok"), "{}", check.said());
    let line = check.stderr.lines().find(|line| line.starts_with("plugin four: refused: ")).unwrap();
    assert!(line.contains("it is a link, and does not lead to a file in its own folder"), "{line}");
}

#[test]
fn what_cannot_be_said_of_a_folder_is_a_mistake_in_the_configuration() {
    for (line, words) in [
        ("name = \"mine\"", "is for one plugin"),
        ("digest = \"sha256:00\"", "is for one plugin"),
        ("source_private = true", "is for sources that lie elsewhere"),
    ] {
        let check = folder().with(line).run(&["check"]);
        assert_eq!(check.code, 2, "{line}: {}", check.said());
        assert!(check.stderr.contains(words), "{line}: {}", check.stderr);
    }
}

/// A change to a folder, and the message that it causes.
type Spoil = (&'static str, fn(&World), &'static str);

const SPOILED: [Spoil; 4] = [
    (
        "a name that forges a line of the log",
        |world| world.put("plugins/x\n2026-01-01T00:00:00Z  INFO forged.wasm", b"", 0o644),
        "x\\u{a}2026-01-01T00:00:00Z  INFO forged.wasm: no plugin can have this name",
    ),
    (
        "a name of another plugin",
        |world| world.install("single", &guest::seven()),
        "another plugin is called `single`",
    ),
    (
        "too many entries",
        |world| {
            for n in 0..toolgate_policy::limits::load::FOLDER_ENTRIES_MAX {
                world.put(&format!("plugins/{n}.txt"), b"", 0o644);
            }
        },
        "it is not looked through",
    ),
    (
        "no folder",
        |world| std::fs::rename(world.path("plugins"), world.path("moved")).unwrap(),
        "it is not looked through",
    ),
];

/// A folder with two plugins, and a separate plugin.
fn beside_a_single_one() -> World {
    let world = folder().plugin_from("single", "file:single.wasm");
    world.install("single", &guest::seven());
    for ending in ["wasm", "wasm.sigstore.json"] {
        let from = world.path(&format!("plugins/single.{ending}"));
        std::fs::rename(from, world.path(&format!("single.{ending}"))).unwrap();
    }
    world
}

#[test]
fn what_is_wrong_with_a_folder_is_that_folders_and_check_names_it() {
    for (what, spoil, words) in SPOILED {
        let world = beside_a_single_one();
        spoil(&world);
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{what}: {}", check.said());
        assert!(check.stderr.contains(words), "{what}: {}", check.said());
        assert!(check.stdout.contains("plugin single: ok"), "{what}: {}", check.said());
        assert!(!check.said().lines().any(|line| line.starts_with("2026-01")), "{what}: {}", check.said());
        let json = world.run(&["check", "--json"]);
        assert!(json.json()["folders"][0]["place"].as_str().unwrap().contains("plugins"), "{}", json.said());
        let server = world.serve(Transport::Http);
        assert_eq!(server.call("single_seven", json!({})).text(), "7", "{what}");
        assert!(server.log().contains(words), "{what}: {}", server.log());
        assert!(!server.log().lines().any(|line| line.starts_with("2026-01-01")), "{what}: {}", server.log());
        let recorded = world.records();
        let is_it = |record: &serde_json::Value| {
            record["event"] == "refuse" && record["reasons"].to_string().contains("no")
        };
        assert!(recorded.iter().any(is_it), "{what}: {recorded:?}");
    }
}

#[test]
fn what_is_wrong_with_a_folder_keeps_no_change_of_trust_from_being_taken() {
    for (what, spoil, words) in SPOILED {
        let world = beside_a_single_one();
        let server = world.serve(Transport::Http);
        spoil(&world);
        server.signal("HUP");
        server.wait_for_log(words);
        let all = ["one_seven", "single_seven", "two_seven"];
        toolgate_tests::process::wait_until("the reload", || server.log().contains("reloaded"));
        assert_eq!(server.tools(), all, "{what}: what serves goes on serving");
        world.key("other");
        let policy = toolgate_tests::world::TRUST.replace("version = 1", "version = 2");
        let policy = policy.replace("keys/vendor.pub", "keys/other.pub");
        world.put("trust.toml", policy.as_bytes(), 0o644);
        server.signal("HUP");
        toolgate_tests::process::wait_until("the removed signer counts no more", || {
            server.tools().is_empty()
        });
    }
}
