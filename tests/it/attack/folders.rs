//! Ways out of a granted folder.

use std::os::unix::fs::symlink;

use serde_json::json;
use toolgate_tests::{World, test_guest};

fn world() -> World {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "inside")
        .file("outside/secret.txt", "OUTSIDE")
        .grant(r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }]"#);
    symlink("../outside/secret.txt", world.path("docs/relative")).unwrap();
    symlink(world.path("outside/secret.txt"), world.path("docs/absolute")).unwrap();
    symlink("../outside", world.path("docs/folder")).unwrap();
    symlink("/proc/self/root", world.path("docs/magic")).unwrap();
    symlink("/proc/self/cwd", world.path("docs/cwd")).unwrap();
    symlink("a.txt", world.path("docs/within")).unwrap();
    world
}

#[test]
fn no_path_leads_out_of_a_granted_folder() {
    let world = world();
    for path in [
        "/docs/../outside/secret.txt",
        "/docs/./../outside/secret.txt",
        "/docs//../outside/secret.txt",
        "../outside/secret.txt",
        "/docs/relative",
        "/docs/absolute",
        "/docs/folder/secret.txt",
        "/docs/magic/etc/passwd",
        "/docs/cwd/toolgate.toml",
        "/outside/secret.txt",
        "/etc/passwd",
        "/proc/self/environ",
    ] {
        let read = world.call("fs_look", &json!({ "path": path }));
        assert_eq!(read.code, 1, "{path}: {}", read.said());
        let wrote = world.call("fs_put", &json!({ "path": path, "text": "BROKEN" }));
        assert_eq!(wrote.code, 1, "{path}: {}", wrote.said());
    }
    assert_eq!(std::fs::read_to_string(world.path("outside/secret.txt")).unwrap(), "OUTSIDE");
    // A link that stays inside is only a name.
    assert_eq!(world.call("fs_look", &json!({ "path": "/docs/within" })).stdout.trim(), "inside");
}

#[test]
fn nothing_is_moved_or_linked_across_the_border_of_a_folder() {
    let world = world();
    for (tool, path, to) in [
        ("fs_move-to", "/docs/a.txt", "/docs/../outside/a.txt"),
        ("fs_move-to", "/docs/folder/secret.txt", "/docs/b.txt"),
        ("fs_move-to", "/docs/a.txt", "/docs/folder/a.txt"),
        ("fs_link-to", "/docs/folder/secret.txt", "/docs/b.txt"),
        ("fs_link-to", "/docs/a.txt", "/docs/folder/a.txt"),
        ("fs_link-to", "/docs/../outside/secret.txt", "/docs/b.txt"),
    ] {
        let ended = world.call(tool, &json!({ "path": path, "to": to }));
        assert_eq!(ended.code, 1, "{tool} {path} {to}: {}", ended.said());
    }
    assert_eq!(toolgate_tests::world::names(&world.path("outside")), ["secret.txt"]);
    assert!(world.path("docs/a.txt").exists() && !world.path("docs/b.txt").exists());
}

#[test]
fn a_file_that_is_read_only_is_not_cut_short() {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "inside")
        .grant(r#"files = [{ host = "docs", guest = "/docs" }]"#);
    for path in ["/docs/a.txt", "/docs/a.txt/", "/docs/./a.txt"] {
        assert_eq!(world.call("fs_cut", &json!({ "path": path })).code, 1, "{path}");
    }
    assert_eq!(std::fs::read_to_string(world.path("docs/a.txt")).unwrap(), "inside");
}
