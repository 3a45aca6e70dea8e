//! Unapproved components that people inspect: they run without any grant and secret, or not at all.

use serde_json::json;
use toolgate_tests::web::{Web, respond};
use toolgate_tests::world::names;
use toolgate_tests::{Ended, World, guest, test_guest};

const WORDS: &str = "these bytes are not approved: they run without any grant and any secret, as with --bare";

fn web() -> Web {
    Web::plain(|_, to| respond(to, "200 OK", &[], "hello"))
}

/// A locked world with a plugin that has a grant and a secret for a server.
fn requesting(web: &Web, isolation: &str) -> World {
    let port = web.address.port();
    World::new()
        .plugin("web", &test_guest("requesting"))
        .with(&format!("isolation = \"{isolation}\""))
        .grant(&format!(
            r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, secret = "token", private = true }}]"#
        ))
        .secret_file("token", "a-token-that-nobody-else-sees")
        .more("\n[[secret]]\nname = \"token\"\nfile = \"token\"\n")
        .locked()
}

fn approve(world: &World) {
    let ended = world.run_as_is(&["plugin", "approve", "--all", "--yes", "--by", "a tester"]);
    assert_eq!(ended.code, 0, "{}", ended.said());
}

/// The component with other bytes and the same behaviour.
fn changed(bytes: Vec<u8>) -> Vec<u8> {
    guest::with_section(bytes, "other", b"bytes")
}

fn learn(world: &World, web: &Web, more: &[&str]) -> Ended {
    let args = json!({ "method": "GET", "scheme": "http", "authority": web.address.to_string(), "path": "/a", "headers": [], "body": "" });
    world.run_as_is(&[&["learn", "web", "web_run", "--args", &args.to_string()], more].concat())
}

#[test]
fn learning_gives_unapproved_bytes_neither_grant_nor_secret() {
    for isolation in ["thread", "process"] {
        let web = web();
        let world = requesting(&web, isolation);
        world.write();
        let bare = |what: &str| {
            let ended = learn(&world, &web, &[]);
            assert_eq!(ended.code, 0, "{what}: {}", ended.said());
            let first = ended.stderr.lines().next().unwrap_or_default();
            assert!(first.contains(WORDS), "{what}: it says so first: {}", ended.stderr);
            assert!(ended.stdout.contains("without any grant, was refused"), "{what}: {}", ended.stdout);
            assert!(ended.stdout.contains("http = [{"), "{what}: {}", ended.stdout);
        };
        bare("new");
        approve(&world);
        world.install("web", &changed(test_guest("requesting")));
        bare("changed");
        assert!(web.heard().is_empty(), "{:?}", web.heard());
        world.install("web", &test_guest("requesting"));
        let ended = learn(&world, &web, &[]);
        assert_eq!(ended.code, 0, "{}", ended.said());
        assert!(!ended.stderr.contains(WORDS), "{}", ended.stderr);
        let heard = web.heard();
        assert!(heard.len() == 1 && heard[0].contains("a-token-that-nobody-else-sees"), "{heard:?}");
        assert_eq!(world.run_as_is(&["plugin", "remove", "web"]).code, 0);
        world.write();
        bare("removed");
        assert_eq!(web.heard().len(), 1);
    }
}

#[test]
fn the_operators_own_grant_is_for_approved_bytes() {
    let web = web();
    let world = requesting(&web, "thread");
    let port = web.address.port();
    let rule = format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, secret = "token", private = true }}]"#
    );
    world.put("grant.toml", format!("[plugin.grant]\n{rule}\n").as_bytes(), 0o644);
    world.write();
    for what in ["new", "changed"] {
        let refused = learn(&world, &web, &["--grant-file", "grant.toml"]);
        assert_eq!(refused.code, 3, "{what}: {}", refused.said());
        let words = "these bytes are not approved, so --grant-file grants them nothing";
        assert!(refused.stderr.contains(words), "{what}: {}", refused.stderr);
        assert!(world.call_records().is_empty(), "{what}: nothing ran");
        world.install("web", &test_guest("requesting"));
        approve(&world);
        world.install("web", &changed(test_guest("requesting")));
    }
    assert!(web.heard().is_empty());
    world.install("web", &test_guest("requesting"));
    assert_eq!(learn(&world, &web, &["--grant-file", "grant.toml"]).code, 0);
    assert_eq!(web.heard().len(), 1);
    // A changed grant is the operator's own choice, and the bytes are still approved.
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let narrowed =
        text.replace("secret = \"token\", private", "methods = [\"GET\"], secret = \"token\", private");
    assert_ne!(narrowed, text);
    world.put("toolgate.toml", narrowed.as_bytes(), 0o644);
    assert_eq!(world.run_as_is(&["check"]).code, 3);
    assert_eq!(learn(&world, &web, &[]).code, 0);
    assert_eq!(web.heard().len(), 2);
}

#[test]
fn learning_writes_into_no_folder_and_no_store_for_unapproved_bytes() {
    let filing = World::new().plugin("fs", &test_guest("filing")).folder("docs").locked();
    let filing = filing.grant(r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }]"#);
    let storing =
        World::new().plugin("kv", &test_guest("storing")).grant("keyvalue = { bytes_max = 100000 }").locked();
    let put = json!({ "path": "/docs/new.txt", "text": "new" }).to_string();
    let set = json!({ "bucket": "b", "key": "k", "value": "a2VwdA==" }).to_string();
    for (world, args) in [(filing, ["fs", "fs_put", &put]), (storing, ["kv", "kv_set", &set])] {
        let ended = world.run(&["learn", args[0], args[1], "--args", args[2]]);
        assert_eq!(ended.code, 0, "{}", ended.said());
        assert!(ended.stderr.contains(WORDS), "{}", ended.stderr);
        assert!(names(&world.path("docs")).is_empty() && names(&world.path("state/keyvalue")).is_empty());
    }
}

/// A component that contacts this server when it declares its tools and when it is called.
fn reaching(web: &Web) -> Vec<u8> {
    let mut bytes = test_guest("reaching");
    let (from, to) = (b"127.0.0.1:99999", format!("127.0.0.1:{:05}", web.address.port()));
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn whoever_looks_at_unapproved_bytes_gives_them_nothing_while_they_name_their_tools() {
    for isolation in ["thread", "process"] {
        let web = web();
        let port = web.address.port();
        let world = World::new()
            .plugin("r", &reaching(&web))
            .with(&format!("isolation = \"{isolation}\""))
            .grant(&format!(
                r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, secret = "token", private = true }}]"#
            ))
            .grant(r#"files = [{ host = "data", guest = "/data", access = "read-write" }]"#)
            .grant(r#"environment = { A = "b" }"#)
            .folder("data")
            .secret_file("token", "a-token-that-nobody-else-sees")
            .more("\n[[secret]]\nname = \"token\"\nfile = \"token\"\n")
            .locked();
        world.write();
        let nothing = |what: &[&str]| {
            assert!(web.heard().is_empty(), "{what:?}: {:?}", web.heard());
            assert!(names(&world.path("data")).is_empty(), "{what:?}");
        };
        let saw = "While it was listed: request false folder false variables 0.";
        for (args, code) in [
            (&["plugin", "diff", "r"][..], 0),
            (&["explain", "r"], 0),
            (&["check"], 3),
            (&["plugin", "list"], 0),
            (&["learn", "r", "r_go"], 0),
            (&["plugin", "approve", "r", "--yes"], 0),
        ] {
            let ended = world.run_as_is(args);
            assert_eq!(ended.code, code, "{args:?}: {}", ended.said());
            nothing(args);
            if args[0] == "plugin" && args[1] == "diff" {
                assert!(ended.stdout.contains(saw), "{}", ended.stdout);
            }
        }
        // When it is called with its grant, it does all of it.
        let called = world.run_as_is(&["call", "r_go"]);
        assert!(called.stdout.contains("request true folder true variables 1."), "{}", called.said());
        assert_eq!((web.heard().len(), names(&world.path("data")).len()), (1, 1));
        std::fs::remove_file(world.path("data/made")).unwrap();

        // The same while adding it, and while an update waits for approval.
        world.install("r", &changed(reaching(&web)));
        for args in [&["plugin", "diff", "r"][..], &["explain", "r"], &["check"]] {
            world.run_as_is(args);
            assert_eq!((web.heard().len(), names(&world.path("data")).len()), (1, 0), "{args:?}");
        }
        world.install("s", &reaching(&web));
        let rule =
            format!(r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true }}]"#);
        let added = world.run_as_is(&["plugin", "add", "plugins/s.wasm", "--yes", "--grant", &rule]);
        assert_eq!(added.code, 0, "{}", added.said());
        assert_eq!(web.heard().len(), 1);
    }
}
