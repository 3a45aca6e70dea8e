//! The same capabilities by WASI 0.3 on the asynchronous engine: the same grants decide.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use toolgate_policy::capability::clock::EARLIEST_NS;
use toolgate_tests::web::{Web, respond, was_connected};
use toolgate_tests::{Transport, World, apart, test_guest};

use super::{answer, error, nothing, value};

const MS: u64 = 1_000_000;

fn awaiting() -> World {
    World::new().plugin("p", &test_guest("awaiting")).with("engine = \"async\"")
}

fn fetching() -> World {
    World::new().plugin("p", &test_guest("fetching")).with("engine = \"async\"")
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

#[test]
fn without_the_asynchronous_engine_it_is_refused_with_the_line_that_helps() {
    let check = World::new().plugin("p", &test_guest("awaiting")).run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains(r#"engine = "async""#), "{}", check.stderr);
}

#[test]
fn the_clocks_are_as_fine_as_granted_and_their_waits_last() {
    let coarse = awaiting();
    let wall = number(&value(&coarse, "p_wall-ns", &nothing()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    assert!(wall.is_multiple_of(MS) && now - wall < 60_000 * MS, "{wall}");
    assert!(number(&value(&coarse, "p_monotonic-ns", &nothing())).is_multiple_of(MS));
    for tool in ["p_sleep", "p_sleep-until"] {
        // `sleep` returns the time that it slept, `sleep-until` the clock's time afterwards.
        let base = if tool == "p_sleep" { 0 } else { EARLIEST_NS };
        let slept = number(&value(&coarse, tool, &json!({ "ns": base + 30 * MS }))) - base;
        assert!((30 * MS..10_000 * MS).contains(&slept), "{tool}: {slept}");
    }
    for _ in 0..20 {
        let shown = number(&value(&coarse, "p_monotonic-ns", &nothing()));
        assert!(
            (EARLIEST_NS..EARLIEST_NS + 240_000 * MS).contains(&shown),
            "it begins at one second: {shown}"
        );
    }
    assert_eq!(value(&coarse, "p_is-over", &nothing()), json!(true), "what was shown is over");
    let precise = awaiting().grant("clock = \"precise\"");
    assert!((0..5).any(|_| !number(&value(&precise, "p_monotonic-ns", &nothing())).is_multiple_of(MS)));
    let none = awaiting().grant("clock = \"none\"");
    for (tool, args) in [
        ("p_wall-ns", nothing()),
        ("p_monotonic-ns", nothing()),
        ("p_sleep", json!({ "ns": 1 })),
        ("p_sleep-until", json!({ "ns": 1 })),
    ] {
        let told = error(&none, tool, &args);
        assert!(told.contains(r#"clock = "none""#), "{tool}: {told}");
    }
}

#[test]
fn a_wait_without_end_is_ended_by_the_deadline() {
    let world = awaiting().limit("deadline_ms = 300");
    for tool in ["p_sleep", "p_sleep-until"] {
        let told = error(&world, tool, &json!({ "ns": u64::MAX }));
        assert!(told.contains("deadline_ms"), "{tool}: {told}");
    }
}

#[test]
fn random_numbers_come_from_where_the_grant_says() {
    let seeded = || awaiting().grant("random = \"seeded:7\"");
    let drawn = value(&seeded(), "p_dice", &json!({ "count": 32 }));
    assert_eq!(drawn, value(&seeded(), "p_dice", &json!({ "count": 32 })));
    assert_eq!(value(&seeded(), "p_numbers", &nothing()), value(&seeded(), "p_numbers", &nothing()));
    let secure = awaiting();
    assert_ne!(drawn, value(&secure, "p_dice", &json!({ "count": 32 })));
    // The count is a maximum: the host returns at most one chunk.
    let much = value(&secure, "p_dice", &json!({ "count": u64::MAX.to_string() }));
    assert_eq!(much.as_str().unwrap().len(), 65_536_usize.div_ceil(3) * 4);
    let told = error(&awaiting().grant("random = \"none\""), "p_numbers", &nothing());
    assert!(told.contains(r#"random = "none""#), "{told}");
}

#[test]
fn what_it_writes_goes_to_the_log_bounded_and_there_is_nothing_to_hear() {
    let world = awaiting().limit("log_bytes_max = 1000");
    let server = world.serve(Transport::Http);
    for to_stderr in [false, true] {
        let said = format!("said to stderr: {to_stderr}");
        let reply = server.call("p_say", json!({ "text": said, "to-stderr": to_stderr }));
        assert!(!reply.is_error(), "{reply:?}");
        server.wait_for_log(&said);
    }
    let reply = server.call("p_flood", json!({ "bytes": 50_000_000 }));
    assert!(!reply.is_error(), "{reply:?}");
    server.wait_for_log("49999000 bytes that were dropped");
    assert_eq!(server.call("p_hear", json!({})).structured(), &json!({ "result": 0 }));
}

#[test]
fn a_flood_of_output_costs_the_fuel_of_its_bytes() {
    let world = awaiting().limit("fuel = 20_000_000");
    let told = error(&world, "p_flood", &json!({ "bytes": 1_000_000_000 }));
    assert!(told.contains("fuel"), "{told}");
}

#[test]
fn of_the_surroundings_it_sees_what_is_granted() {
    let world = awaiting().grant(r#"environment = { NAME = "value" }"#);
    assert_eq!(value(&world, "p_variables", &nothing()), json!([["NAME", "value"]]));
    assert_eq!(value(&awaiting(), "p_variables", &nothing()), json!([]));
    assert_eq!(answer(&awaiting(), "p_surroundings", &nothing()), "[] None false");
    let told = error(&awaiting(), "p_leave", &json!({ "code": 3 }));
    assert!(told.contains('3'), "{told}");
}

fn filing() -> World {
    awaiting().file("docs/a.txt", "text").file("outside/secret.txt", "OUTSIDE")
}

const READ: &str = r#"files = [{ host = "docs", guest = "/docs", access = "read" }]"#;
const WRITE: &str = r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }]"#;

#[test]
fn a_granted_folder_is_read_and_written_and_the_record_says_what() {
    let world = filing().grant(WRITE);
    assert_eq!(answer(&world, "p_look", &json!({ "path": "/docs/a.txt" })), "text");
    answer(&world, "p_put", &json!({ "path": "/docs/new.txt", "text": "new" }));
    answer(&world, "p_make", &json!({ "path": "/docs/folder" }));
    assert_eq!(value(&world, "p_names", &json!({ "path": "/docs" })), json!(["a.txt", "folder", "new.txt"]));
    answer(&world, "p_move-to", &json!({ "path": "/docs/new.txt", "to": "/docs/folder/moved.txt" }));
    assert_eq!(std::fs::read_to_string(world.path("docs/folder/moved.txt")).unwrap(), "new");
    answer(&world, "p_cut", &json!({ "path": "/docs/a.txt" }));
    assert_eq!(std::fs::read_to_string(world.path("docs/a.txt")).unwrap(), "");
    answer(&world, "p_erase", &json!({ "path": "/docs/folder/moved.txt" }));
    assert!(!world.path("docs/folder/moved.txt").exists());
    let touched: Vec<String> =
        world.call_records().iter().map(|record| record["files"].to_string()).collect();
    for place in ["/docs/a.txt", "/docs/new.txt", "/docs/folder", "/docs/folder/moved.txt"] {
        assert!(touched.iter().any(|files| files.contains(&format!("\"{place}\""))), "{place}: {touched:?}");
    }
}

#[test]
fn narrowed_to_reading_nothing_can_be_changed() {
    let world = filing().grant(READ);
    assert_eq!(answer(&world, "p_look", &json!({ "path": "/docs/a.txt" })), "text");
    for (tool, args) in [
        ("p_put", json!({ "path": "/docs/a.txt", "text": "x" })),
        ("p_put", json!({ "path": "/docs/new.txt", "text": "x" })),
        ("p_append", json!({ "path": "/docs/a.txt", "text": "x" })),
        ("p_erase", json!({ "path": "/docs/a.txt" })),
        ("p_make", json!({ "path": "/docs/folder" })),
        ("p_move-to", json!({ "path": "/docs/a.txt", "to": "/docs/b.txt" })),
        ("p_link-to", json!({ "path": "/docs/a.txt", "to": "/docs/b.txt" })),
        ("p_point-to", json!({ "path": "/docs/b.txt", "to": "a.txt" })),
        ("p_cut", json!({ "path": "/docs/a.txt" })),
    ] {
        let told = error(&world, tool, &args);
        assert!(told.contains("ReadOnly") || told.contains("NotPermitted"), "{tool}: {told}");
    }
    assert_eq!(std::fs::read_to_string(world.path("docs/a.txt")).unwrap(), "text");
    assert_eq!(std::fs::read_dir(world.path("docs")).unwrap().count(), 1);
}

#[test]
fn without_a_grant_there_is_no_folder() {
    assert_eq!(value(&filing(), "p_folders", &nothing()), json!([]));
    assert!(error(&filing(), "p_look", &json!({ "path": "/docs/a.txt" })).contains("no such folder"));
}

#[test]
fn no_path_leads_out_of_a_granted_folder() {
    let world = filing().grant(WRITE);
    symlink("../outside/secret.txt", world.path("docs/relative")).unwrap();
    symlink(world.path("outside/secret.txt"), world.path("docs/absolute")).unwrap();
    symlink("../outside", world.path("docs/folder")).unwrap();
    symlink("/proc/self/root", world.path("docs/magic")).unwrap();
    for path in [
        "/docs/../outside/secret.txt",
        "/docs/./../outside/secret.txt",
        "/docs/relative",
        "/docs/absolute",
        "/docs/folder/secret.txt",
        "/docs/magic/etc/passwd",
    ] {
        for (tool, args) in [
            ("p_look", json!({ "path": path })),
            ("p_put", json!({ "path": path, "text": "BROKEN" })),
            ("p_cut", json!({ "path": path })),
        ] {
            error(&world, tool, &args);
        }
    }
    for (tool, path, to) in [
        ("p_move-to", "/docs/a.txt", "/docs/folder/a.txt"),
        ("p_link-to", "/docs/folder/secret.txt", "/docs/b.txt"),
        ("p_point-to", "/docs/way-out", "/etc/passwd"),
    ] {
        error(&world, tool, &json!({ "path": path, "to": to }));
    }
    assert_eq!(std::fs::read_to_string(world.path("outside/secret.txt")).unwrap(), "OUTSIDE");
}

fn hello(_: &str, to: &mut dyn Write) {
    respond(to, "200 OK", &[("X-Answer", "yes")], "hello");
}

fn request(authority: &str, path: &str) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": authority, "path": path, "headers": [], "body": "" })
}

#[test]
fn a_request_goes_where_it_is_granted_and_nowhere_else() {
    let web = Web::plain(hello);
    let here = format!("127.0.0.1:{}", web.address.port());
    let world = fetching().grant(&format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {}, private = true, paths = ["/v1/*"], methods = ["POST", "GET"] }}]"#,
        web.address.port()
    ));
    let got = value(&world, "p_run", &request(&here, "/v1/a?b=c"));
    assert_eq!((got["status"].as_u64(), got["body"].as_str()), (Some(200), Some("hello")));
    assert!(got["headers"].to_string().contains("x-answer"), "{got}");
    assert!(web.heard()[0].starts_with("GET /v1/a?b=c HTTP/1.1\r\n"), "{:?}", web.heard());
    let mut post = request(&here, "/v1/b");
    (post["method"], post["body"]) = (json!("POST"), json!("x".repeat(10_000)));
    value(&world, "p_run", &post);
    assert!(world.call_records()[0]["hosts"].to_string().contains(&here));
    let heard = web.heard().len();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap().to_string();
    for (authority, path) in [
        (here.as_str(), "/"),
        (here.as_str(), "/v1/../v2"),
        (elsewhere.as_str(), "/v1/x"),
        ("localhost", "/v1/x"),
    ] {
        let told = error(&world, "p_run", &request(authority, path));
        assert!(told.contains("Denied") || told.contains("Invalid"), "{authority}{path}: {told}");
    }
    assert_eq!(web.heard().len(), heard);
    assert!(!was_connected(&listener));
}

#[test]
fn a_secret_is_put_in_and_scrubbed() {
    let web = Web::plain(|head, to| respond(to, "200 OK", &[("X-Echo", "CANARY-9f2c")], head));
    let port = web.address.port();
    let world = fetching().grant(&format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, secret = "key" }}]"#
    ));
    let world = world
        .secret_file("secrets/key", "CANARY-9f2c\n")
        .more("\n[[secret]]\nname = \"key\"\nfile = \"secrets/key\"\nheader = \"X-Key\"\n");
    let told = world.call("p_run", &request(&format!("127.0.0.1:{port}"), "/"));
    assert!(web.heard()[0].contains("CANARY-9f2c"), "{:?}", web.heard());
    assert!(!told.said().contains("CANARY-9f2c"), "{}", told.said());
}

#[test]
fn without_a_grant_no_request_is_linked_and_an_empty_one_reaches_nobody() {
    assert_eq!(fetching().run(&["check"]).code, 3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let world = fetching().grant("http = []");
    assert!(error(&world, "p_run", &request(&here, "/")).contains("Denied"));
    assert!(!was_connected(&listener));
}

#[test]
fn in_a_worker_requests_leave_by_wasi_0_3_too() {
    apart(&[a_request_goes_where_it_is_granted_and_nowhere_else]);
}

#[test]
fn in_a_worker_folders_are_reached_by_wasi_0_3_too() {
    apart(&[a_granted_folder_is_read_and_written_and_the_record_says_what]);
}
