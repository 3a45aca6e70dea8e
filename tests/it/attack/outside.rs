//! Host calls of a worker: they act as on a thread, and the worker itself gets no secret, socket or file.

use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use toolgate_tests::client::PATIENCE;
use toolgate_tests::process::{of_process, open_in, signal, wait_until};
use toolgate_tests::web::{Web, converse, respond};
use toolgate_tests::{Transport, World, test_guest};

use super::worker::{APART, worker};

const SECRET: &str = "CANARY-5eC7-of-the-host";
const KNOWN: &str = "CANARY-k0wN-to-the-guest";

/// Whether a process has some bytes in its memory; `None` if this user may not read it.
fn holds(pid: u32, bytes: &str) -> Option<bool> {
    use std::os::unix::fs::FileExt as _;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = of_process(pid, "maps");
    let range = |line: &str| {
        let (range, rights) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let at = |text| u64::from_str_radix(text, 16).ok();
        rights.starts_with("rw").then_some((at(from)?, at(to)?))
    };
    let mut page = vec![0; 1 << 20];
    for (from, to) in maps.lines().filter_map(range) {
        // Windows overlap by half, so that no match is split.
        for at in (from..to).step_by(1 << 19) {
            let len = usize::try_from((to - at).min(1 << 20)).unwrap();
            let read = memory.read_at(&mut page[..len], at).unwrap_or(0);
            if page[..read].windows(bytes.len()).any(|window| window == bytes.as_bytes()) {
                return Some(true);
            }
        }
    }
    Some(false)
}

#[test]
fn a_secret_is_never_in_the_memory_of_a_worker() {
    // A server that returns the secret.
    let web = Web::plain(|heard, to| {
        let given = heard.lines().find_map(|line| line.strip_prefix("x-key: ")).unwrap_or("nothing");
        respond(to, "200 OK", &[("X-Echo", given)], &format!("<{given}>"));
    });
    let world = World::new()
        .plugin("p", &test_guest("requesting"))
        .with(APART)
        .grant(&format!(r#"environment = {{ NAME = "{KNOWN}" }}"#))
        .grant(&format!(
            r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {}, private = true, secret = "key" }}]"#,
            web.address.port()
        ))
        .secret_file("secrets/key", SECRET)
        .more("\n[[secret]]\nname = \"key\"\nfile = \"secrets/key\"\nheader = \"X-Key\"\n");
    let server = world.serve(Transport::Http);
    let reply = server.call("p_run", request(&web, "/"));
    assert_eq!(reply.structured()["body"], "<[secret]>", "{reply:?}");
    assert!(web.heard()[0].contains(SECRET));
    let pid = worker(&server);
    match (holds(pid, KNOWN), holds(pid, SECRET), holds(server.pid(), SECRET)) {
        (Some(known), Some(secret), Some(server)) => assert_eq!((known, secret, server), (true, false, true)),
        _ => println!("this user may not look into the memory of a process"),
    }
}

#[test]
fn a_socket_ends_with_its_call_and_with_its_worker() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = World::new()
        .plugin("p", &test_guest("connecting"))
        .with(APART)
        .grant(&format!(r#"sockets = [{{ host = "127.0.0.1", port = {}, private = true }}]"#, address.port()))
        .serve(Transport::Stdio);
    // Sends nothing, and waits for the end of the connection.
    let begin = || {
        let talk = json!({ "address": address.to_string(), "text": "hello" });
        let (id, call) = server.modern("tools/call", json!({ "name": "p_talk", "arguments": talk }));
        server.send(&call.to_string());
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        (id, stream)
    };
    let is_over = |mut stream: TcpStream| match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    let open = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let (id, stream) = begin();
    server.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
            .to_string(),
    );
    assert!(is_over(stream), "that of the cancelled call is closed");
    let before = open(server.pid());
    let streams: Vec<_> = (0..5).map(|_| begin().1).collect();
    signal("KILL", worker(&server));
    assert!(streams.into_iter().all(is_over), "those of the killed worker are closed");
    wait_until("nothing is left open", || open(server.pid()) <= before);
}

fn request(web: &Web, path: &str) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": web.address.to_string(), "path": path, "headers": [], "body": "" })
}

fn granted(web: &Web) -> World {
    World::new().plugin("p", &test_guest("requesting")).with(APART).grant(&format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {}, private = true }}]"#,
        web.address.port()
    ))
}

#[test]
fn calls_of_one_worker_have_their_requests_under_way_at_once() {
    const AT_ONCE: usize = 12;
    static CAME: AtomicUsize = AtomicUsize::new(0);
    // Answers only when all requests have arrived.
    let web = Web::plain(|_, to| {
        CAME.fetch_add(1, Ordering::SeqCst);
        wait_until("all of them", || CAME.load(Ordering::SeqCst) == AT_ONCE);
        respond(to, "200 OK", &[], "hello");
    });
    let server = granted(&web).serve(Transport::Http);
    let calls: Vec<_> = (0..AT_ONCE).map(|_| server.calling("p_run", request(&web, "/"))).collect();
    for call in calls {
        assert_eq!(call.join().unwrap().structured()["body"], "hello");
    }
}

#[test]
fn an_exchange_ends_with_its_call_and_with_its_worker() {
    static LEFT: AtomicUsize = AtomicUsize::new(0);
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    // A response without an end.
    let web = Web::plain(|_, to| {
        drop(to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
        BEGUN.fetch_add(1, Ordering::SeqCst);
        while to.write_all(b"1\r\nx\r\n").and_then(|()| to.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        LEFT.fetch_add(1, Ordering::SeqCst);
    });
    let server = granted(&web).serve(Transport::Stdio);
    let begin = |count: usize| {
        let (id, call) =
            server.modern("tools/call", json!({ "name": "p_run", "arguments": request(&web, "/") }));
        server.send(&call.to_string());
        wait_until("it is under way", || BEGUN.load(Ordering::SeqCst) == count);
        id
    };
    let id = begin(1);
    server.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
            .to_string(),
    );
    wait_until("the cancelled one is left", || LEFT.load(Ordering::SeqCst) == 1);
    let id = begin(2);
    signal("KILL", worker(&server));
    wait_until("that of the killed worker is left", || LEFT.load(Ordering::SeqCst) == 2);
    assert!(server.reply(&json!(id)).unwrap().to_string().contains("the process that runs the tool ended"));
}

#[test]
fn the_record_of_a_call_in_a_worker_is_that_of_one_on_a_thread() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let port = web.address.port();
    let http = format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, paths = ["/v1/*"] }}]"#
    );
    let store = r#"keyvalue = { bytes_max = 1000 }"#;
    let files = r#"files = [
        { host = "docs", guest = "/docs" },
        { host = "out", guest = "/out", access = "read-write", bytes_max = 100_000, open_max = 2 },
    ]"#;
    let config = r#"config = { units = "metric" }"#;
    let told = converse(|_| b"hello".to_vec());
    let place = format!(r#"host = "127.0.0.1", port = {}, private = true"#, told.port());
    let sockets = format!(r#"sockets = [{{ {place} }}, {{ {place}, protocol = "udp" }}]"#);
    let told = told.to_string();
    for (name, grant, tool, args) in [
        ("requesting", http.as_str(), "p_run", request(&web, "/v1/a")),
        ("requesting", &http, "p_run", request(&web, "/v2/a")),
        ("requesting", &http, "p_run", request(&web, "/v1/..%2f")),
        ("storing", store, "p_add", json!({ "bucket": "b", "key": "n", "by": 3 })),
        ("filing", files, "p_look", json!({ "path": "/docs/a.txt" })),
        ("filing", files, "p_put", json!({ "path": "/out/b.txt", "text": "x".repeat(100_000) })),
        ("filing", files, "p_put", json!({ "path": "/docs/a.txt", "text": "x" })),
        ("filing", files, "p_names", json!({ "path": "/docs" })),
        ("filing", files, "p_open-many", json!({ "path": "/out/a.txt", "count": 3 })),
        ("filing", files, "p_look", json!({ "path": "/docs/../toolgate.toml" })),
        ("configured", config, "p_get", json!({ "key": "units" })),
        ("configured", config, "p_get", json!({ "key": "other" })),
        ("dicing", r#"random = "none""#, "p_run", json!({ "bytes": 3 })),
        ("connecting", "sockets = []", "p_talk", json!({ "address": "127.0.0.1:9", "text": "x" })),
        ("connecting", &sockets, "p_talk", json!({ "address": told.as_str(), "text": "x" })),
        ("connecting", &sockets, "p_tcp", json!({ "address": "127.0.0.1:9" })),
        ("connecting", &sockets, "p_tcp", json!({ "address": "0.0.0.0:9" })),
        ("connecting", &sockets, "p_tell", json!({ "address": "127.0.0.1:9", "text": "x" })),
        ("connecting", &sockets, "p_lookup", json!({ "name": "localhost" })),
        ("connecting", &sockets, "p_lookup", json!({ "name": "x".repeat(400) })),
        ("connecting", &sockets, "p_bind-at", json!({ "address": "127.0.0.1:9" })),
        ("connecting", &sockets, "p_listen-at", json!({ "address": "0.0.0.0:0" })),
        ("dialing", &sockets, "p_talk", json!({ "address": told.as_str(), "text": "x" })),
        ("dialing", &sockets, "p_tcp", json!({ "address": "127.0.0.1:9" })),
        ("dialing", &sockets, "p_tell", json!({ "address": "127.0.0.1:9", "text": "x" })),
        ("dialing", &sockets, "p_roundabout", json!({ "name": "localhost", "address": told.as_str() })),
        ("dialing", &sockets, "p_listen-at", json!({ "address": "0.0.0.0:0" })),
    ] {
        let engine = if name == "dialing" { "engine = \"async\"" } else { "" };
        let records = ["isolation = \"thread\"", APART].map(|isolation| {
            let world = World::new().plugin("p", &test_guest(name)).with(isolation).with(engine).grant(grant);
            let world = world.file("docs/a.txt", "text").file("out/a.txt", "text");
            world.call(tool, &args);
            let mut record = world.call_records().pop().unwrap();
            let fields = record.as_object_mut().unwrap();
            // Resource use and other fields that differ from call to call.
            for differs in ["time", "wall_us", "fuel", "memory_peak_bytes", "arguments", "digest"] {
                fields.remove(differs);
            }
            record
        });
        assert_eq!(records[0], records[1], "{name} {tool} {args}");
    }
}

#[test]
fn what_a_call_has_open_is_closed_when_its_worker_is_killed_and_when_it_is_cancelled() {
    let world = World::new()
        .plugin("fs", &test_guest("awaiting"))
        .with("engine = \"async\"")
        .with(APART)
        .file("docs/a.txt", "text")
        .grant(r#"files = [{ host = "docs", guest = "/docs" }]"#);
    let server = world.serve(Transport::Stdio);
    let file = world.path("docs/a.txt").canonicalize().unwrap();
    let open = || open_in(server.pid(), &file);
    let begin = || {
        let arguments = json!({ "path": "/docs/a.txt", "count": 5, "wait-ns": 50_000_000_000_u64 });
        let call = json!({ "name": "fs_open-at-once", "arguments": arguments });
        let (id, call) = server.modern("tools/call", call);
        server.send(&call.to_string());
        wait_until("they are open", || open() == 5);
        id
    };
    let id = begin();
    assert_eq!(open_in(worker(&server), &file), 0, "none is in the worker");
    server.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
            .to_string(),
    );
    wait_until("those of the cancelled one are closed", || open() == 0);
    let id = begin();
    signal("KILL", worker(&server));
    wait_until("those of the killed worker are closed", || open() == 0);
    assert!(server.reply(&json!(id)).unwrap().to_string().contains("the process that runs the tool ended"));
}
