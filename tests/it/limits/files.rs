//! Host memory for a guest that reads files and folders counts as the guest's own.

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, test_guest};

/// A world for each WASI version, on a thread and in a worker, with a file of 64 KiB and a folder with many names.
fn worlds() -> impl Iterator<Item = (String, World)> {
    let each = |guest: &'static str, engine: &'static str| {
        ["thread", "process"].map(|isolation| {
            let world = World::new()
                .plugin("fs", &test_guest(guest))
                .with(&format!("engine = \"{engine}\"\nisolation = \"{isolation}\""))
                .file("docs/a.txt", &"x".repeat(65_536))
                .folder("docs/names")
                .grant(r#"files = [{ host = "docs", guest = "/docs", access = "read" }]"#)
                // Other limits are out of reach.
                .limit("memory_bytes_max = 20_000_000\nhandles_max = 100_000\nfuel = 1_000_000_000_000\nfaults_max = 1_000_000");
            for n in 0..3_000 {
                std::fs::File::create(world.path(&format!("docs/names/{n}"))).unwrap();
            }
            (format!("{guest}, {isolation}"), world)
        })
    };
    each("filing", "sync").into_iter().chain(each("awaiting", "async"))
}

fn assert_counts(tool: &str, path: &str, few: u32, many: u32) {
    for (name, world) in worlds() {
        let server = world.serve(Transport::Http);
        let args = |count: u32| -> Value { json!({ "path": path, "count": count }) };
        let reply = server.call(tool, args(few));
        assert_eq!(reply.text(), "done", "{name}: {reply:?}");
        let reply = server.call(tool, args(many));
        assert!(
            reply.is_error() && reply.text().contains("memory_bytes_max = 20000000"),
            "{name}: {reply:?}"
        );
        let record = world.call_records().pop().unwrap();
        assert_eq!(record["outcome"]["limit"], "memory_bytes_max", "{name}: {record}");
        // All memory was returned.
        assert_eq!(server.call(tool, args(few)).text(), "done", "{name}");
        assert!(!server.log().contains("ALARM"), "{name}: {}", server.log());
    }
}

#[test]
fn memory_bytes_max_counts_what_streams_read_of_files_until_it_is_taken() {
    // 64 KiB each: about 6 MB and 39 MB.
    assert_counts("fs_read-many", "/docs/a.txt", 100, 600);
}

#[test]
fn memory_bytes_max_counts_listings_of_folders_until_they_are_closed() {
    // 600 KB each: about 6 MB and 54 MB.
    assert_counts("fs_list-many", "/docs/names", 10, 90);
}
