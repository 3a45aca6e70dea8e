//! Criterion groups: LOAD, a fresh instance, CALL; all in process, without MCP around them.
//!
//! `cargo bench --package toolgate-benches`

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use toolgate_benches::{gate, gate_by, spec};
use toolgate_policy::Principal;
use toolgate_policy::capability::room::RoomText;
use toolgate_policy::capability::{files, http, keyvalue};
use toolgate_policy::load::Grants;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::json::{Bounds, Json};
use toolgate_runtime::load::asked;
use toolgate_runtime::load::source::Sources;
use toolgate_runtime::outcome::{Answer, Outcome, Verdict};
use toolgate_runtime::remote::Away;
use toolgate_runtime::sandbox::interrupt::Interrupt;
use toolgate_runtime::spec::Isolation;
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{World, guest, plugin, test_guest, toolgate};

fn call(runtime: &Runtime, gate: &Gate, tool: &str, arguments: &str) -> Answer {
    let bounds = Bounds { bytes_max: 8 << 20, depth_max: 64, nodes_max: 1 << 20 };
    let arguments = Json::parse(arguments.as_bytes(), bounds).unwrap();
    let request = Request::new(Principal::local("bench"), tool, arguments, Interrupt::default());
    match runtime.block_on(gate.call(request)).into_inner() {
        Outcome::Answer(answer) if answer.verdict == Verdict::Ok => answer,
        other => panic!("{tool}: {other:?}"),
    }
}

fn load(c: &mut Criterion) {
    let world = World::new().plugin("hello", &plugin("hello"));
    let spec = spec(&world, &[("hello", Grants::default())]);
    let mut group = c.benchmark_group("load");
    group.sample_size(20);
    group.bench_function("hello: source, verify, inspect", |b| {
        let sources = Sources::new(Away::new(Vec::new()));
        b.iter(|| asked(&sources, &spec.plugins[0], &spec.trust).unwrap());
    });
    let cached = gate(&world, "cached");
    assert!(cached.check(&spec).serves);
    group.bench_function("hello: all of it, from the cache", |b| {
        b.iter(|| assert!(cached.check(&spec).serves))
    });
    let mut fresh = 0;
    group.bench_function("hello: all of it, compiled", |b| {
        b.iter_batched(
            || {
                fresh += 1;
                gate(&world, &format!("fresh-{fresh}"))
            },
            |gate| assert!(gate.check(&spec).serves),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn instantiate(c: &mut Criterion) {
    let world = World::new().plugin("seven", &guest::seven()).plugin("echo", &test_guest("echoing"));
    let gate = gate(&world, "state");
    assert!(gate.start(&spec(&world, &[("seven", Grants::default()), ("echo", Grants::default())])).serves);
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("instantiate");
    group.bench_function("80 bytes of WebAssembly, one number back", |b| {
        b.iter(|| call(&runtime, &gate, "seven_seven", "{}"));
    });
    group.bench_function("a Rust component, a function that does nothing", |b| {
        b.iter(|| call(&runtime, &gate, "echo_nothing", "{}"));
    });
    group.finish();
}

fn calls(c: &mut Criterion) {
    let world = World::new()
        .plugin("hello", &plugin("hello"))
        .plugin("files", &plugin("files"))
        .plugin("echo", &test_guest("echoing"))
        .file("docs/page.txt", &"a line of text\n".repeat(700));
    let docs = world.path("docs").to_string_lossy().into_owned();
    let docs = files::MountText {
        host: docs,
        guest: "/docs".to_owned(),
        access: "read".to_owned(),
        room: RoomText::default(),
        open_max: None,
    };
    let docs = files::Grant::new(vec![docs]).unwrap();
    let plugins = [
        ("hello", Grants::default()),
        ("files", Grants { files: Some(docs), ..Grants::default() }),
        ("echo", Grants::default()),
    ];
    let gate = gate(&world, "state");
    assert!(gate.start(&spec(&world, &plugins)).serves);
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("call");
    let numbers: Vec<Value> = (0..1000).map(|n| json!(f64::from(n) / 7.0)).collect();
    for (tool, arguments) in [
        ("hello_greet", json!({ "name": "world" })),
        ("hello_add", json!({ "a": 1, "b": 2 })),
        ("hello_summarize", json!({ "numbers": numbers })),
        ("files_read", json!({ "path": "/docs/page.txt" })),
    ] {
        let arguments = arguments.to_string();
        group.bench_function(tool, |b| b.iter(|| call(&runtime, &gate, tool, &arguments)));
    }
    let text = "x".repeat(900_000);
    group.throughput(Throughput::Bytes(text.len() as u64));
    let arguments = json!({ "a": text }).to_string();
    group.bench_function("echo_strings, 900 kB", |b| {
        b.iter(|| call(&runtime, &gate, "echo_strings", &arguments))
    });
    group.finish();
}

/// The same calls on a thread of the server's and in a worker: that compute, that send a request, that use a store.
fn isolated(c: &mut Criterion) {
    let web = Web::lasting(|_, to| respond(to, "200 OK", &[("Content-Length", "5")], "hello"));
    let rule = http::RuleText {
        scheme: Some("http".to_owned()),
        host: "127.0.0.1".to_owned(),
        port: Some(web.address.port().into()),
        private: true,
        ..http::RuleText::default()
    };
    let room = RoomText { bytes_max: Some(1 << 20), entries_max: None };
    let http = http::Grant::new(vec![rule]).unwrap();
    let keyvalue = keyvalue::Grant::new(room).unwrap();
    let plugins = [
        ("hello", Grants::default()),
        ("echo", Grants::default()),
        ("web", Grants { http: Some(http), ..Grants::default() }),
        ("store", Grants { keyvalue: Some(keyvalue), ..Grants::default() }),
    ];
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("isolated");
    for (isolation, word) in [(Isolation::Thread, "thread"), (Isolation::Process, "process")] {
        let world = World::new()
            .plugin("hello", &plugin("hello"))
            .plugin("echo", &test_guest("echoing"))
            .plugin("web", &test_guest("requesting"))
            .plugin("store", &test_guest("storing"));
        let mut spec = spec(&world, &plugins);
        spec.plugins.iter_mut().for_each(|plugin| plugin.isolation = isolation);
        let gate = gate_by(&world, "state", toolgate());
        assert!(gate.start(&spec).serves);
        let here = web.address.to_string();
        for (name, tool, arguments) in [
            ("add", "hello_add", json!({ "a": 1, "b": 2 })),
            ("900 kB there and back", "echo_strings", json!({ "a": "x".repeat(900_000) })),
            (
                "a request",
                "web_run",
                json!({ "method": "GET", "scheme": "http", "authority": here, "path": "/", "headers": [], "body": "" }),
            ),
            ("a look into a store", "store_exists", json!({ "bucket": "b", "key": "k" })),
        ] {
            let arguments = arguments.to_string();
            group.bench_function(format!("{name}, {word}"), |b| {
                b.iter(|| call(&runtime, &gate, tool, &arguments));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, load, instantiate, calls, isolated);
criterion_main!(benches);
