//! `learn`: runs a tool, refuses uses that are not granted, and prints the grant that it would need. With this grant
//! the same call succeeds; refused operations were not performed.

use std::net::{TcpListener, UdpSocket};

use serde_json::{Value, json};
use toolgate_tests::web::{Web, converse, respond, was_connected, was_sent};
use toolgate_tests::{Ended, World, plugin, test_guest};

/// The output, and the lines of the proposed grant.
struct Learned {
    ended: Ended,
    grant: Vec<String>,
}

fn learn(world: &World, tool: &str, args: &Value, more: &[&str]) -> Learned {
    let name = tool.split('_').next().unwrap();
    let text = args.to_string();
    let ended = world.run(&[&["learn", name, tool, "--args", &text], more].concat());
    assert_eq!(ended.code, 0, "{}", ended.said());
    let lines: Vec<&str> =
        ended.stdout.lines().skip_while(|line| line.starts_with("# ") || *line == "#").collect();
    assert_eq!(lines[0], "[plugin.grant]", "{}", ended.stdout);
    let grant: Vec<String> = lines[1..].iter().map(|line| (*line).to_owned()).collect();
    Learned { ended, grant }
}

impl Learned {
    /// Adds the proposed grant to a world, with `folder` for the one that only an operator can name.
    fn paste(&self, world: World, folder: &str) -> World {
        self.grant.iter().fold(world, |world, line| world.grant(&line.replace("DIRECTORY", folder)))
    }

    fn comments(&self) -> String {
        self.ended.stdout.lines().filter(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }
}

fn request(authority: &str, method: &str, path: &str) -> Value {
    json!({ "method": method, "scheme": "http", "authority": authority, "path": path, "headers": [], "body": "" })
}

#[test]
fn a_request_is_learned_and_the_printed_rule_lets_exactly_it_through() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let here = format!("127.0.0.1:{}", web.address.port());
    let requesting = || World::new().plugin("web", &test_guest("requesting"));
    let learned = learn(&requesting(), "web_run", &request(&here, "GET", "/a?x=1"), &[]);
    assert!(web.heard().is_empty(), "what was refused was not sent");
    assert!(learned.comments().contains(&format!("GET http://{here}/a")), "{}", learned.ended.stdout);
    let world = learned.paste(requesting(), "");
    assert_eq!(world.call("web_run", &request(&here, "GET", "/a?x=1")).code, 0);
    for other in [request(&here, "POST", "/a"), request(&here, "GET", "/b"), request(&here, "GET", "/a/b")] {
        assert_eq!(world.call("web_run", &other).code, 1, "{other}");
    }
}

#[test]
fn files_are_learned_by_a_plugin_that_sees_no_folder() {
    let filing = || World::new().plugin("fs", &test_guest("filing")).file("docs/a.txt", "text");
    for (tool, args, access) in [
        ("fs_look", json!({ "path": "/docs/a.txt" }), "\"read\""),
        ("fs_names", json!({ "path": "/docs" }), "\"read\""),
        ("fs_put", json!({ "path": "/docs/new.txt", "text": "new" }), "\"read-write\""),
        ("fs_make", json!({ "path": "/docs/folder" }), "\"read-write\""),
        ("fs_move-to", json!({ "path": "/docs/a.txt", "to": "/docs/b.txt" }), "\"read-write\""),
    ] {
        let world = filing();
        let learned = learn(&world, tool, &args, &[]);
        assert_eq!(toolgate_tests::world::names(&world.path("docs")), ["a.txt"], "nothing was done");
        let wanted = format!(r#"files = [{{ host = "DIRECTORY", guest = "/docs", access = {access} }}]"#);
        assert_eq!(learned.grant, [wanted], "{tool}: {}", learned.ended.said());
        assert_eq!(filing().call(tool, &args).code, 1, "{tool} fails without");
        let pasted = learned.paste(filing(), "docs");
        let ended = pasted.call(tool, &args);
        assert_eq!(ended.code, 0, "{tool}: {}", ended.said());
    }
}

#[test]
fn a_plugin_of_wasi_0_3_is_learned_by_the_same_words() {
    let awaiting = || {
        let world = World::new().plugin("p", &test_guest("awaiting")).with("engine = \"async\"");
        world.file("docs/a.txt", "text")
    };
    for (tool, args, access) in [
        ("p_look", json!({ "path": "/docs/a.txt" }), "\"read\""),
        ("p_names", json!({ "path": "/docs" }), "\"read\""),
        ("p_put", json!({ "path": "/docs/new.txt", "text": "new" }), "\"read-write\""),
    ] {
        let world = awaiting();
        let learned = learn(&world, tool, &args, &[]);
        assert_eq!(toolgate_tests::world::names(&world.path("docs")), ["a.txt"], "nothing was done");
        let wanted = format!(r#"files = [{{ host = "DIRECTORY", guest = "/docs", access = {access} }}]"#);
        assert_eq!(learned.grant, [wanted], "{tool}: {}", learned.ended.said());
        assert_eq!(learned.paste(awaiting(), "docs").call(tool, &args).code, 0, "{tool}");
    }
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let here = format!("127.0.0.1:{}", web.address.port());
    let fetching = || World::new().plugin("p", &test_guest("fetching")).with("engine = \"async\"");
    let learned = learn(&fetching(), "p_run", &request(&here, "GET", "/a"), &[]);
    assert!(web.heard().is_empty() && learned.grant.len() == 1, "{:?}", learned.grant);
    assert_eq!(learned.paste(fetching(), "").call("p_run", &request(&here, "GET", "/a")).code, 0);
}

#[test]
fn configuration_keys_are_learned() {
    let configured = || World::new().plugin("conf", &test_guest("configured"));
    let learned = learn(&configured(), "conf_get", &json!({ "key": "a \"key\"" }), &[]);
    assert_eq!(learned.grant, [r#"config = { "a \"key\"" = "VALUE" }"#]);
    let told = learned.paste(configured(), "").call("conf_get", &json!({ "key": "a \"key\"" }));
    assert_eq!((told.code, told.stdout.as_str()), (0, "\"VALUE\"\n"));
}

/// Plugins that use sockets, one for each WASI version.
const SOCKETS: [fn() -> World; 2] = [
    || World::new().plugin("net", &test_guest("connecting")),
    || World::new().plugin("net", &test_guest("dialing")).with("engine = \"async\""),
];

#[test]
fn a_place_for_a_socket_is_learned_and_the_printed_rule_leads_there_and_nowhere_else() {
    for net in SOCKETS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = json!({ "address": format!("127.0.0.1:{port}") });
        let learned = learn(&net(), "net_tcp", &here, &[]);
        assert!(!was_connected(&listener), "what was refused was not done");
        assert_eq!(
            learned.grant,
            [format!(r#"sockets = [{{ host = "127.0.0.1", port = {port}, private = true }}]"#)],
            "{}",
            learned.ended.said()
        );
        let pasted = learned.paste(net(), "");
        assert_eq!(pasted.call("net_tcp", &here).code, 0);
        assert_eq!(pasted.call("net_tcp", &json!({ "address": format!("127.0.0.2:{port}") })).code, 1);

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        for tool in ["net_udp", "net_tell"] {
            let args = json!({ "address": format!("127.0.0.1:{port}"), "text": "x" });
            let learned = learn(&net(), tool, &args, &[]);
            assert!(!was_sent(&socket), "{tool}: what was refused was not done");
            let rule =
                format!(r#"{{ host = "127.0.0.1", port = {port}, protocol = "udp", private = true }}"#);
            assert_eq!(learned.grant, [format!("sockets = [{rule}]")], "{tool}: {}", learned.ended.said());
            assert_eq!(learned.paste(net(), "").call(tool, &args).code, 0, "{tool}");
            assert!(was_sent(&socket));
        }
        for (tool, what) in [("net_listen-at", "listen"), ("net_bind-at", "bind 127.0.0.1:0")] {
            let learned = learn(&net(), tool, &json!({ "address": "127.0.0.1:0" }), &[]);
            assert_eq!(learned.grant, ["sockets = []"], "{tool}");
            let told = format!("no grant covers {what} ");
            assert!(learned.comments().contains(&told), "{tool}: {}", learned.ended.stdout);
        }
    }
}

#[test]
fn a_name_for_sockets_is_learned_once_it_leads_somewhere_and_not_looked_up_before() {
    for net in SOCKETS {
        let server = converse(|heard| format!("you said {heard}").into_bytes());
        let port = server.port();
        let args = json!({ "address": format!("localhost:{port}"), "text": "hello" });
        let first = learn(&net(), "net_talk", &args, &[]);
        assert_eq!(first.grant, ["sockets = []"]);
        assert!(first.comments().contains("#   lookup of localhost"), "{}", first.ended.stdout);
        assert!(first.comments().contains("with the port that you expect"), "{}", first.ended.stdout);
        let expected = || net().grant(r#"sockets = [{ host = "localhost", port = 1, private = true }]"#);
        let second = learn(&expected(), "net_talk", &args, &[]);
        let rule = format!(r#"{{ host = "localhost", port = {port}, private = true }}"#);
        assert!(second.grant[0].ends_with(&format!(", {rule}]")), "{:?}", second.grant);
        let ended = second.paste(net(), "").call("net_talk", &args);
        assert_eq!(ended.code, 0, "{}", ended.said());
    }
}

#[test]
fn a_store_is_learned_and_nothing_is_kept_before() {
    let storing = || World::new().plugin("kv", &test_guest("storing"));
    let args = json!({ "bucket": "b", "key": "k", "value": "AA==" });
    let world = storing();
    let learned = learn(&world, "kv_set", &args, &[]);
    assert_eq!(learned.grant, ["keyvalue = { bytes_max = 1048576, entries_max = 10000 }"]);
    assert!(!world.path("state/keyvalue").exists(), "nothing was kept");
    let ended = learned.paste(storing(), "").call("kv_set", &args);
    assert_eq!(ended.code, 0, "{}", ended.said());
}

#[test]
fn what_has_no_room_is_granted_already_and_the_bounds_of_a_folder_stay() {
    let rule =
        r#"files = [{ host = "docs", guest = "/docs", access = "read-write", bytes_max = 5, open_max = 7 }]"#;
    let world = World::new().plugin("fs", &test_guest("filing")).folder("docs").grant(rule);
    let learned = learn(&world, "fs_put", &json!({ "path": "/docs/a", "text": "too much" }), &[]);
    assert!(learned.comments().contains("#   nothing"), "{}", learned.ended.stdout);
    let docs = world.path("docs");
    assert_eq!(learned.grant, [rule.replace(r#""docs""#, &format!("{:?}", docs.display().to_string()))]);
    let files = world.call_records()[0]["files"].clone();
    assert!(files.to_string().contains(r#""access":"bytes_max""#), "{files}");
}

#[test]
fn a_plugin_that_fails_while_one_learns_is_not_put_on_hold() {
    let world = World::new().plugin("panic", &test_guest("panicking")).limit("faults_max = 1");
    let learned = learn(&world, "panic_run", &json!({ "why": "x" }), &["--times", "4"]);
    let said = learned.ended.stderr;
    assert!(said.contains("call 4: ") && !said.contains("on hold"), "{said}");
    let kinds: Vec<Value> = world
        .records()
        .iter()
        .map(|record| record["outcome"]["kind"].clone())
        .filter(|kind| !kind.is_null())
        .collect();
    assert_eq!(kinds, ["trap", "trap", "trap", "trap"]);
    assert!(world.records().iter().all(|record| record["event"] != "hold"), "{:?}", world.records());
}

#[test]
fn a_clock_and_random_numbers_are_learned_where_the_grant_says_none() {
    let timing = World::new().plugin("time", &test_guest("timing")).grant(r#"clock = "none""#);
    let learned = learn(&timing, "time_wall-ns", &json!({}), &[]);
    assert_eq!(learned.grant, [r#"clock = "coarse""#], "{}", learned.ended.said());
    let dicing = World::new().plugin("dice", &test_guest("dicing")).grant(r#"random = "none""#);
    let learned = learn(&dicing, "dice_run", &json!({ "bytes": 8 }), &[]);
    assert_eq!(learned.grant, [r#"random = "secure""#], "{}", learned.ended.said());
}

#[test]
fn the_example_plugins_are_learned_step_by_step_until_nothing_is_refused() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let url = format!("http://127.0.0.1:{}/page", web.address.port());
    for (name, tool, args) in [
        ("files", "files_read", json!({ "path": "/docs/a.txt" })),
        ("files", "files_search", json!({ "folder": "/docs", "text": "text" })),
        ("notes", "notes_write", json!({ "name": "one", "text": "text" })),
        ("fetch", "fetch_get", json!({ "url": url })),
        ("hello", "hello_add", json!({ "a": 1, "b": 2 })),
    ] {
        let world = || World::new().plugin(name, &plugin(name)).file("docs/a.txt", "text");
        let first = learn(&world(), tool, &args, &["--bare"]);
        let pasted = first.paste(world(), "docs");
        let ended = pasted.call(tool, &args);
        assert_eq!(ended.code, 0, "{tool}: {}", ended.said());
        let again = learn(&pasted, tool, &args, &[]);
        assert!(again.comments().contains("#   nothing"), "{tool}: {}", again.ended.stdout);
        assert_eq!(again.grant.len(), first.grant.len(), "{tool}: the present grant stays");
    }
}

#[test]
fn a_base_is_the_present_grant_or_a_file_or_nothing() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let port = web.address.port();
    let here = format!("127.0.0.1:{port}");
    let rule = format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, methods = ["GET"], paths = ["/a"], private = true }}]"#
    );
    let world = || World::new().plugin("web", &test_guest("requesting")).grant(&rule);
    let ask = request(&here, "GET", "/a");
    assert_eq!(learn(&world(), "web_run", &ask, &[]).grant, std::slice::from_ref(&rule));
    assert_eq!(web.heard().len(), 1, "what is granted is done");
    let bare = learn(&world(), "web_run", &ask, &["--bare", "--times", "3"]);
    assert_eq!((bare.grant, web.heard().len()), (vec![rule.clone()], 1));
    assert!(bare.ended.stderr.contains("call 3: "), "{}", bare.ended.stderr);
    let both = learn(&world(), "web_run", &request(&here, "GET", "/b"), &[]);
    assert!(both.grant[0].contains(r#"["/a"]"#) && both.grant[0].contains(r#"["/b"]"#), "{:?}", both.grant);

    let empty = world().file("grant.toml", "[plugin.grant]\nhttp = []\n");
    assert_eq!(
        learn(&empty, "web_run", &ask, &["--grant-file", "grant.toml"]).grant,
        std::slice::from_ref(&rule)
    );
    assert_eq!(web.heard().len(), 1);
    for (file, why) in [
        ("[plugin.grant]\nfiles = [{ host = \"state\", guest = \"/s\" }]\nhttp = []\n", "state directory"),
        ("[plugin.grant]\nhtpp = []\n", "did you mean"),
        ("http = []\n", "plugin.grant"),
    ] {
        let world = world().folder("state").file("grant.toml", file);
        let ended = world.run(&["learn", "web", "web_run", "--grant-file", "grant.toml"]);
        assert_eq!(ended.code, 2, "{}", ended.said());
        assert!(ended.stderr.contains(why), "{why}: {}", ended.stderr);
    }
}

#[test]
fn what_a_plugin_asks_for_cannot_widen_the_printed_grant_or_write_into_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let requesting = || World::new().plugin("web", &test_guest("requesting"));
    for path in ["/*", "/a*b"] {
        let learned = learn(&requesting(), "web_run", &request(&here, "GET", path), &[]);
        assert_eq!(learned.grant, ["http = []"], "{path}");
    }
    for authority in ["169.254.169.254", "metadata.google.internal"] {
        let learned = learn(&requesting(), "web_run", &request(authority, "GET", "/"), &[]);
        assert_eq!(learned.grant, ["http = []"], "{authority}");
        assert!(learned.comments().contains("no grant reaches it"), "{}", learned.ended.stdout);
    }
    assert!(!was_connected(&listener));
    let filing = || World::new().plugin("fs", &test_guest("filing"));
    for path in ["/docs/\n[plugin.grant]\nclock = \"precise\"\n#/x", "/docs/../../x", "/a/\u{202e}b/c"] {
        let learned = learn(&filing(), "fs_look", &json!({ "path": path }), &[]);
        assert!(learned.grant.is_empty(), "{path:?}: {:?}", learned.grant);
        assert!(!learned.ended.said().contains('\u{202e}'));
    }
}

#[test]
fn learning_is_recorded_as_that_and_is_no_use_of_a_grant() {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .file("docs/a.txt", "text")
        .grant(r#"files = [{ host = "docs", guest = "/docs" }]"#);
    learn(&world, "fs_look", &json!({ "path": "/docs/a.txt" }), &[]);
    learn(&world, "fs_look", &json!({ "path": "/etc/passwd" }), &[]);
    let records = world.call_records();
    assert!(records.iter().all(|record| record["learning"] == true), "{records:?}");
    assert_eq!(records[1]["files"], json!([{ "path": "/etc/passwd", "access": "read", "refused": true }]));
    let told = world.run(&["explain", "fs", "--unused"]);
    assert!(
        told.stdout.contains("0 recorded calls") && told.stdout.contains("docs as /docs"),
        "{}",
        told.stdout
    );
    assert_eq!(world.run(&["learn", "fs", "fs_nothing"]).code, 3);
    assert_eq!(world.run(&["learn", "nobody", "fs_look"]).code, 2);
    assert_eq!(world.run(&["learn", "fs", "fs_look", "--times", "0"]).code, 2);
    world.put("plugins/fs.wasm.sigstore.json", b"{}", 0o644);
    assert_eq!(world.run(&["learn", "fs", "fs_look"]).code, 3, "verified like any load");
}
