//! The same with folders: one read-only, and one writable with a small quota.

use std::os::unix::fs::symlink;

use serde_json::json;
use toolgate_base::outcome::{FaultKind, Outcome};
use toolgate_policy::capability::files::{Grant, MountText};
use toolgate_policy::capability::room::QuotaText;
use toolgate_policy::limits::call::FILES_THREADS;
use toolgate_policy::load::Grants;
use toolgate_tests::web::Web;
use toolgate_tests::{World, test_guest};

use super::{Call, HANDLES_MAX, Taken, ask, ended, length};

/// Descriptors of the granted folders, and the first free one.
const READ: u8 = 0;
const WRITE: u8 = 1;
const FIRST: u8 = 2;

const BYTES_MAX: usize = 100;
const OPEN_MAX: usize = 3;

/// Open flags, and access modes.
const CREATE: u8 = 1;
const FOR_READING: u8 = 1;
const FOR_WRITING: u8 = 2;

/// That nothing came of it, and why.
const BAD_DESCRIPTOR: [u8; 3] = [2, 1, 3];
const FULL: [u8; 3] = [2, 1, 6];
const TOO_LONG: [u8; 3] = [2, 1, 18];
const READ_ONLY: [u8; 3] = [2, 1, 33];

fn taken() -> Taken {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "text")
        .folder("out")
        .file("outside/secret.txt", "OUTSIDE");
    symlink("../outside/secret.txt", world.path("docs/link")).unwrap();
    let mount = |name: &str, access: &str, bytes_max| MountText {
        host: world.path(name).display().to_string(),
        guest: format!("/{name}"),
        access: access.to_owned(),
        room: QuotaText { bytes_max, ..QuotaText::default() },
        open_max: Some(OPEN_MAX as i64),
    };
    let mounts = vec![mount("docs", "read", None), mount("out", "read-write", Some(BYTES_MAX as i64))];
    let grants = Grants { files: Some(Grant::new(mounts).unwrap()), ..Grants::default() };
    let web = Web::plain(|_, _| {});
    Taken::granted(world, grants, web, "fs_look", json!({ "path": "/docs/a.txt" }))
}

fn text(text: &str, to: &mut Vec<u8>) {
    length(text.len(), to);
    to.extend(text.as_bytes());
}

fn open(folder: u8, path: &str, how: u8, what_for: u8) -> Vec<u8> {
    let mut body = vec![2, 0, 0, folder];
    text(path, &mut body);
    // Follows links.
    body.extend([1, how, what_for]);
    body
}

fn input(file: u8) -> Vec<u8> {
    vec![2, 0, 1, file, 0]
}

fn output(file: u8) -> Vec<u8> {
    vec![2, 0, 2, file, 0]
}

fn read(file: u8) -> Vec<u8> {
    vec![2, 1, file, 9, 0, 100]
}

fn write(file: u8, bytes: usize) -> Vec<u8> {
    let mut body = vec![2, 1, file, 10, 0];
    text(&"x".repeat(bytes), &mut body);
    body
}

fn stat_at(folder: u8, path: &str) -> Vec<u8> {
    let mut body = vec![2, 2, folder];
    text(path, &mut body);
    body.extend([0, 1]);
    body
}

fn unlink(folder: u8, path: &str) -> Vec<u8> {
    let mut body = vec![2, 2, folder];
    text(path, &mut body);
    body.push(5);
    body
}

fn rename((folder, old): (u8, &str), (to, new): (u8, &str)) -> Vec<u8> {
    let mut body = vec![2, 3, folder];
    text(old, &mut body);
    body.push(to);
    text(new, &mut body);
    body.push(0);
    body
}

fn next(stream: u8) -> Vec<u8> {
    vec![2, 5, stream, 0, 100]
}

fn put(stream: u8, bytes: usize) -> Vec<u8> {
    let mut body = vec![2, 5, stream, 1];
    text(&"x".repeat(bytes), &mut body);
    body
}

fn close_file(what: u8) -> Vec<u8> {
    vec![5, what]
}

/// Answer to an open that succeeded, with the new descriptor.
fn made(number: u8) -> [u8; 4] {
    [2, 0, 1, number]
}

/// Sends one request at a time, each after the previous answer; with the last number used.
struct Asking<'a>(&'a mut Call, u64);

impl Asking<'_> {
    fn ask(&mut self, body: &[u8]) -> Vec<u8> {
        self.1 += 1;
        self.0.say(&ask(1, self.1, body));
        self.0.answer(self.1)
    }
}

#[test]
fn a_worker_in_wrong_hands_has_the_folders_that_are_granted_and_nothing_else() {
    let taken = taken();
    let mut call = taken.call();
    let mut hands = Asking(&mut call, 0);
    for path in ["../outside/secret.txt", "/etc/passwd", "link", "/proc/self/environ", ".."] {
        let answer = hands.ask(&open(READ, path, 0, FOR_READING));
        assert_eq!(answer[..2], [2, 1], "{path}: {answer:?}");
    }
    // A read-only folder is not changed.
    assert_eq!(hands.ask(&open(READ, "a.txt", 0, FOR_WRITING)), READ_ONLY);
    assert_eq!(hands.ask(&open(READ, "new.txt", CREATE, FOR_READING)), READ_ONLY);
    assert_eq!(hands.ask(&unlink(READ, "a.txt")), READ_ONLY);
    assert_eq!(hands.ask(&rename((READ, "a.txt"), (WRITE, "a.txt"))), READ_ONLY);
    assert_eq!(hands.ask(&open(READ, "a.txt", 0, FOR_READING)), made(FIRST));
    assert_eq!(hands.ask(&write(FIRST, 1)), READ_ONLY);
    assert_eq!(hands.ask(&output(FIRST)), READ_ONLY);
    assert!(hands.ask(&read(FIRST)).ends_with(b"text"), "what is granted is done");
    // Descriptors that do not exist, or are of another kind.
    assert_eq!(hands.ask(&read(FIRST + 1)), BAD_DESCRIPTOR);
    assert_eq!(hands.ask(&next(FIRST)), BAD_DESCRIPTOR);
    assert_eq!(hands.ask(&input(FIRST)), made(FIRST + 1));
    assert_eq!(hands.ask(&read(FIRST + 1)), BAD_DESCRIPTOR, "a stream is not a descriptor");
    assert_eq!(hands.ask(&put(FIRST + 1, 1)), BAD_DESCRIPTOR, "and not both ways");
    assert!(hands.ask(&next(FIRST + 1)).ends_with(b"text"));
    assert_eq!(hands.ask(&open(READ, &"x".repeat(5_000), 0, FOR_READING)), TOO_LONG);
    assert_eq!(hands.ask(&stat_at(READ, &"x".repeat(5_000))), TOO_LONG);
    call.say(&ended(1));
    let outcome = taken.outcome(&mut call);
    assert!(matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Trap), "{outcome:?}");
    let held = |path: &str| std::fs::read_to_string(taken.world.path(path)).unwrap();
    assert_eq!((held("outside/secret.txt"), held("docs/a.txt")), ("OUTSIDE".to_owned(), "text".to_owned()));
    let record = taken.world.call_records().pop().unwrap().to_string();
    for noted in [
        r#"{"path":"/docs/a.txt","access":"read"}"#,
        r#"{"path":"/docs/new.txt","access":"write","refused":true}"#,
    ] {
        assert!(record.contains(noted), "{noted}: {record}");
    }
}

#[test]
fn a_worker_in_wrong_hands_writes_no_more_and_has_no_more_open_than_there_is_room_for() {
    let taken = taken();
    let mut call = taken.call();
    let mut hands = Asking(&mut call, 0);
    assert_eq!(hands.ask(&open(WRITE, "new.txt", CREATE, FOR_WRITING)), made(FIRST));
    assert_eq!(hands.ask(&write(FIRST, BYTES_MAX + 1)), FULL);
    assert_eq!(hands.ask(&output(FIRST)), made(FIRST + 1));
    assert_eq!(hands.ask(&put(FIRST + 1, BYTES_MAX)), [2, 0, 7, BYTES_MAX as u8]);
    assert_eq!(hands.ask(&put(FIRST + 1, 1)), FULL);
    // A stream keeps open what it was made of.
    hands.0.say(&ask(1, hands.1 + 1, &close_file(FIRST)));
    hands.1 += 1;
    for _ in 1..OPEN_MAX {
        assert_eq!(hands.ask(&open(WRITE, "new.txt", 0, FOR_READING))[..3], [2, 0, 1]);
    }
    assert_eq!(hands.ask(&open(WRITE, "new.txt", 0, FOR_READING)), FULL);
    hands.0.say(&ask(1, hands.1 + 1, &close_file(FIRST + 1)));
    hands.1 += 1;
    assert_eq!(hands.ask(&open(WRITE, "new.txt", 0, FOR_READING))[..3], [2, 0, 1]);
    call.say(&ended(1));
    taken.outcome(&mut call);
    assert_eq!(std::fs::metadata(taken.world.path("out/new.txt")).unwrap().len(), BYTES_MAX as u64);
    let record = taken.world.call_records().pop().unwrap().to_string();
    assert!(record.contains("bytes_max") && record.contains("open_max"), "{record}");
}

#[test]
fn a_call_in_a_worker_has_no_descriptor_of_anothers() {
    let taken = taken();
    let mut call = taken.call();
    let other = taken.begin();
    call.wait_for_call(2);
    assert_eq!(Asking(&mut call, 0).ask(&open(WRITE, "new.txt", CREATE, FOR_WRITING)), made(FIRST));
    call.say(&ask(2, 1, &write(FIRST, 1)));
    assert_eq!(call.answer_to(2, 1), BAD_DESCRIPTOR);
    // The same number refers to its own descriptor.
    call.say(&ask(2, 2, &open(READ, "a.txt", 0, FOR_READING)));
    assert_eq!(call.answer_to(2, 2), made(FIRST));
    call.say(&ask(2, 3, &write(FIRST, 1)));
    assert_eq!(call.answer_to(2, 3), READ_ONLY);
    call.say(&[ended(1), ended(2)].concat());
    taken.outcome(&mut call);
    taken.runtime.block_on(other).unwrap();
    assert_eq!(std::fs::read(taken.world.path("out/new.txt")).unwrap(), b"");
}

#[test]
fn a_worker_that_holds_more_than_a_call_may_ends_its_call() {
    let taken = taken();
    let mut call = taken.call();
    let mut hands = Asking(&mut call, 0);
    assert_eq!(hands.ask(&open(READ, "a.txt", 0, FOR_READING)), made(FIRST));
    for _ in 1..HANDLES_MAX {
        assert_eq!(hands.ask(&input(FIRST))[..3], [2, 0, 1]);
    }
    assert_eq!(hands.ask(&input(FIRST))[..2], [2, 1]);
    assert!(hands.0.is_stopped_by("handles_max"));
    assert_eq!(hands.ask(&read(FIRST))[..2], [2, 1], "from then on nothing is done");
}

#[test]
fn a_worker_that_asks_of_a_folder_what_no_worker_may_is_ended() {
    let taken = taken();
    let many = |count: u64| (1..=count).flat_map(|n| ask(1, n, &stat_at(READ, "a.txt"))).collect::<Vec<u8>>();
    let opened = |then: &[u8]| [ask(1, 1, &open(READ, "a.txt", 0, FOR_READING)), ask(1, 2, then)].concat();
    let unknown: &[u8] = &[2, 9, 9];
    for (what, words) in [
        ("more at once than there are turns", many(1_000 * FILES_THREADS as u64)),
        ("letting go of what it does not have", ask(1, 1, &close_file(FIRST))),
        ("letting go of a granted folder", ask(1, 1, &close_file(READ))),
        ("too long a piece", ask(1, 1, &write(FIRST, 70_000))),
        ("something unknown", ask(1, 1, unknown)),
        ("something and more", opened(&[read(FIRST).as_slice(), b"more"].concat())),
    ] {
        let mut call = taken.call();
        call.say(&words);
        let outcome = taken.outcome(&mut call);
        assert!(
            matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Worker),
            "{what}: {outcome:?}"
        );
        call.wait_for_end();
    }
}
