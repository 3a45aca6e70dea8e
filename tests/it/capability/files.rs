//! `files`: folders, read-only or writable.

mod disk;
mod quota;

use serde_json::json;
use toolgate_tests::{World, apart, plugin, test_guest};

use super::{answer, assert_misconfigured, error, value};

fn filing() -> World {
    World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "text")
        .file("docs/deep/b.txt", "deep")
}

const READ: &str = r#"files = [{ host = "docs", guest = "/docs", access = "read" }]"#;
const WRITE: &str = r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }]"#;

#[test]
fn granted_a_folder_is_read_and_written_and_the_record_says_what() {
    let world = filing().grant(WRITE);
    assert_eq!(answer(&world, "fs_look", &json!({ "path": "/docs/a.txt" })), "text");
    assert_eq!(value(&world, "fs_names", &json!({ "path": "/docs" })), json!(["a.txt", "deep"]));
    answer(&world, "fs_put", &json!({ "path": "/docs/new.txt", "text": "new" }));
    answer(&world, "fs_make", &json!({ "path": "/docs/folder" }));
    answer(&world, "fs_move-to", &json!({ "path": "/docs/new.txt", "to": "/docs/folder/moved.txt" }));
    assert_eq!(std::fs::read_to_string(world.path("docs/folder/moved.txt")).unwrap(), "new");
    answer(&world, "fs_cut", &json!({ "path": "/docs/a.txt" }));
    answer(&world, "fs_erase", &json!({ "path": "/docs/folder/moved.txt" }));
    assert!(!world.path("docs/folder/moved.txt").exists());

    let touched: Vec<String> =
        world.call_records().iter().map(|record| record["files"].to_string()).collect();
    for place in ["/docs/a.txt", "/docs/new.txt", "/docs/folder", "/docs/folder/moved.txt"] {
        assert!(touched.iter().any(|files| files.contains(&format!("\"{place}\""))), "{place}: {touched:?}");
    }
    assert!(touched[0].contains("read") && !touched[0].contains("write"), "{}", touched[0]);
    assert!(touched[2].contains("write"), "{}", touched[2]);
}

#[test]
fn denied_a_guest_sees_no_file_at_all() {
    let world = filing();
    for path in ["/docs/a.txt", "docs/a.txt", "/etc/passwd", "/proc/self/environ", "."] {
        assert!(error(&world, "fs_look", &json!({ "path": path })).len() > 1, "{path}");
    }
    assert!(error(&world, "fs_put", &json!({ "path": "/docs/x", "text": "" })).len() > 1);
}

#[test]
fn narrowed_to_reading_nothing_can_be_changed() {
    let world = filing().grant(READ);
    assert_eq!(answer(&world, "fs_look", &json!({ "path": "/docs/deep/b.txt" })), "deep");
    for (tool, args) in [
        ("fs_put", json!({ "path": "/docs/a.txt", "text": "x" })),
        ("fs_put", json!({ "path": "/docs/new.txt", "text": "x" })),
        ("fs_cut", json!({ "path": "/docs/a.txt" })),
        ("fs_erase", json!({ "path": "/docs/a.txt" })),
        ("fs_make", json!({ "path": "/docs/folder" })),
        ("fs_move-to", json!({ "path": "/docs/a.txt", "to": "/docs/b.txt" })),
        ("fs_link-to", json!({ "path": "/docs/a.txt", "to": "/docs/b.txt" })),
    ] {
        error(&world, tool, &args);
    }
    assert_eq!(std::fs::read_to_string(world.path("docs/a.txt")).unwrap(), "text");
    assert_eq!(toolgate_tests::world::names(&world.path("docs")), ["a.txt", "deep"]);
}

#[test]
fn narrowed_to_one_folder_another_is_not_there() {
    let world = filing().file("other/c.txt", "c").grant(
        r#"files = [{ host = "docs", guest = "/docs" }, { host = "other", guest = "/out", access = "read-write" }]"#,
    );
    assert_eq!(answer(&world, "fs_look", &json!({ "path": "/out/c.txt" })), "c");
    // Each folder has its own access mode, also where a file moves from one to the other.
    error(&world, "fs_move-to", &json!({ "path": "/docs/a.txt", "to": "/out/a.txt" }));
    error(&world, "fs_move-to", &json!({ "path": "/out/c.txt", "to": "/docs/c.txt" }));
    error(&world, "fs_link-to", &json!({ "path": "/docs/a.txt", "to": "/out/a.txt" }));
    assert!(world.path("docs/a.txt").exists() && world.path("other/c.txt").exists());
}

#[test]
fn a_folder_that_holds_what_guards_the_host_is_never_granted() {
    for (host, access, words) in [
        ("/", "read", "the whole machine"),
        ("/proc", "read", "the kernel's"),
        ("/sys/kernel", "read", "the kernel's"),
        ("/dev", "read-write", "the kernel's"),
        (".", "read", ""),
        ("state", "read", "state directory"),
        ("keys", "read", "which is secret"),
        ("plugins", "read-write", ""),
        ("docs", "execute", "write \"read\" or \"read-write\""),
    ] {
        let world = filing().folder("state");
        let line = format!(r#"files = [{{ host = "{host}", guest = "/x", access = "{access}" }}]"#);
        assert_misconfigured(&world.grant(&line), words);
    }
    // Minisign's private keys have a file name extension of their own.
    let public = "untrusted comment: minisign public key 3A86C157BF63B683\nRWSDtmO/V8GGOgi5g5K7P2AOYGvfh5V/uWTyMT7vYd1A4RFxKu68m2XL\n";
    let trust = toolgate_tests::world::TRUST.replace("keys/vendor.pub", "mini/a.pub");
    let world = filing().file("mini/a.pub", public).secret_file("mini/a.key", "secret").trust(&trust);
    let line = r#"files = [{ host = "mini", guest = "/x" }]"#;
    assert_misconfigured(&world.grant(line), "which is secret");
    // A link does not evade the check.
    let world = filing();
    std::os::unix::fs::symlink("/", world.path("innocent")).unwrap();
    assert_misconfigured(
        &world.grant(r#"files = [{ host = "innocent", guest = "/x" }]"#),
        "the whole machine",
    );
}

#[test]
fn the_example_plugins_work_in_their_folders_and_nowhere_else() {
    let world = World::new()
        .plugin("files", &plugin("files"))
        .grant(READ)
        .plugin("notes", &plugin("notes"))
        .grant(r#"files = [{ host = "notes", guest = "/notes", access = "read-write" }]"#)
        .folder("notes")
        .file("docs/a.txt", "one\nneedle two\n")
        .file("docs/deep/b.txt", "needle");
    assert!(answer(&world, "files_read", &json!({ "path": "/docs/a.txt" })).contains("needle two"));
    assert!(value(&world, "files_list", &json!({ "folder": "/docs" })).to_string().contains("deep"));
    let found = value(&world, "files_search", &json!({ "folder": "/docs", "text": "needle" })).to_string();
    assert!(found.contains("a.txt") && found.contains("b.txt"), "{found}");
    error(&world, "files_read", &json!({ "path": "/docs/../toolgate.toml" }));

    answer(&world, "notes_write", &json!({ "name": "first", "text": "hello" }));
    assert_eq!(answer(&world, "notes_read", &json!({ "name": "first" })), "hello");
    error(&world, "notes_write", &json!({ "name": "../escape", "text": "x" }));
    answer(&world, "notes_delete", &json!({ "name": "first" }));
    assert_eq!(toolgate_tests::world::names(&world.path("notes")), Vec::<String>::new());
}

#[test]
fn in_a_worker_a_plugin_has_the_folders_that_it_has_on_a_thread() {
    apart(&[
        granted_a_folder_is_read_and_written_and_the_record_says_what,
        narrowed_to_reading_nothing_can_be_changed,
    ]);
}
