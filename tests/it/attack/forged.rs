//! A compromised worker, played by a program that sends exactly the bytes that a test chooses. The server is real, with
//! a grant for one local web server, for folders, or for sockets.

mod files;
mod plugs;

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::outcome::{FaultKind, Outcome};
use toolgate_base::spec::Isolation;
use toolgate_policy::Principal;
use toolgate_policy::capability::http::{self, RuleText};
use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::load::Grants;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_tests::process::wait_until;
use toolgate_tests::web::{Web, respond, was_connected};
use toolgate_tests::{World, inside, test_guest, toolgate};

const REQUESTS_MAX: u64 = 5;
const HANDLES_MAX: u64 = 20;

/// A server with a compromised worker.
struct Taken {
    world: World,
    gate: Gate,
    runtime: Runtime,
    web: Web,
    tool: &'static str,
    arguments: Value,
    /// Number of calls begun; each has a worker of its own.
    calls: Cell<usize>,
}

/// A call in a compromised worker, and the worker's pipes.
struct Call {
    outcome: Option<JoinHandle<Outcome>>,
    to: File,
    heard: PathBuf,
}

/// Encodes a message of the pipe.
fn message(header: &Value, body: &[u8]) -> Vec<u8> {
    let header = header.to_string().into_bytes();
    let mut bytes = Vec::new();
    for part in [header.len(), body.len()] {
        bytes.extend(u32::try_from(part).unwrap().to_le_bytes());
    }
    bytes.extend(header);
    bytes.extend_from_slice(body);
    bytes
}

fn ask(id: u64, ask: u64, body: &[u8]) -> Vec<u8> {
    message(&json!({ "Ask": { "id": id, "ask": ask } }), body)
}

fn ended(id: u64) -> Vec<u8> {
    let fault = json!({ "kind": "trap", "limit": null, "told": "forged", "logged": "forged", "logs_last_words": false });
    let ended = json!({ "id": id, "fuel": 0, "memory_peak_bytes": 0, "written": "", "dropped_bytes": 0, "fault": fault });
    message(&json!({ "Ended": ended }), &[])
}

/// Encodes a length as LEB128.
fn length(mut length: usize, to: &mut Vec<u8>) {
    while length >= 0x80 {
        to.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
}

/// Encodes a request; it has no body unless `open`.
fn send(method: &str, authority: &str, path: &str, open: bool) -> Vec<u8> {
    let mut body = vec![0];
    for (index, text) in [method, "http", authority, path].into_iter().enumerate() {
        if index > 0 {
            body.push(1);
        }
        length(text.len(), &mut body);
        body.extend(text.as_bytes());
    }
    // No header fields and no timeouts.
    body.extend([0, 0, 0, u8::from(!open)]);
    body
}

/// Encodes a request for the next part of an exchange, for ending it, or for ending its request body.
fn next(exchange: u8) -> Vec<u8> {
    vec![2, exchange]
}

fn leave(exchange: u8) -> Vec<u8> {
    vec![3, exchange]
}

fn end(exchange: u8) -> Vec<u8> {
    vec![1, exchange, 2]
}

/// Request to open a bucket of the store.
const STORE: [u8; 4] = [4, 0, 1, b'b'];

impl Taken {
    fn new() -> Self {
        let web = Web::plain(|heard, to| {
            if heard.starts_with("GET /slow") {
                std::thread::sleep(Duration::from_secs(30));
            }
            respond(to, "200 OK", &[], "hello");
        });
        let rule = RuleText {
            scheme: Some("http".to_owned()),
            host: "127.0.0.1".to_owned(),
            port: Some(web.address.port().into()),
            private: true,
            ..RuleText::default()
        };
        let grants = Grants { http: Some(http::Grant::new(vec![rule]).unwrap()), ..Grants::default() };
        let arguments = json!({ "method": "GET", "scheme": "http", "authority": "a", "path": "/", "headers": [], "body": "" });
        let world = World::new().plugin("web", &test_guest("requesting"));
        Self::granted(world, grants, web, "web_run", arguments)
    }

    fn granted(world: World, grants: Grants, web: Web, tool: &'static str, arguments: Value) -> Self {
        world.write();
        world.put("ready", &message(&json!("Ready"), &[]), 0o644);
        // Each instance has its own input and output.
        let script = format!(
            "#!/bin/sh
[ \"$1\" = __worker ] || exec {program} \"$@\"
echo >> {folder}/started
n=$(($(wc -l < {folder}/started)))
mkfifo {folder}/say$n
(cat {folder}/ready {folder}/say$n) &
exec cat > {folder}/heard$n
",
            program = toolgate().display(),
            folder = world.path("").display(),
        );
        world.put("program", script.as_bytes(), 0o755);
        let mut spec = inside::spec(&world, &[(tool.split('_').next().unwrap(), grants)]);
        for plugin in &mut spec.plugins {
            plugin.isolation = Isolation::Process;
            plugin.limits.set(CallLimit::HttpRequests, REQUESTS_MAX.cast_signed()).unwrap();
            plugin.limits.set(CallLimit::Handles, HANDLES_MAX.cast_signed()).unwrap();
            plugin.limits.set(CallLimit::Deadline, 60_000).unwrap();
            plugin.limits.set(CallLimit::Sockets, plugs::SOCKETS_MAX.cast_signed()).unwrap();
            plugin.limits.set(CallLimit::SocketBytes, plugs::BYTES_MAX.cast_signed()).unwrap();
        }
        let gate = inside::gate_by(&world, "state", world.path("program"));
        assert!(gate.start(&spec).serves);
        Self { world, gate, runtime: Runtime::new().unwrap(), web, tool, arguments, calls: Cell::new(0) }
    }

    /// Begins a call, the first of its worker.
    fn call(&self) -> Call {
        let outcome = self.begin();
        let number = self.calls.get() + 1;
        self.calls.set(number);
        let heard = self.world.path(&format!("heard{number}"));
        wait_until("its worker is told", || {
            has(&std::fs::read(&heard).unwrap_or_default(), r#"{"Call":{"id":1,"#)
        });
        let to = OpenOptions::new().write(true).open(self.world.path(&format!("say{number}"))).unwrap();
        Call { outcome: Some(outcome), to, heard }
    }

    fn begin(&self) -> JoinHandle<Outcome> {
        let bounds = JsonLimits { bytes_max: 1 << 20, depth_max: 64, nodes_max: 1 << 20 };
        let arguments = Json::parse(self.arguments.to_string().as_bytes(), bounds).unwrap();
        let request = Request::new(Principal::local("test"), self.tool, arguments, Interrupt::default());
        let gate = self.gate.clone();
        self.runtime.spawn(async move { gate.call(request).await.into_inner() })
    }

    fn outcome(&self, call: &mut Call) -> Outcome {
        self.runtime.block_on(call.outcome.take().unwrap()).unwrap()
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

impl Call {
    fn say(&mut self, bytes: &[u8]) {
        // The worker may have been ended.
        drop(self.to.write_all(bytes));
    }

    fn heard(&self) -> Vec<u8> {
        std::fs::read(&self.heard).unwrap_or_default()
    }

    /// Waits until the server has closed the worker's pipe.
    fn wait_for_end(&mut self) {
        wait_until("its end", || self.to.write_all(b" ").is_err());
    }

    /// Body of an answer.
    fn answer(&self, ask: u64) -> Vec<u8> {
        self.answer_to(1, ask)
    }

    fn answer_to(&self, id: u64, ask: u64) -> Vec<u8> {
        let header = format!(r#"{{"Answer":{{"id":{id},"ask":{ask},"#);
        wait_until("an answer", || has(&self.heard(), &header));
        let heard = self.heard();
        let at = heard.windows(header.len()).position(|window| window == header.as_bytes()).unwrap();
        let len = |at: usize| u32::from_le_bytes(heard[at..at + 4].try_into().unwrap()) as usize;
        let body = at + len(at - 8);
        let until = body + len(at - 4);
        wait_until("the whole of it", || self.heard().len() >= until);
        self.heard()[body..until].to_vec()
    }
}

/// Answer to a refused request.
const REFUSED: [u8; 2] = [4, 0];

#[test]
fn a_worker_in_wrong_hands_reaches_what_is_granted_and_nothing_else() {
    let taken = Taken::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap().to_string();
    let here = taken.web.address.to_string();
    let mut call = taken.call();
    call.say(&ask(1, 1, &send("GET", &elsewhere, "/", false)));
    assert_eq!(call.answer(1), REFUSED);
    // The method is not granted, and a path cannot smuggle in a header.
    call.say(&ask(1, 2, &send("POST", &here, "/", false)));
    assert_eq!(call.answer(2), REFUSED);
    call.say(&ask(1, 3, &send("GET", &here, "/ HTTP/1.1\r\nX: y", false)));
    assert_eq!(call.answer(3)[0], 4, "nothing came of it");
    call.say(&ask(1, 4, &STORE));
    assert_eq!(call.answer(4), [3, 1, 0], "denied: it has no store");
    assert!(taken.web.heard().is_empty() && !was_connected(&listener));
    call.say(&ask(1, 5, &send("GET", &here, "/a", false)));
    assert_eq!(call.answer(5)[0], 0, "what is granted is done");
    call.say(&ask(1, 6, &next(5)));
    assert!(call.answer(6).ends_with(b"hello"));
    call.say(&ended(1));
    let outcome = taken.outcome(&mut call);
    assert!(matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Trap), "{outcome:?}");
    assert_eq!(taken.web.heard().len(), 1);
    let record = taken.world.call_records().pop().unwrap().to_string();
    for noted in [elsewhere.as_str(), here.as_str(), "POST", "refused"] {
        assert!(record.contains(noted), "{noted}: {record}");
    }
}

#[test]
fn a_worker_that_asks_for_what_no_worker_may_is_ended() {
    let taken = Taken::new();
    let here = taken.web.address.to_string();
    let slow = send("GET", &here, "/slow", false);
    let twice = |first: &[u8], second: &[u8]| [ask(1, 1, first), ask(1, 2, second)].concat();
    let huge = send("GET", &here, &"/x".repeat(70_000), false);
    let many = (1..=REQUESTS_MAX + 1).map(|number| ask(1, number, &send("GET", "elsewhere", "/", false)));
    // Four million empty keys, of one byte each.
    let mut keys = vec![4, 1, 1, b'b'];
    length(4 << 20, &mut keys);
    keys.resize(keys.len() + (4 << 20), 0);
    let cases: [(&str, Vec<u8>); 15] = [
        ("more than memory should hold", ask(1, 1, &keys)),
        ("of a call that is not", ask(2, 1, &slow)),
        ("by a number that was", [ask(1, 1, &slow), ask(1, 1, &slow)].concat()),
        ("of an exchange that is not", ask(1, 1, &next(7))),
        ("of an exchange that was left", [twice(&slow, &leave(1)), ask(1, 3, &next(1))].concat()),
        ("leaving what was left", [twice(&slow, &leave(1)), ask(1, 3, &leave(1))].concat()),
        ("the body before the head", twice(&slow, &next(1))),
        ("more requests than there may be", many.collect::<Vec<_>>().concat()),
        ("too long a head", ask(1, 1, &huge)),
        ("nothing", ask(1, 1, &[])),
        ("something unknown", ask(1, 1, &[9, 9, 9])),
        ("something and more", ask(1, 1, &[slow.as_slice(), b"more"].concat())),
        ("no message", b"\xff\xff\xff\xff\xff\xff\xff\xff and so on".to_vec()),
        ("readiness again", message(&json!("Ready"), &[])),
        ("what it cannot have seen", message(&json!({ "Seen": { "id": 1 } }), &[1, 3, 1, b'/', 0])),
    ];
    for (what, words) in cases {
        let mut call = taken.call();
        call.say(&words);
        let outcome = taken.outcome(&mut call);
        assert!(
            matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Worker),
            "{what}: {outcome:?}"
        );
        call.wait_for_end();
    }
    assert!(taken.web.heard().iter().all(|heard| heard.starts_with("GET /slow ")), "{:?}", taken.web.heard());
}

#[test]
fn a_worker_that_speaks_of_a_call_that_has_ended_is_ended() {
    let taken = Taken::new();
    let here = taken.web.address.to_string();
    for after in
        [ended(1), ask(1, 1, &send("GET", &here, "/", false)), message(&json!({ "Seen": { "id": 1 } }), &[0])]
    {
        let mut call = taken.call();
        call.say(&[ended(1), after].concat());
        let outcome = taken.outcome(&mut call);
        assert!(matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Trap), "{outcome:?}");
        call.wait_for_end();
    }
    assert!(taken.web.heard().is_empty());
}

#[test]
fn a_request_that_its_worker_leaves_midway_is_no_whole_request() {
    let taken = Taken::new();
    let here = taken.web.address.to_string();
    let mut call = taken.call();
    // GET that announces a body.
    call.say(&ask(1, 1, &send("GET", &here, "/a", true)));
    call.say(&ask(1, 2, &leave(1)));
    call.say(&ask(1, 3, &send("GET", &here, "/b", true)));
    call.say(&ask(1, 4, &end(3)));
    assert_eq!(call.answer(3)[0], 0);
    call.say(&ended(1));
    taken.outcome(&mut call);
    let heard = taken.web.heard();
    assert!(heard.iter().any(|heard| heard.starts_with("GET /b ")), "{heard:?}");
}
