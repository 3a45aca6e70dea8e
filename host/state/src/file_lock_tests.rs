//! Locks on files and their replacement: waiting, leftovers and links.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::mpsc::channel;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn one_holds_a_file_at_a_time_and_nothing_is_left_beside_it() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("counter");
    std::fs::write(&path, "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let locks = FileLocks::take([path.as_path()]).unwrap();
                    let count: u32 = std::fs::read_to_string(&path).unwrap().parse().unwrap();
                    locks.replace(&path, (count + 1).to_string().as_bytes(), 0o644).unwrap();
                }
            });
        }
    });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "160");
    assert_eq!(names(base.path()), ["counter"]);
}

#[test]
fn files_are_locked_in_one_order_whichever_they_are_named_in() {
    let base = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| base.path().join(name));
    std::thread::scope(|scope| {
        for order in [[&a, &b], [&b, &a]] {
            scope.spawn(move || {
                for _ in 0..100 {
                    drop(FileLocks::take(order.map(PathBuf::as_path)).unwrap());
                }
            });
        }
    });
}

#[test]
fn a_link_and_its_file_have_one_lock_and_the_link_stays() {
    let base = tempfile::tempdir().unwrap();
    let (folder, link) = (base.path().join("real"), base.path().join("link"));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("trust.toml");
    std::fs::write(&file, "old").unwrap();
    symlink(&file, &link).unwrap();
    let locks = FileLocks::take([link.as_path(), &file]).unwrap();
    assert_eq!(locks.held.len(), 1);
    locks.replace(&link, b"new", 0o644).unwrap();
    drop(locks);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(names(&folder), ["trust.toml"]);
}

#[test]
fn what_a_killed_process_left_behind_holds_up_nobody() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("file");
    for left in [".file.flock", ".file.new"] {
        std::fs::write(base.path().join(left), "left").unwrap();
    }
    FileLocks::take([path.as_path()]).unwrap().replace(&path, b"text", 0o640).unwrap();
    assert_eq!(names(base.path()), ["file"]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_child_that_is_started_meanwhile_does_not_keep_the_lock() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("file");
    let locks = FileLocks::take([path.as_path()]).unwrap();
    #[expect(clippy::disallowed_methods, reason = "what a child inherits is tried")]
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    drop(locks);
    drop(FileLocks::take([path.as_path()]).unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn only_a_locked_file_is_replaced_and_it_keeps_its_mode() {
    let base = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| base.path().join(name));
    std::fs::write(&a, "old").unwrap();
    std::fs::set_permissions(&a, std::fs::Permissions::from_mode(0o600)).unwrap();
    let locks = FileLocks::take([a.as_path()]).unwrap();
    assert!(locks.replace(&b, b"new", 0o644).is_err() && !b.exists());
    locks.replace(&a, b"new", 0o644).unwrap();
    assert_eq!(std::fs::metadata(&a).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_lock_of_the_state_directory_is_waited_for() {
    let base = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(base.path(), cap_std::ambient_authority()).unwrap();
    let held = DirLock::take(&dir, "lock").unwrap();
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(DirLock::take(&dir, "lock").unwrap());
            tell.send(()).unwrap();
        });
        assert!(told.try_recv().is_err());
        drop(held);
        told.recv().unwrap();
    });
}
