//! `explain`: what a plugin can reach and why, one question at a time, and grants that were never used. The answers
//! agree with the outcomes of calls.

use serde_json::json;
use toolgate_tests::web::{Web, dead_port, respond};
use toolgate_tests::{Ended, World, test_guest};

fn filing() -> World {
    World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "text")
        .file("docs/deep/b.txt", "deep")
        .file("out/c.txt", "c")
}

const FOLDERS: &str = r#"files = [{ host = "docs", guest = "/docs" }, { host = "out", guest = "/docs/out", access = "read-write" }]"#;

fn explain(world: &World, question: &[&str]) -> Ended {
    world.run(&[&["explain"], question].concat())
}

fn assert_told(world: &World, question: &[&str], code: i32, words: &[&str]) {
    let ended = explain(world, question);
    assert_eq!(ended.code, code, "{question:?}: {}", ended.said());
    assert!(ended.stdout.starts_with(if code == 0 { "allowed: " } else { "denied: " }), "{}", ended.stdout);
    for word in words {
        assert!(ended.stdout.contains(word), "{question:?} does not say {word}: {}", ended.stdout);
    }
}

#[test]
fn all_of_it_is_told_with_where_it_stands_and_no_secret() {
    let world = World::new()
        .plugin("web", &test_guest("requesting"))
        .secret_file("secrets/token", "s3cr3t")
        .grant(r#"http = [{ host = "api.example.com", paths = ["/v1/*"], secret = "token" }]"#)
        .grant(r#"environment = { TZ = "UTC" }"#)
        .limit("fuel = 12345")
        .more("\n[defaults.limits]\ndeadline_ms = 4321\n")
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"Authorization\"\n");
    let told = explain(&world, &["web"]);
    assert_eq!(told.code, 0, "{}", told.said());
    for words in [
        r#"[[rule]] plugin = "*" requires publisher"#,
        "vendor signed as publisher",
        "needs: http",
        "sends GET HEAD to https://api.example.com:443, paths /v1/*; public addresses only, with the secret token",
        "sees the variable TZ",
        "fuel = 12345 ([plugin.limits], line ",
        "deadline_ms = 4321 ([defaults.limits], line ",
        "queue = 64 (default)",
        "it does not ask for `sockets`",
    ] {
        assert!(told.stdout.contains(words), "{words}: {}", told.stdout);
    }
    let clock = World::new().plugin("time", &test_guest("timing"));
    let clock = explain(&clock, &["time"]).stdout;
    assert!(clock.contains("clock (default): coarse: in steps of 1000000 ns"), "{clock}");
    let plain = explain(&filing(), &["fs"]).stdout;
    for words in [
        "needs: nothing",
        "has: nothing\n",
        "`files` is not granted; to grant it, add to its [plugin.grant]: files = [",
    ] {
        assert!(plain.contains(words), "{words}: {plain}");
    }
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let line = text.lines().position(|line| line.starts_with("http = ")).unwrap() + 1;
    assert!(told.stdout.contains(&format!("http (line {line})")), "{}", told.stdout);
    let json = explain(&world, &["web", "--json"]);
    assert_eq!(json.json()["needs"], json!(["http"]));
    assert_eq!(json.json()["trust"]["roles"][0]["signers"], json!(["vendor"]));
    assert!(!format!("{}{}", told.said(), json.said()).contains("s3cr3t"));
    assert!(world.records().is_empty(), "to explain is not to serve");
}

#[test]
fn files_are_allowed_denied_and_narrowed_by_the_folder_that_says_so() {
    let world = filing().grant(FOLDERS);
    assert_told(&world, &["fs", "files", "/docs/a.txt"], 0, &["to read it", "docs as /docs"]);
    assert_told(&world, &["fs", "files", "/docs/out/new.txt", "write"], 0, &["to write it", "/docs/out"]);
    assert_told(&world, &["fs", "files", "/docs/a.txt", "write"], 3, &["for reading only", "line "]);
    assert_told(&world, &["fs", "files", "/etc/passwd"], 3, &["it sees: /docs, /docs/out"]);
    assert_told(&world, &["fs", "files", "/docs/../etc/passwd"], 3, &["out of the granted folder"]);
    assert_told(&filing(), &["fs", "files", "/docs/a.txt"], 3, &["not granted", "files = [{ host"]);
}

#[test]
fn http_is_denied_with_the_nearest_rule_and_what_it_lacks() {
    let world = World::new().plugin("web", &test_guest("requesting")).grant(
        r#"http = [{ host = "*.example.com" }, { host = "api.example.com", methods = ["GET"], paths = ["/v1/*"], port = 8443 }]"#,
    );
    let url = "https://api.example.com:8443/v1/a?x=1";
    assert_told(&world, &["web", "http", url], 0, &["/v1/*", "was not resolved"]);
    assert_told(&world, &["web", "http", "POST", url], 3, &["the method is POST, the rule's are GET"]);
    let other = "https://api.example.com:8443/v2/a";
    assert_told(&world, &["web", "http", other], 3, &["the path is /v2/a, the rule's are /v1/*"]);
    let elsewhere = "https://example.org/";
    assert_told(&world, &["web", "http", elsewhere], 3, &["the host is example.org"]);
    let plain = "http://www.example.com:443/";
    assert_told(&world, &["web", "http", plain], 3, &["the scheme is http, the rule's is https"]);
    assert_told(&world, &["web", "http", "https://a@api.example.com/"], 3, &["user information"]);

    let address = |private: &str| {
        World::new()
            .plugin("web", &test_guest("requesting"))
            .grant(&format!(r#"http = [{{ scheme = "http", host = "10.1.2.3"{private} }}]"#))
    };
    let here = ["web", "http", "http://10.1.2.3/"];
    assert_told(&address(""), &here, 3, &["in a private network", "private = true"]);
    assert_told(&address(", private = true"), &here, 0, &["connects to 10.1.2.3:80"]);
    let empty = World::new().plugin("web", &test_guest("requesting")).grant("http = []");
    assert_told(&empty, &["web", "http", "https://a.example/"], 3, &["has no rules"]);
}

#[test]
fn the_other_words_are_allowed_denied_and_narrowed() {
    let conf = World::new()
        .plugin("conf", &test_guest("configured"))
        .grant(r#"config = { units = "metric" }"#)
        .grant(r#"environment = { TZ = "UTC" }"#);
    assert_told(&conf, &["conf", "config", "units"], 0, &["line "]);
    assert_told(&conf, &["conf", "config", "region"], 3, &["no value `region`"]);
    assert_told(&conf, &["conf", "environment", "TZ"], 0, &["line "]);
    assert_told(&conf, &["conf", "environment", "HOME"], 3, &["no variable `HOME`"]);
    assert_told(&conf, &["conf", "http", "https://a.example/"], 3, &["does not ask for `http`"]);
    assert_told(&conf, &["conf", "sockets", "a.example:1"], 3, &["does not ask for `sockets`"]);

    let timing = || World::new().plugin("time", &test_guest("timing"));
    assert_told(&timing(), &["time", "clock"], 0, &["coarse", "the default", "1000000 ns"]);
    let none = timing().grant(r#"clock = "none""#);
    assert_told(&none, &["time", "clock"], 3, &["line ", r#"clock = "coarse""#]);
    let dicing = || World::new().plugin("dice", &test_guest("dicing"));
    assert_told(&dicing(), &["dice", "random"], 0, &["secure"]);
    assert_told(&dicing().grant(r#"random = "seeded:7""#), &["dice", "random"], 0, &["seeded:7"]);
    assert_told(&dicing().grant(r#"random = "none""#), &["dice", "random"], 3, &["ends the call"]);

    let connecting = || World::new().plugin("net", &test_guest("connecting"));
    let net = connecting().grant("sockets = []");
    assert_told(&net, &["net", "sockets", "127.0.0.1:80"], 3, &["empty"]);
    let store = World::new().plugin("kv", &test_guest("storing")).grant("keyvalue = {}");
    assert_told(&store, &["kv", "keyvalue"], 3, &["empty"]);
    let store = World::new().plugin("kv", &test_guest("storing")).grant("keyvalue = { entries_max = 7 }");
    assert_told(&store, &["kv", "keyvalue"], 0, &["1048576 bytes in 7 entries", "line "]);
    let told = explain(&store, &["kv"]).stdout;
    assert!(told.contains("keeps up to 1048576 bytes in 7 entries"), "{told}");

    let net = connecting().grant(
        r#"sockets = [{ host = "db.example.com", port = 5432 }, { host = "10.1.2.3", port = 53, protocol = "udp", private = true }]"#,
    );
    assert_told(&net, &["net", "sockets", "DB.example.com:5432"], 0, &["5432", "line ", "was not resolved"]);
    assert_told(
        &net,
        &["net", "sockets", "db.example.com:5432", "udp"],
        3,
        &["for udp at port 5432", "it has: "],
    );
    assert_told(&net, &["net", "sockets", "db.example.com:5433", "tcp"], 3, &["for tcp at port 5433"]);
    assert_told(&net, &["net", "sockets", "a.example.com:5432"], 3, &["names a.example.com"]);
    assert_told(&net, &["net", "sockets", "10.1.2.3:53", "udp"], 0, &["protocol = \"udp\"", "line "]);
    assert_told(&net, &["net", "sockets", "10.1.2.3:53"], 3, &["covers tcp://10.1.2.3:53"]);
    assert_told(&net, &["net", "sockets", "*.example.com:53"], 3, &["no grant covers such a place"]);
    assert_eq!(explain(&net, &["net", "sockets", "10.1.2.3:53", "sctp"]).code, 2);
    let told = explain(&net, &["net"]).stdout;
    for words in [
        "connects to tcp://db.example.com:5432; public addresses only",
        "exchanges datagrams with udp://10.1.2.3:53; private networks and this machine too",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let folders = filing().grant(
        r#"files = [{ host = "docs", guest = "/docs" }, { host = "out", guest = "/out", access = "read-write", bytes_max = 5, open_max = 7 }]"#,
    );
    let told = explain(&folders, &["fs"]).stdout;
    assert!(told.contains("as /docs\n") && told.contains("as /out; bytes_max = 5; open_max = 7\n"), "{told}");
}

#[test]
fn places_of_sockets_and_stores_that_no_call_used_are_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::new()
        .plugin("net", &test_guest("connecting"))
        .grant(&format!(
            r#"sockets = [{{ host = "localhost", port = {port}, private = true }}, {{ host = "db.example.com", port = 5432 }}]"#
        ))
        .plugin("kv", &test_guest("storing"))
        .grant("keyvalue = { bytes_max = 5 }");
    let ended = world.call("net_tcp", &json!({ "address": format!("localhost:{port}") }));
    assert_eq!(ended.code, 0, "{}", ended.said());
    assert_eq!(world.call("net_lookup", &json!({ "name": "other.example" })).code, 1);
    let net = explain(&world, &["net", "--unused", "--json"]).json();
    assert_eq!(net["unused"].as_array().unwrap().len(), 1, "{net}");
    assert!(net["unused"][0]["what"].as_str().unwrap().contains("db.example.com"), "{net}");
    assert_eq!(net["refused"][0]["what"], "lookup of other.example");
    let kv = explain(&world, &["kv", "--unused"]).stdout;
    assert!(kv.contains("keyvalue: { bytes_max = 5"), "{kv}");
    assert_eq!(world.call("kv_open", &json!({ "name": "b" })).code, 0);
    let kv = explain(&world, &["kv", "--unused"]).stdout;
    assert!(!kv.contains("keyvalue: "), "{kv}");
}

#[test]
fn a_question_that_makes_no_sense_and_a_plugin_that_does_not_load_have_their_codes() {
    let world = filing().grant(FOLDERS);
    for question in [
        &["nobody"][..],
        &[],
        &["fs", "files"],
        &["fs", "files", "docs/a.txt"],
        &["fs", "files", "/docs/a.txt", "append"],
        &["fs", "http", "nonsense"],
        &["fs", "telepathy"],
        &["fs", "--unused", "clock"],
    ] {
        let ended = explain(&world, question);
        assert_eq!(ended.code, 2, "{question:?}: {}", ended.said());
    }
    let needs = World::new().plugin("web", &test_guest("requesting"));
    let refused = explain(&needs, &["web"]);
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("it needs `http`; add to its [plugin.grant]"), "{}", refused.stderr);
    let json = explain(&world, &["fs", "files", "/etc/passwd", "--json"]);
    assert_eq!((json.code, &json.json()["allowed"]), (3, &json!(false)));
}

#[test]
fn the_answer_about_a_request_is_what_a_call_gets() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let port = web.address.port();
    let here = format!("127.0.0.1:{port}");
    let dead = dead_port();
    let grants = [
        "http = []".to_owned(),
        format!(r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true }}]"#),
        format!(
            r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, methods = ["POST"], paths = ["/v1/*"] }}]"#
        ),
        format!(
            r#"http = [{{ scheme = "http", host = "localhost", port = {port} }}, {{ scheme = "http", host = "127.0.0.1", port = {port} }}]"#
        ),
        format!(r#"http = [{{ scheme = "http", host = "localhost", port = {port}, private = true }}]"#),
    ];
    let requests = [
        ("GET", "http", here.as_str(), "/"),
        ("GET", "http", &here, "/v1/a?b=c"),
        ("POST", "http", &here, "/v1/a"),
        ("POST", "http", &here, "/v1/../a"),
        ("POST", "http", &here, "/v1/%2e%2e/a"),
        ("get", "http", &here, "/"),
        ("GET", "https", &here, "/"),
        ("GET", "http", &format!("127.0.0.1:{dead}"), "/"),
        ("GET", "http", &format!("0x7f.1:{port}"), "/"),
        ("GET", "http", &format!("[::ffff:127.0.0.1]:{port}"), "/"),
        ("GET", "http", &format!("user@{here}"), "/"),
        ("GET", "http", &format!("localhost:{port}"), "/"),
    ];
    let mut both = [0, 0];
    for grant in &grants {
        let world = World::new().plugin("web", &test_guest("requesting")).grant(grant);
        for (method, scheme, authority, path) in &requests {
            let url = format!("{scheme}://{authority}{path}");
            let told = explain(&world, &["web", "http", "--resolve", method, &url]).code;
            let asked = json!({ "method": method, "scheme": scheme, "authority": authority, "path": path, "headers": [], "body": "" });
            let done = world.ask("web_run", &asked);
            assert_eq!(told == 0, !done.is_error(), "{grant}: {method} {url}: {told}, {done:?}");
            assert!(told == 0 || told == 3);
            both[usize::from(told == 0)] += 1;
        }
    }
    assert!(both[0] >= 30 && both[1] >= 5, "{both:?}");
}

#[test]
fn the_answer_about_a_file_is_what_a_call_gets() {
    let grants = [
        FOLDERS,
        "files = []",
        r#"files = [{ host = "docs", guest = "/" }]"#,
        r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }]"#,
    ];
    let paths = [
        "/docs/a.txt",
        "/docs/deep/b.txt",
        "/docs/deep/../a.txt",
        "/docs/./a.txt",
        "/docs/out/c.txt",
        "/docs/out/../a.txt",
        "/docs/../docs/a.txt",
        "/docs/../../etc/passwd",
        "/a.txt",
        "/deep/b.txt",
        "/etc/passwd",
        "/docsx/a.txt",
    ];
    let mut both = [0, 0];
    for grant in grants {
        // Existence of a file is not part of the grant, so each path inside leads to an existing file.
        let world = filing().grant(grant).file("docs/docs/a.txt", "").file("docs/etc/passwd", "");
        let world = world.file("docs/out/c.txt", "").file("docs/docsx/a.txt", "");
        let world = world.file("docs/docs/deep/b.txt", "").file("docs/docs/out/c.txt", "");
        for path in paths {
            for (access, tool) in [("read", "fs_look"), ("write", "fs_cut")] {
                let told = explain(&world, &["fs", "files", path, access]).code;
                let done = world.ask(tool, &json!({ "path": path }));
                assert_eq!(told == 0, !done.is_error(), "{grant}: {access} {path}: {told}, {done:?}");
                both[usize::from(told == 0)] += 1;
            }
        }
    }
    assert!(both[0] >= 40 && both[1] >= 20, "{both:?}");
}

#[test]
fn what_no_call_used_is_named_and_what_was_refused_is_too() {
    let rules = r#"http = [{ host = "api.example.com" }]"#;
    let world = filing()
        .file("spare/x", "")
        .grant(r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }, { host = "spare", guest = "/spare" }]"#)
        .plugin("web", &test_guest("requesting"))
        .grant(rules);
    let none = explain(&world, &["fs", "--unused"]);
    assert_eq!(none.code, 0, "{}", none.said());
    assert!(
        none.stdout.contains("there is no record yet") && none.stdout.contains("/docs"),
        "{}",
        none.stdout
    );

    assert_eq!(world.call("fs_look", &json!({ "path": "/docs/a.txt" })).code, 0);
    assert_eq!(world.call("fs_put", &json!({ "path": "/spare/new", "text": "" })).code, 1);
    let asked = json!({ "method": "GET", "scheme": "https", "authority": "other.example", "path": "/a?secret=1", "headers": [], "body": "" });
    assert_eq!(world.call("web_run", &asked).code, 1);
    let mut record = std::fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
    record.push_str("half a li");
    world.put("state/audit.jsonl", record.as_bytes(), 0o600);

    let told = explain(&world, &["fs", "--unused"]);
    for words in [
        "2 recorded calls of fs; the record begins at 20",
        "1 of ",
        "lines of the record could not be read",
        "was read and never written; access = \"read\" is enough",
        "spare as /spare (line ",
        "write /spare/new: in 1 calls, last at 20",
    ] {
        assert!(told.stdout.contains(words), "{words}: {}", told.stdout);
    }
    let web = explain(&world, &["web", "--unused", "--json"]).json();
    assert!(web["unused"][0]["what"].as_str().unwrap().contains("api.example.com"), "{web}");
    assert_eq!(web["refused"][0]["what"], "GET https://other.example/a");
}

#[test]
fn a_plugin_may_be_called_like_the_word_of_a_question() {
    for name in ["files", "http", "clock"] {
        let world =
            World::new().plugin(name, &test_guest("filing")).file("docs/a.txt", "text").grant(FOLDERS);
        let world = world.folder("out");
        assert_told(&world, &[name, "files", "/docs/a.txt"], 0, &["docs"]);
        assert_told(&world, &[name, "files", "/docs/a.txt", "write"], 3, &[]);
        let overview = explain(&world, &[name]);
        assert!(overview.code == 0 && overview.stdout.contains("/docs"), "{name}: {}", overview.said());
        let json = explain(&world, &[name, "files", "/docs/a.txt", "--json"]);
        assert_eq!(json.json()["allowed"], true, "{name}: {}", json.said());
    }
    let world = filing();
    let wrong = explain(&world, &["fs", "folders"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("folders"), "{}", wrong.said());
    for (args, words) in
        [(&["--help"][..], "Questions:"), (&["fs", "files", "--help"], "By the name that the plugin has")]
    {
        let help = explain(&world, args);
        assert!(help.code == 0 && help.stdout.contains(words), "{}", help.said());
    }
}
