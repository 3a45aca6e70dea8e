//! Folders of plugins: each component directly in one is a plugin, named as its file is, under one grant.

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
fn a_link_in_a_folder_of_plugins_is_refused() {
    let world = folder();
    for name in ["three.wasm", "three.wasm.sigstore.json"] {
        let target = name.replace("three", "one");
        std::os::unix::fs::symlink(
            world.path(&format!("plugins/{target}")),
            world.path(&format!("plugins/{name}")),
        )
        .unwrap();
    }
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stderr.contains("it is not a regular file"), "{}", check.said());
}

#[test]
fn what_cannot_be_in_a_folder_is_a_mistake_in_the_configuration() {
    for (line, file, words) in [
        ("name = \"mine\"", None, "is for one plugin"),
        ("digest = \"sha256:00\"", None, "is for one plugin"),
        ("", Some("Not A Name"), "whose name no plugin can have"),
        ("source_private = true", None, "is for sources that lie elsewhere"),
    ] {
        let world = folder().with(line);
        if let Some(name) = file {
            world.install(name, &guest::seven());
        }
        let check = world.run(&["check"]);
        assert_eq!(check.code, 2, "{line}: {}", check.said());
        assert!(check.stderr.contains(words), "{line}: {}", check.stderr);
    }
    let world = folder().plugin("one", &guest::seven());
    let check = world.run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains("stands twice"), "{}", check.stderr);
}
