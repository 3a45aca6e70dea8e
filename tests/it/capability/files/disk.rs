//! Writable folders and their disk: unlinked files that are still open, folders shared by several plugins, and files
//! from before the grant that exceed the quota.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use serde_json::json;
use toolgate_tests::{Transport, World, test_guest};

use super::super::{answer, error, value};
use super::quota::{put, worlds};

#[test]
fn what_is_open_without_a_name_counts_until_it_is_closed() {
    const BYTES_MAX: u64 = 100_000;
    for (how, files, times) in [("unlink", 1, 64), ("unlink", 4, 16), ("replace", 1, 64)] {
        for world in worlds(&format!(", bytes_max = {BYTES_MAX}")) {
            let args =
                json!({ "path": "/docs", "how": how, "files": files, "times": times, "bytes": 10_000 });
            // If unlinked files did not count, it would write several times the quota.
            for again in 0..2 {
                let written = value(&world, "fs_write-unnamed", &args).as_u64().unwrap();
                assert!((80_000..BYTES_MAX).contains(&written), "{how} {files} {again}: {written}");
            }
            let record = world.call_records()[0]["files"].to_string();
            assert!(record.contains("bytes_max"), "{record}");
            // The end of the call closed the files.
            answer(&world, "fs_put", &put("/docs/new.txt", 90_000));
        }
    }
}

#[test]
fn what_is_open_without_a_name_counts_as_an_entry() {
    for world in worlds(", entries_max = 8") {
        let args = json!({ "path": "/docs", "how": "unlink", "files": 20, "times": 0, "bytes": 0 });
        error(&world, "fs_write-unnamed", &args);
        let record = world.call_records()[0]["files"].to_string();
        assert!(record.contains("entries_max"), "{record}");
        answer(&world, "fs_put", &put("/docs/new.txt", 1));
    }
}

/// Two plugins, each with a folder of its own choice.
fn pair(first: &str, second: &str) -> World {
    let grant = |host: &str| {
        format!(r#"files = [{{ host = "{host}", guest = "/docs", access = "read-write", bytes_max = 100 }}]"#)
    };
    let world = World::new()
        .plugin("one", &test_guest("filing"))
        .grant(&grant(first))
        .plugin("two", &test_guest("filing"))
        .with("allow_lints = [\"similar-name\"]")
        .grant(&grant(second))
        .folder("docs/inner");
    symlink("docs", world.path("alias")).unwrap();
    world
}

#[test]
fn plugins_that_are_granted_one_folder_by_whatever_path_share_its_account() {
    for second in ["docs", "docs/../docs/.", "alias"] {
        let server = pair("docs", second).serve(Transport::Http);
        assert!(!server.call("one_put", put("/docs/a.txt", 60)).is_error());
        assert!(server.call("two_put", put("/docs/b.txt", 60)).is_error(), "{second}");
        assert!(!server.call("two_put", put("/docs/b.txt", 40)).is_error(), "{second}");
        assert!(server.call("one_append", json!({ "path": "/docs/a.txt", "text": "x" })).is_error());
        // Space that one frees is available to the other.
        assert!(!server.call("two_erase", json!({ "path": "/docs/b.txt" })).is_error());
        let more = json!({ "path": "/docs/a.txt", "text": "x".repeat(40) });
        assert!(!server.call("one_append", more).is_error());
    }
}

#[test]
fn what_grows_in_an_inner_folder_grows_in_the_outer_one_and_not_the_other_way_round() {
    let server = pair("docs", "docs/inner").serve(Transport::Http);
    assert!(!server.call("two_put", put("/docs/a.txt", 60)).is_error());
    assert!(server.call("one_put", put("/docs/b.txt", 60)).is_error());
    assert!(!server.call("one_put", put("/docs/b.txt", 40)).is_error());
    // Outside the inner folder, whose quota has space left.
    assert!(!server.call("two_append", json!({ "path": "/docs/a.txt", "text": "x".repeat(40) })).is_error());
    // Writes from the outer folder into the inner one.
    assert!(!server.call("one_erase", json!({ "path": "/docs/inner/a.txt" })).is_error());
    assert!(!server.call("one_put", put("/docs/inner/a.txt", 60)).is_error());
    assert!(server.call("two_put", put("/docs/c.txt", 60)).is_error());
}

#[test]
fn a_folder_that_holds_more_than_it_may_is_loaded_with_a_warning_and_does_not_grow() {
    let asked = [(", bytes_max = 3", "bytes_max"), (", entries_max = 1", "entries_max")];
    for (grant, name) in asked {
        for world in worlds(grant) {
            let check = world.file("docs/b.txt", "").run(&["check"]);
            assert_eq!(check.code, 0, "{}", check.said());
            assert!(check.stderr.contains("holds more than it may"), "{}", check.stderr);
            assert!(check.stderr.contains(name), "{}", check.stderr);
        }
    }
    for world in worlds(", bytes_max = 3") {
        error(&world, "fs_put", &put("/docs/c.txt", 1));
        answer(&world, "fs_erase", &json!({ "path": "/docs/a.txt" }));
        answer(&world, "fs_put", &put("/docs/c.txt", 3));
    }
}

#[test]
fn a_plugin_that_may_have_fewer_entries_does_not_hide_the_bytes_of_the_rest() {
    let grant = |more: &str| {
        format!(
            r#"files = [{{ host = "docs", guest = "/docs", access = "read-write", bytes_max = 100{more} }}]"#
        )
    };
    let mut world = World::new()
        .plugin("few", &test_guest("filing"))
        .grant(&grant(", entries_max = 1"))
        .plugin("many", &test_guest("filing"))
        .with("allow_lints = [\"similar-name\"]")
        .grant(&grant(""));
    for n in 0..10 {
        world = world.file(&format!("docs/{n}"), &"x".repeat(10));
    }
    let server = world.serve(Transport::Http);
    assert!(server.call("few_put", put("/docs/a.txt", 1)).is_error());
    assert!(server.call("many_put", put("/docs/a.txt", 1)).is_error());
}

/// Creates nested folders whose path is longer than the kernel's limit.
fn deep_tree(world: &World, folder: &str) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = OwnedFd::from(std::fs::File::open(world.path(folder)).unwrap());
    for _ in 0..2_000 {
        mkdirat(&at, "folder", Mode::RWXU).unwrap();
        at = openat(&at, "folder", flags, Mode::empty()).unwrap();
        mkdirat(&at, "beside", Mode::RWXU).unwrap();
    }
}

#[test]
fn a_tree_deeper_than_any_path_is_counted_and_the_plugin_goes_on() {
    for world in worlds(", bytes_max = 100") {
        deep_tree(&world, "docs");
        let check = world.run(&["check"]);
        assert_eq!(check.code, 0, "{}", check.said());
        assert!(!check.stderr.contains("will not grow"), "{}", check.stderr);
        answer(&world, "fs_put", &put("/docs/b.txt", 96));
        error(&world, "fs_put", &put("/docs/c.txt", 1));
        // The standard library would use a descriptor per level to remove it.
        assert!(Command::new("rm").arg("-rf").arg(world.path("docs")).status().unwrap().success());
    }
}

#[test]
fn an_operator_is_warned_of_a_writable_folder_on_the_disk_of_the_state_directory() {
    const WARNING: &str = "file system of the state directory";
    let grant = |host: &str, access: &str| {
        format!(r#"files = [{{ host = "{host}", guest = "/docs", access = "{access}" }}]"#)
    };
    let world = |grant: &str| World::new().plugin("fs", &test_guest("filing")).folder("docs").grant(grant);
    let said = |world: &World| {
        let check = world.run(&["check"]);
        assert_eq!(check.code, 0, "{}", check.said());
        check.stderr
    };
    assert!(said(&world(&grant("docs", "read-write"))).contains(WARNING));
    assert!(!said(&world(&grant("docs", "read"))).contains(WARNING));
    // A state directory on another file system, if the machine has one.
    if let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") {
        let state = format!("[state]\ndir = {:?}", elsewhere.path().join("state"));
        let world = world(&grant("docs", "read-write")).more(&state);
        let device = |path: &Path| path.metadata().unwrap().dev();
        let is_apart = device(elsewhere.path()) != device(&world.path("docs"));
        assert_ne!(said(&world).contains(WARNING), is_apart);
    }
}
