//! Attempts to leave a granted folder.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use toolgate_tests::{Transport, World, apart, test_guest};

fn world() -> World {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "inside")
        .file("outside/secret.txt", "OUTSIDE")
        .grant(r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }]"#);
    symlink("../outside/secret.txt", world.path("docs/relative")).unwrap();
    symlink(world.path("outside/secret.txt"), world.path("docs/absolute")).unwrap();
    symlink("../outside", world.path("docs/folder")).unwrap();
    symlink("/proc/self/root", world.path("docs/magic")).unwrap();
    symlink("/proc/self/cwd", world.path("docs/cwd")).unwrap();
    symlink("a.txt", world.path("docs/within")).unwrap();
    world
}

#[test]
fn no_path_leads_out_of_a_granted_folder() {
    let world = world();
    for path in [
        "/docs/../outside/secret.txt",
        "/docs/./../outside/secret.txt",
        "/docs//../outside/secret.txt",
        "../outside/secret.txt",
        "/docs/relative",
        "/docs/absolute",
        "/docs/folder/secret.txt",
        "/docs/magic/etc/passwd",
        "/docs/cwd/toolgate.toml",
        "/outside/secret.txt",
        "/etc/passwd",
        "/proc/self/environ",
    ] {
        let read = world.ask("fs_look", &json!({ "path": path }));
        assert!(read.is_error(), "{path}: {read:?}");
        let wrote = world.ask("fs_put", &json!({ "path": path, "text": "BROKEN" }));
        assert!(wrote.is_error(), "{path}: {wrote:?}");
    }
    assert_eq!(std::fs::read_to_string(world.path("outside/secret.txt")).unwrap(), "OUTSIDE");
    // A link that stays inside is allowed.
    assert_eq!(world.ask("fs_look", &json!({ "path": "/docs/within" })).text(), "inside");
}

#[test]
fn nothing_is_moved_or_linked_across_the_border_of_a_folder() {
    let world = world();
    for (tool, path, to) in [
        ("fs_move-to", "/docs/a.txt", "/docs/../outside/a.txt"),
        ("fs_move-to", "/docs/folder/secret.txt", "/docs/b.txt"),
        ("fs_move-to", "/docs/a.txt", "/docs/folder/a.txt"),
        ("fs_link-to", "/docs/folder/secret.txt", "/docs/b.txt"),
        ("fs_link-to", "/docs/a.txt", "/docs/folder/a.txt"),
        ("fs_link-to", "/docs/../outside/secret.txt", "/docs/b.txt"),
    ] {
        let reply = world.ask(tool, &json!({ "path": path, "to": to }));
        assert!(reply.is_error(), "{tool} {path} {to}: {reply:?}");
    }
    assert_eq!(toolgate_tests::world::names(&world.path("outside")), ["secret.txt"]);
    assert!(world.path("docs/a.txt").exists() && !world.path("docs/b.txt").exists());
}

#[test]
fn a_file_that_is_read_only_is_not_cut_short() {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "inside")
        .grant(r#"files = [{ host = "docs", guest = "/docs" }]"#);
    for path in ["/docs/a.txt", "/docs/a.txt/", "/docs/./a.txt"] {
        assert!(world.ask("fs_cut", &json!({ "path": path })).is_error(), "{path}");
    }
    assert_eq!(std::fs::read_to_string(world.path("docs/a.txt")).unwrap(), "inside");
}

#[test]
fn a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere_else() {
    let world = world();
    std::fs::create_dir(world.path("docs/inner")).unwrap();
    std::fs::write(world.path("docs/inner/secret.txt"), "inside").unwrap();
    symlink("../outside", world.path("docs/link")).unwrap();
    let (inner, link) = (world.path("docs/inner"), world.path("docs/link"));
    let swapping = Arc::new(AtomicBool::new(true));
    let goes_on = Arc::clone(&swapping);
    let swaps = std::thread::spawn(move || {
        let mut swaps = 0_u64;
        while goes_on.load(Ordering::Relaxed) {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            renameat_with(CWD, &inner, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            swaps += 1;
        }
        swaps
    });
    let outside = world.path("outside/secret.txt");
    let server = world.limit("fuel = 100_000_000_000").serve(Transport::Http);
    let seen = server.call("fs_look-often", json!({ "path": "/docs/inner/secret.txt", "times": 2_000 }));
    let wrote = json!({ "path": "/docs/inner/secret.txt", "text": "inside", "times": 2_000 });
    assert!(!server.call("fs_put-often", wrote).is_error());
    swapping.store(false, Ordering::Relaxed);
    assert!(swaps.join().unwrap() > 100);
    assert_eq!(seen.structured(), &json!({ "result": ["inside"] }), "{seen:?}");
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "OUTSIDE");
}

#[test]
fn a_slash_at_the_end_makes_no_file_a_folder_and_none_anew() {
    let world = world();
    for path in ["/docs/a.txt/", "/docs/a.txt/.", "/docs/a.txt/../a.txt/", "/docs/within/", "/docs/new.txt/"]
    {
        for (tool, args) in [
            ("fs_look", json!({ "path": path })),
            ("fs_put", json!({ "path": path, "text": "BROKEN" })),
            ("fs_cut", json!({ "path": path })),
            ("fs_erase", json!({ "path": path })),
            ("fs_link-to", json!({ "path": path, "to": "/docs/b.txt" })),
        ] {
            let reply = world.ask(tool, &args);
            assert!(reply.is_error(), "{tool} {path}: {reply:?}");
        }
    }
    assert_eq!(std::fs::read_to_string(world.path("docs/a.txt")).unwrap(), "inside");
    assert!(!world.path("docs/new.txt").exists() && !world.path("docs/b.txt").exists());
}

#[test]
fn a_name_in_other_letters_is_another_name() {
    let world = world();
    for path in ["/docs/A.TXT", "/DOCS/a.txt", "/Docs/a.txt"] {
        assert!(world.ask("fs_look", &json!({ "path": path })).is_error(), "{path}");
    }
}

#[test]
fn in_a_worker_no_path_leads_out_of_a_granted_folder() {
    apart(&[no_path_leads_out_of_a_granted_folder, nothing_is_moved_or_linked_across_the_border_of_a_folder]);
}
