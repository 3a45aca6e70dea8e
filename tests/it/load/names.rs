//! Plugins with the same or similar names: the one approved first keeps its name, whatever the order in the
//! configuration. Nothing is approved that a server would then refuse.

use serde_json::json;
use toolgate_tests::{Transport, World, guest};

use super::lock::seven;
use super::writers::entry;

const SIMILAR: &str = "allow_lints = [\"similar-name\"]";

/// A plugin `notez` above `notes`, of which only `notes` is approved.
fn newcomer_above() -> World {
    let world =
        World::new().locked().plugin("notez", &seven("Gives eight.")).plugin("notes", &guest::seven());
    let approved = world.run(&["plugin", "approve", "notes", "--yes", "--by", "a tester"]);
    assert_eq!(approved.code, 0, "{}", approved.said());
    world
}

#[test]
fn what_a_server_would_refuse_for_its_name_is_not_approved() {
    let world = newcomer_above();
    let before = std::fs::read(world.path("toolgate.lock")).unwrap();
    for args in [&["plugin", "approve", "notez", "--yes"][..], &["plugin", "approve", "--all", "--yes"]] {
        let refused = world.run_as_is(args);
        assert_eq!(refused.code, 3, "{}", refused.said());
        let words =
            "plugin notez: refused: its prefix `notez` reads like the prefix `notes` of plugin `notes`";
        assert!(refused.stderr.contains(words), "{}", refused.said());
        assert_eq!(std::fs::read(world.path("toolgate.lock")).unwrap(), before, "{args:?}");
    }
    let again = world.run_as_is(&["plugin", "approve", "notes", "--yes"]);
    assert_eq!(again.code, 0, "who has the name is not in the way of anybody: {}", again.said());
}

#[test]
fn of_two_that_are_new_the_first_in_the_configuration_keeps_its_name() {
    let world =
        World::new().locked().plugin("notes", &guest::seven()).plugin("notez", &seven("Gives eight."));
    let refused = world.run(&["plugin", "approve", "--all", "--yes"]);
    assert!(refused.code == 3 && refused.stderr.contains("plugin notez: refused"), "{}", refused.said());
    assert!(!world.path("toolgate.lock").exists(), "nothing was approved");
    for name in ["notes", "notez"] {
        let ended = world.run_as_is(&["plugin", "approve", name, "--yes"]);
        assert_eq!(ended.code, if name == "notes" { 0 } else { 3 }, "{}", ended.said());
    }
}

#[test]
fn tools_of_one_name_clash_as_similar_ones_do() {
    let world = World::new()
        .locked()
        .plugin("thief", &seven("Gives eight."))
        .with("prefix = \"mine\"")
        .plugin("honest", &guest::seven())
        .with("prefix = \"mine\"");
    assert_eq!(world.run(&["plugin", "approve", "honest", "--yes"]).code, 0);
    let refused = world.run_as_is(&["plugin", "approve", "thief", "--yes"]);
    let words = "plugin thief: refused: its tool mine_seven has the name of one of plugin `honest`";
    assert!(refused.code == 3 && refused.stderr.contains(words), "{}", refused.said());
    assert!(entry(&world, "thief").is_none());
}

#[test]
fn a_plugin_that_is_added_takes_no_name_of_an_approved_one() {
    let world = World::new().locked().plugin("notes", &guest::seven());
    assert_eq!(world.run(&["plugin", "approve", "notes", "--yes"]).code, 0);
    world.install("notez", &seven("Gives eight."));
    let refused = world.run_as_is(&["plugin", "add", "plugins/notez.wasm", "--yes"]);
    assert!(refused.code == 3 && refused.stderr.contains("plugin notez: refused"), "{}", refused.said());
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    assert!(!text.contains("notez") && entry(&world, "notez").is_none());
}

#[test]
fn whoever_was_approved_first_serves_wherever_the_other_stands() {
    let world = newcomer_above();
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let meant = text.replace("name = \"notez\"\n", &format!("name = \"notez\"\n{SIMILAR}\n"));
    world.put("toolgate.toml", meant.as_bytes(), 0o644);
    // Approval times are in whole seconds; within one second the order of the configuration decides.
    let at = entry(&world, "notes").unwrap().pin.approval.at;
    toolgate_tests::process::wait_until("the next second", || toolgate_runtime::load::now() > at);
    let approved = world.run_as_is(&["plugin", "approve", "notez", "--yes"]);
    assert_eq!(approved.code, 0, "{}", approved.said());
    world.put("toolgate.toml", text.as_bytes(), 0o644);
    let check = world.run_as_is(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stderr.contains("plugin notez: refused"), "{}", check.said());
    let again = world.run_as_is(&["plugin", "approve", "notez", "--yes"]);
    assert_eq!(again.code, 3, "an approval of before does not help it: {}", again.said());
    for transport in Transport::ALL {
        let server = world.serve(transport);
        assert_eq!(server.tools(), ["notes_seven"]);
        server.signal("HUP");
        server.wait_for_log("reloaded");
        assert_eq!(server.tools(), ["notes_seven"], "a reload decides as a start does");
        assert_eq!(server.call("notes_seven", json!({})).text(), "7");
    }
}

#[test]
fn nothing_is_approved_while_the_names_of_what_is_approved_already_are_not_known() {
    let world = newcomer_above();
    world.install("other", &seven("Gives nine."));
    // As on another machine: the lock has the approval, but the bytes are unavailable.
    std::fs::remove_dir_all(world.path("state/blobs")).unwrap();
    let plugin = std::fs::read(world.path("plugins/notes.wasm")).unwrap();
    let configured = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let source = "source = \"file:plugins/notes.wasm\"";
    assert!(configured.contains(source), "{configured}");
    // An unreachable registry: its port was bound and closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let elsewhere = configured.replace(source, &format!("source = \"oci://127.0.0.1:{port}/notes:1\""));
    let lock = std::fs::read(world.path("toolgate.lock")).unwrap();
    std::fs::remove_file(world.path("plugins/notes.wasm")).unwrap();
    for text in [&configured, &elsewhere] {
        world.put("toolgate.toml", text.as_bytes(), 0o644);
        for args in
            [&["plugin", "approve", "notez", "--yes"][..], &["plugin", "add", "plugins/other.wasm", "--yes"]]
        {
            let refused = world.run_as_is(args);
            assert_eq!(refused.code, 3, "{args:?}: {}", refused.said());
            let words = "its names with those of plugin notes, which is approved and cannot be loaded: ";
            assert!(refused.stderr.contains(words), "{args:?}: {}", refused.said());
            assert_eq!(std::fs::read(world.path("toolgate.lock")).unwrap(), lock, "{args:?}");
        }
    }
    world.put("plugins/notes.wasm", &plugin, 0o644);
    world.put("toolgate.toml", configured.as_bytes(), 0o644);
    let refused = world.run_as_is(&["plugin", "approve", "notez", "--yes"]);
    assert!(refused.stderr.contains("plugin notez: refused: its prefix"), "{}", refused.said());
}
