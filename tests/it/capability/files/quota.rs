//! Quotas of a writable folder: bytes, entries, open files; and special files in it. Every fact by WASI 0.2 and 0.3.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use toolgate_tests::process::open_in;
use toolgate_tests::{Transport, World, apart, test_guest};

use super::super::{answer, assert_misconfigured, error, value};

/// A world for each WASI version, with one folder that contains a file of four bytes.
pub(super) fn worlds(grant: &str) -> [World; 2] {
    let folder = format!(r#"files = [{{ host = "docs", guest = "/docs", access = "read-write"{grant} }}]"#);
    let world = |guest: &str| World::new().plugin("fs", &test_guest(guest)).file("docs/a.txt", "text");
    [world("filing").grant(&folder), world("awaiting").with("engine = \"async\"").grant(&folder)]
}

pub(super) fn put(path: &str, bytes: usize) -> Value {
    json!({ "path": path, "text": "x".repeat(bytes) })
}

fn length(world: &World, path: &str) -> u64 {
    std::fs::metadata(world.path(path)).unwrap().len()
}

#[test]
fn a_folder_grows_to_bytes_max_by_every_way_of_writing_and_not_beyond() {
    for (more, fits) in [(95, true), (96, true), (97, false)] {
        let at_end = 4 + more;
        let ways = [
            ("fs_put", put("/docs/new.txt", more)),
            ("fs_append", put("/docs/a.txt", more)),
            ("fs_resize", json!({ "path": "/docs/a.txt", "bytes": at_end })),
            ("fs_write-at", json!({ "path": "/docs/a.txt", "bytes": at_end - 1, "text": "x" })),
        ];
        for (tool, args) in ways {
            for world in worlds(", bytes_max = 100") {
                let reply = world.ask(tool, &args);
                assert_eq!(!reply.is_error(), fits, "{tool} {more}: {reply:?}");
                let held: u64 = ["docs/a.txt", "docs/new.txt"]
                    .iter()
                    .filter(|path| world.path(path).exists())
                    .map(|path| length(&world, path))
                    .sum();
                assert!(held <= 100, "{tool} {more}: {held}");
                if !fits {
                    let record = &world.call_records()[0];
                    assert!(record["files"].to_string().contains("bytes_max"), "{record}");
                }
            }
        }
    }
}

#[test]
fn a_file_of_an_exabyte_that_holds_nothing_counts_as_long_as_it_is() {
    for world in worlds("") {
        for (tool, args) in [
            ("fs_resize", json!({ "path": "/docs/a.txt", "bytes": (1_u64 << 60).to_string() })),
            (
                "fs_write-at",
                json!({ "path": "/docs/a.txt", "bytes": (1_u64 << 60).to_string(), "text": "x" }),
            ),
        ] {
            error(&world, tool, &args);
            assert_eq!(length(&world, "docs/a.txt"), 4);
        }
    }
}

#[test]
fn what_is_deleted_or_cut_short_gives_its_room_back() {
    for world in worlds(", bytes_max = 100") {
        answer(&world, "fs_put", &put("/docs/b.txt", 90));
        error(&world, "fs_put", &put("/docs/c.txt", 90));
        answer(&world, "fs_erase", &json!({ "path": "/docs/b.txt" }));
        answer(&world, "fs_put", &put("/docs/c.txt", 90));
        answer(&world, "fs_cut", &json!({ "path": "/docs/c.txt" }));
        answer(&world, "fs_put", &put("/docs/d.txt", 90));
        // Overwriting the same bytes uses space once.
        answer(&world, "fs_put", &put("/docs/d.txt", 96));
    }
    let [world, _] = worlds(", bytes_max = 100");
    answer(&world, "fs_put", &put("/docs/b.txt", 96));
    answer(&world, "fs_overwrite", &json!({ "path": "/docs/b.txt", "text": "y".repeat(96), "times": 5 }));
}

#[test]
fn files_folders_and_links_count_to_entries_max() {
    for (count, fits) in [(2, true), (3, true), (4, false)] {
        let [world, _] = worlds(", entries_max = 4");
        let reply = world.ask("fs_make-many", &json!({ "path": "/docs", "count": count }));
        assert_eq!(!reply.is_error(), fits, "{count}: {reply:?}");
        assert!(std::fs::read_dir(world.path("docs")).unwrap().count() <= 4);
    }
    for world in worlds(", entries_max = 1") {
        for (tool, args) in [
            ("fs_put", put("/docs/b.txt", 1)),
            ("fs_make", json!({ "path": "/docs/folder" })),
            ("fs_link-to", json!({ "path": "/docs/a.txt", "to": "/docs/b.txt" })),
        ] {
            error(&world, tool, &args);
            let record = world.call_records().pop().unwrap();
            assert!(record["files"].to_string().contains("entries_max"), "{tool}: {record}");
        }
        assert_eq!(std::fs::read_dir(world.path("docs")).unwrap().count(), 1);
        // Existing files may be overwritten and moved.
        answer(&world, "fs_put", &put("/docs/a.txt", 5));
        answer(&world, "fs_move-to", &json!({ "path": "/docs/a.txt", "to": "/docs/b.txt" }));
        answer(&world, "fs_erase", &json!({ "path": "/docs/b.txt" }));
        answer(&world, "fs_make", &json!({ "path": "/docs/folder" }));
    }
}

#[test]
fn so_much_is_open_at_once_and_no_more() {
    for world in worlds(", open_max = 3") {
        for (count, fits) in [(2, true), (3, true), (4, false)] {
            let reply = world.ask("fs_open-many", &json!({ "path": "/docs/a.txt", "count": count }));
            assert_eq!(!reply.is_error(), fits, "{count}: {reply:?}");
        }
        let record = world.call_records().pop().unwrap();
        assert!(record["files"].to_string().contains("open_max"), "{record}");
    }
}

#[test]
fn what_a_stream_keeps_open_counts_as_open_and_what_is_let_go_of_does_not() {
    for world in worlds(", open_max = 3") {
        for (count, keeps, fits) in [(3, true, true), (4, true, false), (20, false, true)] {
            let args = json!({ "path": "/docs/a.txt", "count": count, "keeps": keeps });
            let reply = world.ask("fs_stream-many", &args);
            assert_eq!(!reply.is_error(), fits, "{count} {keeps}: {reply:?}");
        }
    }
}

#[test]
fn what_is_opened_at_once_is_not_more_than_may_be_open_at_any_moment() {
    let [_, world] = worlds(", open_max = 4");
    // It uses fuel while it keeps the host waiting.
    let world = world.limit("fuel = 100_000_000_000");
    let file = world.path("docs/a.txt").canonicalize().unwrap();
    let server = world.serve(Transport::Http);
    // The host cannot look at what it opened meanwhile, so files opened in excess would stay open until then.
    let args = json!({ "path": "/docs/a.txt", "count": 64, "wait-ns": 1_000_000_000_u64 });
    let call = server.calling("fs_open-at-once", args);
    let mut seen = Vec::new();
    while !call.is_finished() {
        seen.push(open_in(server.pid(), &file));
        std::thread::sleep(Duration::from_millis(5));
    }
    let reply = call.join().unwrap();
    assert!(!reply.is_error(), "{reply:?}");
    let told = &reply.structured()["result"];
    assert_eq!(told[0], 4, "{told}");
    let refused: Vec<&str> = told[1].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
    assert_eq!(refused.len(), 60);
    assert!(refused.iter().all(|why| why.contains("Quota")), "{refused:?}");
    assert_eq!(seen.iter().max(), Some(&4), "{seen:?}");
    assert!(world.call_records()[0]["files"].to_string().contains("open_max"));
}

#[test]
fn a_pipe_a_socket_and_a_device_are_not_opened_and_nothing_waits_for_them() {
    for world in worlds("") {
        let made = Command::new("mkfifo").arg(world.path("docs/pipe")).status().unwrap();
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(world.path("docs/socket")).unwrap();
        std::os::unix::fs::symlink("pipe", world.path("docs/link")).unwrap();
        for name in ["pipe", "socket", "link"] {
            let path = format!("/docs/{name}");
            error(&world, "fs_look", &json!({ "path": path }));
            error(&world, "fs_put", &json!({ "path": path, "text": "x" }));
        }
        // The tool itself reported the error: none of the calls waited for its deadline.
        for record in world.call_records() {
            assert_eq!(record["outcome"]["kind"], "err", "{record}");
        }
    }
}

#[test]
fn nothing_is_moved_or_linked_from_one_granted_folder_into_another() {
    let folders = r#"files = [
        { host = "docs", guest = "/docs", access = "read-write" },
        { host = "out", guest = "/out", access = "read-write", bytes_max = 10 },
    ]"#;
    for guest in ["filing", "awaiting"] {
        let engine = if guest == "awaiting" { "engine = \"async\"" } else { "" };
        let world = World::new()
            .plugin("fs", &test_guest(guest))
            .with(engine)
            .file("docs/a.txt", &"x".repeat(100))
            .folder("out")
            .grant(folders);
        for tool in ["fs_move-to", "fs_link-to"] {
            error(&world, tool, &json!({ "path": "/docs/a.txt", "to": "/out/a.txt" }));
        }
        assert_eq!(std::fs::read_dir(world.path("out")).unwrap().count(), 0);
        assert_eq!(length(&world, "docs/a.txt"), 100);
    }
}

#[test]
fn a_listing_that_would_fill_the_hosts_memory_is_refused() {
    // Creating so many files takes long, so all four worlds share the folder.
    let folder = tempfile::tempdir().unwrap();
    let make = |n: u32| drop(std::fs::File::create(folder.path().join(n.to_string())).unwrap());
    (0..65_536).for_each(make);
    let grant =
        format!(r#"files = [{{ host = "{}", guest = "/docs", access = "read" }}]"#, folder.path().display());
    let mut worlds = Vec::new();
    for (guest, engine) in [("filing", "sync"), ("awaiting", "async")] {
        for isolation in ["thread", "process"] {
            let world = World::new()
                .plugin("fs", &test_guest(guest))
                .with(&format!("engine = \"{engine}\"\nisolation = \"{isolation}\""))
                .grant(&grant)
                .limit("output_bytes_max = 4000000");
            worlds.push(world);
        }
    }
    let path = json!({ "path": "/docs" });
    assert_eq!(value(&worlds[0], "fs_names", &path).as_array().unwrap().len(), 65_536);
    make(65_536);
    for world in &worlds {
        error(world, "fs_names", &path);
        assert_eq!(world.call_records().pop().unwrap()["outcome"]["kind"], "err");
    }
}

#[test]
fn room_for_what_cannot_grow_and_room_that_is_none_are_refused() {
    let world = |line: &str| World::new().plugin("fs", &test_guest("filing")).folder("docs").grant(line);
    let read = r#"files = [{ host = "docs", guest = "/docs", access = "read", bytes_max = 10 }]"#;
    assert_misconfigured(&world(read), "cannot grow");
    for wrong in ["bytes_max = 0", "entries_max = -1", "open_max = 0", "open_max = 100000", "quota = 1"] {
        let line =
            format!(r#"files = [{{ host = "docs", guest = "/docs", access = "read-write", {wrong} }}]"#);
        assert_misconfigured(&world(&line), "files[0]");
    }
}

#[test]
fn in_a_worker_what_is_open_counts_in_the_order_in_which_it_is_opened_and_let_go_of() {
    apart(&[
        so_much_is_open_at_once_and_no_more,
        what_a_stream_keeps_open_counts_as_open_and_what_is_let_go_of_does_not,
        what_is_opened_at_once_is_not_more_than_may_be_open_at_any_moment,
    ]);
}
