//! A worker in wrong hands: in its place runs a program that writes, byte by byte, what a test lets it write. The server is the
//! real one, with a grant for one web server on this machine, for folders, or for sockets.

mod files;
mod sockets;

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

/// A message as it goes over the pipe.
fn frame(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_le_bytes(), message].concat()
}

const READY: [u8; 1] = [0];

fn ask(id: u64, ask: u64, request: &[u8]) -> Vec<u8> {
    let mut message = vec![4];
    length(id as usize, &mut message);
    length(ask as usize, &mut message);
    frame(&[message.as_slice(), request].concat())
}

/// Attempts inside the worker, each with whether it was allowed.
fn attempts(id: u8, attempts: &[u8]) -> Vec<u8> {
    frame(&[&[3, id], attempts].concat())
}

/// The end of a call, by a trap.
fn ended(id: u8) -> Vec<u8> {
    frame(&[&[5, id, 0, 0, 0, 0, 1], b"\x04trap\x06forged\x06forged\x00".as_slice()].concat())
}

/// A number, seven bits a byte.
fn length(mut length: usize, to: &mut Vec<u8>) {
    while length >= 0x80 {
        to.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
}

/// A number at the beginning of bytes, which it is taken off.
fn number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// Encodes a request; it has no body unless `open`.
fn send(method: &str, authority: &str, path: &str, open: bool) -> Vec<u8> {
    let mut body = vec![0, 0];
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

/// The next part of an exchange; its end; the end of its request.
fn next(exchange: u8) -> Vec<u8> {
    vec![0, 2, exchange]
}

fn close(handle: u8) -> Vec<u8> {
    vec![4, handle]
}

fn end(exchange: u8) -> Vec<u8> {
    vec![0, 1, exchange, 2]
}

/// Opens a bucket of a store.
const STORE: [u8; 4] = [1, 0, 1, b'b'];

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
        world.put("ready", &frame(&READY), 0o644);
        // Each that is started has its own way in and out.
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
            plugin.limits.set(CallLimit::Sockets, sockets::SOCKETS_MAX.cast_signed()).unwrap();
            plugin.limits.set(CallLimit::SocketBytes, sockets::BYTES_MAX.cast_signed()).unwrap();
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
        wait_until("its worker reads", || self.world.path(&format!("say{number}")).exists());
        let to = OpenOptions::new().write(true).open(self.world.path(&format!("say{number}"))).unwrap();
        let call = Call { outcome: Some(outcome), to, heard };
        call.wait_for_call(1);
        call
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

/// The messages to a worker after the first, as far as they are written.
fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let Some((message, rest)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else { break };
        messages.push(message);
        bytes = rest;
    }
    messages.split_off(messages.len().min(1))
}

/// A response.
#[derive(PartialEq, Eq)]
struct Answer {
    id: u64,
    ask: u64,
    stop: String,
    response: Vec<u8>,
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

    fn wait_for_call(&self, id: u8) {
        wait_until("its worker is told", || {
            messages(&self.heard()).iter().any(|message| message.starts_with(&[0, id]))
        });
    }

    fn answers(&self) -> Vec<Answer> {
        let read = |mut rest: &[u8]| {
            let (id, ask, _fuel) = (number(&mut rest), number(&mut rest), number(&mut rest));
            let is_stopped = number(&mut rest) == 1;
            let len = if is_stopped { number(&mut rest) as usize } else { 0 };
            let (stop, response) = rest.split_at(len);
            Answer { id, ask, stop: String::from_utf8(stop.to_vec()).unwrap(), response: response.to_vec() }
        };
        messages(&self.heard())
            .into_iter()
            .filter_map(|message| message.strip_prefix(&[2]).map(read))
            .collect()
    }

    fn answer(&self, ask: u64) -> Vec<u8> {
        self.answer_to(1, ask)
    }

    fn answer_to(&self, id: u64, ask: u64) -> Vec<u8> {
        let mut found = None;
        wait_until("an answer", || {
            found = self.answers().into_iter().find(|answer| (answer.id, answer.ask) == (id, ask));
            found.is_some()
        });
        found.unwrap().response
    }

    /// Whether the worker was told that the call ends by this limit.
    fn is_stopped_by(&self, limit: &str) -> bool {
        self.answers().iter().any(|answer| answer.stop == limit)
    }
}

/// That a request was refused.
const REFUSED: [u8; 3] = [0, 1, 0];
/// That a response has a head.
const HEAD: [u8; 3] = [0, 0, 0];

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
    assert_eq!(call.answer(3)[..2], [0, 1], "it failed");
    call.say(&ask(1, 4, &STORE));
    assert_eq!(call.answer(4), [1, 1, 0], "denied: it has no store");
    assert!(taken.web.heard().is_empty() && !was_connected(&listener));
    call.say(&ask(1, 5, &send("GET", &here, "/a", false)));
    assert_eq!(call.answer(5)[..3], HEAD, "what is granted is done");
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
    // Four million empty keys, in as many bytes.
    let mut keys = vec![1, 1, 1, b'b'];
    length(4 << 20, &mut keys);
    keys.resize(keys.len() + (4 << 20), 0);
    // As many header fields, each empty.
    let mut fields = send("GET", &here, "/", false);
    fields.truncate(fields.len() - 4);
    length(2 << 20, &mut fields);
    fields.resize(fields.len() + (4 << 20), 0);
    let cases: [(&str, Vec<u8>); 20] = [
        ("more than memory should hold", ask(1, 1, &keys)),
        ("fields that take more than memory should hold", ask(1, 1, &fields)),
        ("of a call that is not", ask(2, 1, &slow)),
        ("by a number that was", [ask(1, 1, &slow), ask(1, 1, &slow)].concat()),
        ("of an exchange that is not", ask(1, 1, &next(7))),
        ("of an exchange that was left", [twice(&slow, &close(1)), ask(1, 3, &next(1))].concat()),
        ("leaving what was left", [twice(&slow, &close(1)), ask(1, 3, &close(1))].concat()),
        ("the body before the head", twice(&slow, &next(1))),
        ("of an exchange as if it were a socket", twice(&slow, &[3, 2, 1, 4])),
        ("more requests than there may be", many.collect::<Vec<_>>().concat()),
        ("too long a head", ask(1, 1, &huge)),
        ("nothing", ask(1, 1, &[])),
        ("something unknown", ask(1, 1, &[9, 9, 9])),
        ("something and more", ask(1, 1, &[slow.as_slice(), b"more"].concat())),
        ("no message", b"\xff\xff\xff\xff\xff\xff\xff\xff and so on".to_vec()),
        ("an unknown message", frame(&[9])),
        ("a message cut off", frame(&[4, 1])),
        ("a message and more", frame(&[&ended(1)[4..], b"more"].concat())),
        ("readiness again", frame(&READY)),
        ("an attempt that it cannot have seen", attempts(1, &[1, 3, 1, b'/', 0])),
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
    for after in [ended(1), ask(1, 1, &send("GET", &here, "/", false)), attempts(1, &[0])] {
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
    call.say(&ask(1, 2, &close(1)));
    call.say(&ask(1, 3, &send("GET", &here, "/b", true)));
    call.say(&ask(1, 4, &end(3)));
    assert_eq!(call.answer(3)[..3], HEAD);
    call.say(&ended(1));
    taken.outcome(&mut call);
    let heard = taken.web.heard();
    assert!(heard.iter().any(|heard| heard.starts_with("GET /b ")), "{heard:?}");
}
