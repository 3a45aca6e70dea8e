//! Host memory that a guest tries to occupy, outside its own memory.

use serde_json::json;
use toolgate_tests::{Server, Transport, World, test_guest};

/// Peak resident memory of a server in KiB.
fn peak_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Far less than the guest asks the host to keep, and far more than a call takes.
const MUCH_KIB: u64 = 256 << 10;

#[test]
fn a_request_that_is_not_sent_keeps_nothing_of_megabytes() {
    for (guest, engine) in [("requesting", ""), ("fetching", "engine = \"async\"")] {
        let world = World::new()
            .plugin("web", &test_guest(guest))
            .with(engine)
            .grant("http = []")
            .limit("fuel = 100_000_000_000");
        let server = world.serve(Transport::Http);
        let keep = |part: &str, bytes: u32, count: u32| {
            server.call("web_keep", json!({ "part": part, "count": count, "bytes": bytes }))
        };
        assert_eq!(keep("method", 32 << 10, 3).text(), "3");
        assert_eq!(keep("method", (32 << 10) + 1, 3).text(), "0");
        for part in ["method", "scheme", "authority", "path"] {
            assert_eq!(keep(part, 10, 3).text(), "3", "{guest} {part}");
            let before = peak_kib(&server);
            let kept = keep(part, 8 << 20, 100);
            let after = peak_kib(&server);
            assert!(after < before + MUCH_KIB, "{guest} {part}: {before} KiB before, {after} KiB after");
            assert_eq!(kept.text(), "0", "{guest} {part}");
        }
    }
}

#[test]
fn paths_of_megabytes_are_not_held_while_others_are_looked_up() {
    let world = World::new()
        .plugin("fs", &test_guest("awaiting"))
        .with("engine = \"async\"")
        .folder("docs")
        .grant(r#"files = [{ host = "docs", guest = "/docs" }]"#)
        .limit("memory_bytes_max = 400_000_000");
    let server = world.serve(Transport::Http);
    let open = |bytes: u32, count: u32| {
        server.call("fs_open-long", json!({ "path": "/docs", "bytes": bytes, "count": count }))
    };
    assert_eq!(open(4_096, 3).text(), "0");
    let before = peak_kib(&server);
    // The guest's own copies take 160 MiB; the host's would take twice as much.
    assert_eq!(open(4 << 20, 40).text(), "0");
    let after = peak_kib(&server);
    assert!(after < before + MUCH_KIB, "{before} KiB before, {after} KiB after");
}

#[test]
fn waits_without_number_that_are_begun_at_once_end_at_the_handles_they_take() {
    let world = World::new()
        .plugin("p", &test_guest("awaiting"))
        .with("engine = \"async\"")
        .limit("fuel = 100_000_000_000\nmemory_bytes_max = 400_000_000\nhandles_max = 100");
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("p_sleep-many", json!({ "count": 50 })).text(), "50");
    let before = peak_kib(&server);
    let reply = server.call("p_sleep-many", json!({ "count": 100_000 }));
    let after = peak_kib(&server);
    assert!(after < before + MUCH_KIB, "{before} KiB before, {after} KiB after: {reply:?}");
    assert!(reply.text().contains("handles_max = 100"), "{before} KiB before, {after} KiB after: {reply:?}");
}
