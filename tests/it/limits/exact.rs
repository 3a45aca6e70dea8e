//! Exact value of each limit: use below or equal to it is allowed, one more meets it. The compiler checks that the list
//! of limits is complete.

use serde_json::{Value, json};
use toolgate_policy::limits::call::CallLimit;
use toolgate_tests::hold::Holding;
use toolgate_tests::inner::waiting;
use toolgate_tests::web::{Web, converse, respond};
use toolgate_tests::{Transport, World, test_guest, wat};

/// Use relative to a limit: one less, equal, one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Used {
    Less,
    Same,
    More,
}

impl Used {
    /// A use relative to `at`.
    fn beside(self, at: u64) -> u64 {
        match self {
            Self::Less => at - 1,
            Self::Same => at,
            Self::More => at + 1,
        }
    }

    /// The limit to which `used` has this relation.
    fn limit(self, used: u64) -> u64 {
        match self {
            Self::Less => used + 1,
            Self::Same => used,
            Self::More => used - 1,
        }
    }
}

#[test]
fn one_less_and_as_much_are_not_bothered_and_one_more_meets_the_limit() {
    are_exact(&CallLimit::ALL);
}

pub(super) fn are_exact(limits: &[CallLimit]) {
    for limit in limits.iter().copied() {
        for used in [Used::Less, Used::Same, Used::More] {
            assert_eq!(meets(limit, used), used == Used::More, "{} {used:?}", limit.name());
        }
    }
}

/// Whether a call with this use meets the limit.
fn meets(limit: CallLimit, used: Used) -> bool {
    match limit {
        CallLimit::Fuel => fuel(used),
        CallLimit::Deadline => deadline(used),
        CallLimit::Memory => memory(used),
        CallLimit::Output => output(used),
        CallLimit::Log => log(used),
        CallLimit::Concurrency => concurrency(used),
        CallLimit::Queue => queue(used),
        CallLimit::Handles => handles(used),
        CallLimit::HttpRequests => http_requests(used),
        CallLimit::HttpBytes => http_bytes(used),
        CallLimit::Sockets => sockets(used),
        CallLimit::SocketBytes => socket_bytes(used),
        CallLimit::Faults => faults(used),
        CallLimit::Stacks => stacks(used),
    }
}

fn plugin(guest: &str) -> World {
    World::new().plugin("bad", &test_guest(guest))
}

fn fuel(used: Used) -> bool {
    let seven = || World::new().plugin("good", &toolgate_tests::guest::seven());
    let measured = seven();
    measured.call("good_seven", &json!({}));
    let fuel = measured.call_records()[0]["fuel"].as_u64().unwrap();
    is_met(seven(), CallLimit::Fuel, used.limit(fuel), "good_seven", &json!({}))
}

/// Time is not exact to the millisecond: far less, less, far more.
fn deadline(used: Used) -> bool {
    let (deadline_ms, ms) = match used {
        Used::Less => (60_000, 0),
        Used::Same => (60_000, 100),
        Used::More => (100, 60_000),
    };
    is_met(plugin("sleeping"), CallLimit::Deadline, deadline_ms, "bad_run", &json!({ "ms": ms }))
}

fn memory(used: Used) -> bool {
    let ten_pages = wat(r#"(component
        (core module $m (memory 1)
            (func (export "run") (if (i32.eq (memory.grow (i32.const 9)) (i32.const -1)) (then unreachable))))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#);
    let world = World::new().plugin("bad", &ten_pages);
    is_met(world, CallLimit::Memory, used.limit(10 << 16), "bad_run", &json!({}))
}

fn output(used: Used) -> bool {
    let server = plugin("echoing").limit("output_bytes_max = 2000").serve(Transport::Http);
    // Overhead around a text counts as well, so the test measures its length.
    let met = |bytes: u64| {
        let reply = server.call("bad_strings", json!({ "a": "x".repeat(bytes as usize) }));
        let is_met = reply.text().contains("output_bytes_max = 2000");
        assert_eq!(reply.is_error(), is_met, "{reply:?}");
        is_met
    };
    let fits = longest(2_000, met);
    assert!((1_000..2_000).contains(&fits), "{fits} of 2,000 bytes are the text's");
    met(used.beside(fits))
}

/// The largest number below `over` that does not meet a limit.
fn longest(mut over: u64, met: impl Fn(u64) -> bool) -> u64 {
    let mut fits = 0;
    while over - fits > 1 {
        let middle = (fits + over) / 2;
        if met(middle) { over = middle } else { fits = middle }
    }
    fits
}

fn log(used: Used) -> bool {
    // A line of 50 bytes, one KiB, and a line of five bytes.
    let world = plugin("flooding").limit(&format!("log_bytes_max = {}", used.limit(50 + 1024 + 5)));
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("bad_run", json!({ "kibibytes": 1 })).text(), "answered");
    server.wait_for_log(if used == Used::More { "then 1 bytes" } else { "then 0 bytes" });
    used == Used::More
}

/// Three calls may run and one may wait. A refused call shows that the queue is full.
fn concurrency(used: Used) -> bool {
    let holding = Holding::new();
    let world = plugin("requesting").grant(&holding.grant()).limit("concurrency = 3\nqueue = 1");
    let server = world.serve(Transport::Http);
    let waits = used == Used::More;
    let calls = used.beside(3) as usize + usize::from(waits);
    let calls: super::Calls = (0..calls).map(|_| server.calling("bad_run", holding.request())).collect();
    holding.wait_for(calls.len().min(3));
    super::wait_until_ended(&calls, usize::from(waits));
    holding.release_all();
    let turned_away = super::replies(calls).iter().filter(|reply| reply.text().contains("queue = 1")).count();
    assert_eq!((turned_away, holding.most()), (usize::from(waits), used.beside(3).min(3) as usize));
    waits
}

fn queue(used: Used) -> bool {
    let holding = Holding::new();
    let world = plugin("requesting").grant(&holding.grant()).limit("concurrency = 1\nqueue = 3");
    let server = world.serve(Transport::Http);
    let mut calls: super::Calls = vec![server.calling("bad_run", holding.request())];
    holding.wait_for(1);
    calls.extend((0..used.beside(3)).map(|_| server.calling("bad_run", holding.request())));
    // One more than fits is refused while all others wait.
    super::wait_until_ended(&calls, usize::from(used == Used::More));
    holding.release_all();
    let turned_away = super::replies(calls).iter().filter(|reply| reply.text().contains("queue = 3")).count();
    assert!(turned_away <= 1, "{turned_away}");
    turned_away > 0
}

fn handles(used: Used) -> bool {
    let own = wat(r#"(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core module $m
            (import "r" "new" (func $new (param i32) (result i32)))
            (func (export "run") (param $n i32)
                (loop $more
                    (drop (call $new (i32.const 7)))
                    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                    (br_if $more (local.get $n)))))
        (core instance $i (instantiate $m (with "r" (instance (export "new" (func $new))))))
        (func (export "run") (param "handles" u32) (canon lift (core func $i "run"))))"#);
    let handles = json!({ "handles": used.beside(50) });
    is_met(World::new().plugin("bad", &own), CallLimit::Handles, 50, "bad_run", &handles)
}

fn http_requests(used: Used) -> bool {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], ""));
    let mut args = super::request(&web);
    args["times"] = json!(used.beside(3));
    is_met(plugin("requesting").grant(&super::rule(&web)), CallLimit::HttpRequests, 3, "bad_run", &args)
}

fn http_bytes(used: Used) -> bool {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], ""));
    let world =
        plugin("requesting").grant(&super::rule(&web)).limit("http_bytes_max = 2000\nfaults_max = 1000");
    let server = world.serve(Transport::Http);
    let met = |bytes: u64| {
        let mut args = super::request(&web);
        (args["method"], args["body"]) = (json!("POST"), json!("x".repeat(bytes as usize)));
        let reply = server.call("bad_run", args);
        let is_met = reply.text().contains("http_bytes_max = 2000");
        assert_eq!(reply.is_error(), is_met, "{reply:?}");
        is_met
    };
    // Heads count as well, so the test measures the longest body that is allowed.
    let fits = longest(2_000, met);
    assert!((1_000..2_000).contains(&fits), "{fits} of 2,000 bytes are the body's");
    met(used.beside(fits))
}

fn sockets(used: Used) -> bool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let many = json!({ "address": address.to_string(), "times": used.beside(3) });
    is_met(
        plugin("connecting").grant(&super::socket(address, "tcp")),
        CallLimit::Sockets,
        3,
        "bad_many",
        &many,
    )
}

fn socket_bytes(used: Used) -> bool {
    // The request takes ten bytes and names the number of bytes to send.
    let server = converse(|heard| vec![b'x'; heard.parse().unwrap_or(0)]);
    let asked = used.beside(1_000) - 10;
    let talk = json!({ "address": server.to_string(), "text": format!("{asked:010}") });
    is_met(
        plugin("connecting").grant(&super::socket(server, "tcp")),
        CallLimit::SocketBytes,
        1_000,
        "bad_talk",
        &talk,
    )
}

fn stacks(used: Used) -> bool {
    // Four waiting tasks, and the one that starts the last of them.
    let world = World::new().plugin("bad", &waiting(4)).with("engine = \"async\"");
    is_met(world, CallLimit::Stacks, used.limit(5), "bad_run", &json!({ "ns": 1_000_000 }))
}

fn faults(used: Used) -> bool {
    let world = plugin("panicking").limit("faults_max = 3");
    let server = world.serve(Transport::Http);
    for _ in 0..used.beside(3) - 1 {
        server.call("bad_run", json!({ "why": "x" }));
    }
    server.call("bad_run", json!({ "why": "x" })).text().contains("faults_max = 3")
}

/// Whether a call ends with the limit's fault; if not it must succeed.
fn is_met(world: World, limit: CallLimit, value: u64, tool: &str, args: &Value) -> bool {
    let ended = world.limit(&format!("{} = {value}", limit.name())).call(tool, args);
    let is_met = ended.said().contains(&format!("{} = {value}", limit.name()));
    assert_eq!(ended.code, i32::from(is_met), "{} = {value}: {}", limit.name(), ended.said());
    is_met
}
