//! Records left incomplete by a full disk, a crash or another process: no other record is lost with them.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, plugin};

const PART: &str = r#"{"time":"2026-01-01T00:00:00.000Z","event":"call","plu"#;

fn hello() -> World {
    World::new().plugin("hello", &plugin("hello"))
}

/// Lines of the record that parse, and those that do not.
fn lines(world: &World) -> (Vec<Value>, Vec<String>) {
    let text = std::fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let (mut read, mut torn) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(value) => read.push(value),
            Err(_) => torn.push(line.to_owned()),
        }
    }
    (read, torn)
}

fn events(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["event"].as_str().unwrap()).collect()
}

fn append(path: &Path, text: &str) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Limits the file size of a process: longer writes fail as on a full disk. The signal that comes with the error would
/// end a program that does not ignore it.
fn bound_files(pid: u32, bytes: &str) {
    let bound = format!("--fsize={bytes}:unlimited");
    assert!(Command::new("prlimit").args(["--pid", &pid.to_string(), &bound]).status().unwrap().success());
}

#[test]
fn after_a_full_disk_the_torn_record_is_one_line_and_audit_resumed_another() {
    let world = hello();
    let server = world.serve(Transport::Http);
    let greet = || server.call("hello_greet", json!({ "name": "a" }));
    assert!(!greet().is_error());
    let bytes = std::fs::metadata(world.path("state/audit.jsonl")).unwrap().len();
    bound_files(server.pid(), &(bytes + 50).to_string());
    assert_eq!(greet().code(), -32603, "its record is torn");
    assert_eq!(greet().code(), -32603, "it is not run");
    bound_files(server.pid(), "unlimited");
    assert!(!greet().is_error());
    let (read, torn) = lines(&world);
    assert_eq!(torn.len(), 1, "{torn:?}");
    assert_eq!(torn[0].len(), 50);
    let events = events(&read);
    assert!(events.ends_with(&["call", "audit-resumed", "call"]), "{events:?}");
}

#[test]
fn a_record_that_a_crash_left_unfinished_takes_no_other_with_it() {
    let world = hello();
    world.call("hello_greet", &json!({ "name": "a" }));
    let (before, _) = lines(&world);
    append(&world.path("state/audit.jsonl"), PART);
    let server = world.serve(Transport::Http);
    assert!(!server.call("hello_greet", json!({ "name": "a" })).is_error());
    let (read, torn) = lines(&world);
    assert_eq!(torn, [PART]);
    assert!(read.len() > before.len());
    assert_eq!(read.last().unwrap()["event"], "call");
}

#[test]
fn a_record_that_another_process_left_unfinished_takes_no_other_with_it() {
    let world = hello();
    let server = world.serve(Transport::Http);
    // After this it writes no record of its own.
    let has_started = || world.records().iter().any(|record| record["event"] == "started");
    server.wait_until("it is recorded that it has started", has_started);
    append(&world.path("state/audit.jsonl"), PART);
    assert!(!server.call("hello_greet", json!({ "name": "a" })).is_error());
    append(&world.path("state/audit.jsonl"), PART);
    assert_eq!(world.call("hello_greet", &json!({ "name": "a" })).code, 0, "a third process");
    let (read, torn) = lines(&world);
    assert_eq!(torn, [PART, PART]);
    assert_eq!(events(&read).iter().filter(|event| **event == "call").count(), 2);
}
