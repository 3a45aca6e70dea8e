//! An older lock that is restored, and files that another user could change.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use toolgate_state::lockfile::Entry;
use toolgate_tests::process::wait_until;
use toolgate_tests::{Transport, World};

use super::lock::{approve, locked, seven};
use super::writers::entry;

/// A plugin with two versions approved in sequence: the lock after the first, and both entries.
fn approved_twice() -> (World, Vec<u8>, Entry, Entry) {
    let world = locked("Gives seven.");
    let (lock, first) = (std::fs::read(world.path("toolgate.lock")).unwrap(), entry(&world, "p").unwrap());
    let at = first.pin.approval.at;
    wait_until("the next second", || toolgate_runtime::load::now() > at);
    world.install("p", &seven("Gives seven, and more."));
    approve(&world);
    let second = entry(&world, "p").unwrap();
    (world, lock, first, second)
}

#[test]
fn an_older_lock_that_is_put_back_is_said_and_recorded_with_both_versions() {
    let (world, lock, first, second) = approved_twice();
    let server = world.serve(Transport::Http);
    world.install("p", &seven("Gives seven."));
    world.put("toolgate.lock", &lock, 0o644);
    server.signal("HUP");
    server.wait_for_log("an older lock was put back");
    assert_eq!(server.call("p_seven", json!({})).text(), "7", "an approval is an approval");
    let is_it = |record: &serde_json::Value| record["event"] == "lock-went-back";
    wait_until("it is recorded", || world.records().iter().any(is_it));
    let records = world.records();
    let record = records.iter().find(|record| record["event"] == "lock-went-back").unwrap();
    assert_eq!(record["from"]["digest"], second.pin.digest.to_string());
    assert_eq!(record["to"]["digest"], first.pin.digest.to_string());
    for digest in [first.pin.digest, second.pin.digest] {
        assert!(server.log().contains(&digest.to_string()), "{}", server.log());
    }
    // Moving forward again raises no alarm.
    world.install("p", &seven("Gives seven, and more."));
    let approved = world.run(&["plugin", "approve", "p", "--yes"]);
    assert_eq!(approved.code, 0, "what was written is success: {}", approved.said());
    server.signal("HUP");
    wait_until("it is reloaded", || server.log().matches("reloaded").count() == 2);
    assert_eq!(server.log().matches("an older lock was put back").count(), 1);
}

#[test]
fn an_older_lock_that_is_put_back_is_said_although_nothing_was_serving() {
    let (world, lock, first, second) = approved_twice();
    let world = world.plugin("q", &seven("Gives seven, too.")).server("on_refused = \"skip\"");
    let server = world.serve(Transport::Http);
    let reload = |times: usize| {
        server.signal("HUP");
        server.wait_until("it reloads", || server.log().matches(" reloaded").count() == times);
    };
    assert_eq!(world.run_as_is(&["plugin", "revoke", "p", "--reason", "it was wrong"]).code, 0);
    world.install("p", &seven("Gives seven."));
    reload(1);
    assert!(server.tools().is_empty(), "the approval was taken back: {}", server.log());
    assert!(!server.log().contains("an older lock"), "{}", server.log());
    world.put("toolgate.lock", &lock, 0o644);
    reload(2);
    assert_eq!(server.call("p_seven", json!({})).text(), "7", "{}", server.log());
    let log = server.wait_for_log("an older lock was put back");
    assert!(log.contains("and taken back since"), "{log}");
    let is_it = |record: &serde_json::Value| record["event"] == "lock-went-back";
    wait_until("it is recorded", || world.records().iter().any(is_it));
    let record = world.records().into_iter().find(is_it).unwrap();
    assert_eq!(record["from"]["digest"], second.pin.digest.to_string());
    assert_eq!(record["to"]["digest"], first.pin.digest.to_string());
    // It is reported once.
    world.put("plugins/q.wasm", &seven("Gives eight, too."), 0o644);
    reload(3);
    assert_eq!(server.log().matches("an older lock was put back").count(), 1);
}

#[test]
fn files_in_a_folder_where_everybody_may_replace_them_are_refused() {
    let chmod = |world: &World, folder: &str, mode: u32| {
        std::fs::set_permissions(world.path(folder), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (folder, file) in [("", "toolgate.toml"), ("keys", "vendor.pub"), ("secrets", "secrets/token")] {
        let world = locked("Gives seven.").secret_file("secrets/token", "abc");
        let world = world.more("\n[[secret]]\nname = \"t\"\nfile = \"secrets/token\"\nheader = \"A\"\n");
        world.write();
        assert_eq!(world.run_as_is(&["check"]).code, 0, "{}", world.run_as_is(&["check"]).said());
        chmod(&world, folder, 0o777);
        let check = world.run_as_is(&["check"]);
        assert_eq!(check.code, 2, "{folder}: {}", check.said());
        let words = "where everybody can put another in its place; run `chmod o-w`";
        assert!(check.stderr.contains(words) && check.stderr.contains(file), "{folder}: {}", check.said());
        // In a sticky folder owned by root or by this user, no other user can replace the file.
        chmod(&world, folder, 0o1777);
        assert_eq!(world.run_as_is(&["check"]).code, 0, "{folder}");
    }
}

#[test]
fn files_of_another_user_are_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files to others");
        return;
    }
    for file in ["toolgate.toml", "trust.toml", "toolgate.lock", "keys/vendor.pub"] {
        let world = locked("Gives seven.");
        std::os::unix::fs::chown(world.path(file), Some(12_345), None).unwrap();
        let check = world.run_as_is(&["check"]);
        assert_eq!(check.code, 2, "{file}: {}", check.said());
        assert!(check.stderr.contains("it belongs to user 12345"), "{file}: {}", check.said());
        assert!(check.stderr.contains("`chown 0` on it"), "{file}: {}", check.said());
    }
}
