//! Commands of one user and servers of another: written files stay readable for the same users. No state directory is
//! made that only the command's user could use. Without root these tests are skipped.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use rustix::process::geteuid;
use toolgate_policy::Digest;
use toolgate_tests::{Ended, World};

use super::lock::{approve, locked, seven};
use super::writers::revoked;

const FILES: [&str; 3] = ["toolgate.toml", "trust.toml", "toolgate.lock"];
/// A user and group that own nothing.
const SERVICE: u32 = 12_345;

fn is_skipped() -> bool {
    let is_skipped = !geteuid().is_root();
    if is_skipped {
        eprintln!("skipped: only root can give files to others");
    }
    is_skipped
}

/// Owner, group and mode of each file.
fn access(world: &World) -> Vec<(u32, u32, u32)> {
    let of = |file| world.path(file).metadata().unwrap();
    FILES.map(of).iter().map(|of| (of.uid(), of.gid(), of.mode() & 0o7777)).collect()
}

fn done(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.said());
}

/// Changes owner and group of everything in a folder.
fn give(folder: &Path, user: u32, group: u32) {
    chown(folder, Some(user), Some(group)).unwrap();
    for entry in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            give(&entry, user, group)
        } else {
            chown(&entry, Some(user), Some(group)).unwrap()
        }
    }
}

#[test]
fn what_root_changes_can_still_be_read_by_the_group_of_the_service() {
    if is_skipped() {
        return;
    }
    let world = locked("Gives seven.").plugin("q", &seven("Gives seven, too."));
    world.install("r", &seven("Gives more."));
    world.write();
    for file in FILES {
        let bytes = std::fs::read(world.path(file)).unwrap();
        world.put(file, &bytes, 0o640);
        chown(world.path(file), None, Some(SERVICE)).unwrap();
    }
    let before = access(&world);
    assert_eq!(before, [(0, SERVICE, 0o640); 3]);
    for command in [
        &["plugin", "approve", "q", "--yes"][..],
        &["plugin", "add", "plugins/r.wasm", "--yes"],
        &["plugin", "remove", "r"],
        &["plugin", "revoke", "p", "--reason", "a backdoor"],
    ] {
        let files = FILES.map(|file| world.path(file).metadata().unwrap().ino());
        done(&world.run_as_is(command));
        assert_ne!(FILES.map(|file| world.path(file).metadata().unwrap().ino()), files, "it was replaced");
        assert_eq!(access(&world), before, "{command:?}");
    }
}

#[test]
fn a_file_that_cannot_keep_its_group_is_not_changed_and_nothing_else_is() {
    if is_skipped() {
        return;
    }
    for (file, user, words) in [
        ("trust.toml", SERVICE, "run `chgrp 12345` on it"),
        ("toolgate.lock", SERVICE, "run `chgrp 12345` on it"),
        ("trust.toml", 0, "run the command as that user or as root"),
    ] {
        let world = World::with_own_cache().plugin("p", &seven("Gives seven.")).locked();
        approve(&world);
        give(&world.path(""), SERVICE, SERVICE);
        chown(world.path(file), Some(user), Some(SERVICE + 1)).unwrap();
        let before = FILES.map(|file| std::fs::read(world.path(file)).unwrap());
        let revoke = ["plugin", "revoke", "p", "--reason", "a backdoor"];
        let refused = world.run_as_user(SERVICE, &revoke);
        assert_eq!(refused.code, 4, "{file}: {}", refused.said());
        assert!(refused.stderr.contains(words) && refused.stderr.contains(file), "{}", refused.said());
        assert!(refused.stderr.contains("nothing was written"), "{file}: {}", refused.said());
        assert_eq!(FILES.map(|file| std::fs::read(world.path(file)).unwrap()), before, "{file}");
        // The remedy in the message.
        chown(world.path(file), Some(SERVICE), Some(SERVICE)).unwrap();
        done(&world.run_as_user(SERVICE, &revoke));
        assert_eq!(revoked(&world).len(), 1);
    }
}

#[test]
fn root_makes_no_state_directory_in_a_folder_of_the_service() {
    if is_skipped() {
        return;
    }
    let world = World::with_own_cache().plugin("p", &seven("Gives seven."));
    world.write();
    chown(world.path(""), Some(SERVICE), Some(SERVICE)).unwrap();
    for command in [&["check"][..], &["tools"], &["call", "p_seven"], &["serve", "--stdio"]] {
        let refused = world.run_as_is(command);
        assert_eq!(refused.code, 4, "{command:?}: {}", refused.said());
        let words = "make the state directory";
        assert!(refused.stderr.contains(words), "{command:?}: {}", refused.said());
        assert!(refused.stderr.contains("belongs to user 12345"), "{command:?}: {}", refused.said());
    }
    let digest = Digest::of(&seven("Gives seven.")).to_string();
    let ended = world.run_as_is(&["plugin", "revoke", &digest, "--reason", "a backdoor"]);
    done(&ended);
    assert!(ended.stderr.starts_with("warning: "), "{}", ended.said());
    assert!(ended.stderr.contains("until a server has taken it"), "{}", ended.said());
    assert!(!world.path("state").exists());
    // The service creates its own state, and applies the revocation.
    let refused = world.run_as_user(SERVICE, &["check"]);
    assert_eq!(refused.code, 3, "{}", refused.said());
    assert!(refused.stderr.contains("a backdoor"), "{}", refused.said());
    assert_eq!(world.path("state").metadata().unwrap().uid(), SERVICE);
}
