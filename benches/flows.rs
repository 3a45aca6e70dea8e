//! Criterion groups: LOAD, a fresh instance, CALL; all in process, without MCP around them.
//!
//! `cargo bench --package toolgate-benches`

use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::outcome::{Answer, Outcome, Verdict};
use toolgate_base::spec::{EngineKind, Isolation};
use toolgate_benches::{gate, gate_by, spec};
use toolgate_net::remote::Fetcher;
use toolgate_policy::Principal;
use toolgate_policy::capability::room::QuotaText;
use toolgate_policy::capability::{files, http, keyvalue, sockets};
use toolgate_policy::load::Grants;
use toolgate_policy::load::lint::Lint;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::trust::Standing;
use toolgate_runtime::call::request::Request;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::load::asked;
use toolgate_runtime::load::source::Sources;
use toolgate_runtime::load::verify::verify;
use toolgate_tests::web::{Web, converse, respond};
use toolgate_tests::{World, guest, plugin, test_guest, toolgate};

fn call(runtime: &Runtime, gate: &Gate, tool: &str, arguments: &str) -> Answer {
    let bounds = JsonLimits { bytes_max: 8 << 20, depth_max: 64, nodes_max: 1 << 20 };
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
        let sources = Sources::new(Fetcher::new(Vec::new()));
        b.iter(|| asked(&sources, &spec.plugins[0], &spec.trust).unwrap());
    });
    let cached = gate(&world, "cached");
    assert!(cached.reconciler.look(&spec).1.serves);
    group.bench_function("hello: all of it, from the cache", |b| {
        b.iter(|| assert!(cached.reconciler.look(&spec).1.serves))
    });
    let mut fresh = 0;
    group.bench_function("hello: all of it, compiled", |b| {
        b.iter_batched(
            || {
                fresh += 1;
                gate(&world, &format!("fresh-{fresh}"))
            },
            |gate| assert!(gate.reconciler.look(&spec).1.serves),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// A hundred plugins with distinct bytes, each with its own signature. Times are per plugin.
fn hundred(c: &mut Criterion) {
    const PLUGINS: u64 = 100;
    let names: Vec<String> = (0..PLUGINS).map(|n| format!("p{n:02}")).collect();
    let world = names.iter().fold(World::new(), |world, name| {
        world.plugin(name, &guest::with_section(test_guest("echoing"), "bench", name.as_bytes()))
    });
    let plugins: Vec<(&str, Grants)> = names.iter().map(|name| (name.as_str(), Grants::default())).collect();
    let mut spec = spec(&world, &plugins);
    for plugin in &mut spec.plugins {
        plugin.allow_lints.insert(Lint::SimilarName);
    }
    let sources = Sources::new(Fetcher::new(Vec::new()));
    let each = |group: &mut BenchmarkGroup<'_, WallTime>, what: &str, all: &dyn Fn()| {
        group.bench_function(what, |b| {
            b.iter_custom(|times| {
                let begun = Instant::now();
                (0..times).for_each(|_| all());
                begun.elapsed() / u32::try_from(PLUGINS).unwrap()
            });
        });
    };
    let mut group = c.benchmark_group("load of 100, each");
    group.sample_size(10);
    each(&mut group, "read", &|| {
        spec.plugins.iter().for_each(|plugin| drop(sources.fetch(&plugin.source, None, &[]).unwrap()));
    });
    let found: Vec<_> =
        spec.plugins.iter().map(|plugin| sources.fetch(&plugin.source, None, &[]).unwrap()).collect();
    each(&mut group, "verify", &|| {
        for (plugin, found) in spec.plugins.iter().zip(&found) {
            let verified = verify(&spec.trust, found, &plugin.id, plugin.digest, Standing::New, UnixTime(0));
            drop(verified.unwrap());
        }
    });
    each(&mut group, "read, verify, inspect", &|| {
        spec.plugins.iter().for_each(|plugin| drop(asked(&sources, plugin, &spec.trust).unwrap()));
    });
    let cached = gate(&world, "cached");
    let report = cached.reconciler.look(&spec).1;
    assert!(report.serves, "{report:?}");
    each(&mut group, "all of it, from the cache, on all cores", &|| {
        assert!(cached.reconciler.look(&spec).1.serves)
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
    let docs = reading(&world, "docs");
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

/// A grant to read a folder of the world, mounted as `/docs`.
fn reading(world: &World, folder: &str) -> files::Grant {
    let mount = files::MountText {
        host: world.path(folder).to_string_lossy().into_owned(),
        guest: "/docs".to_owned(),
        access: "read".to_owned(),
        room: QuotaText::default(),
        open_max: None,
    };
    files::Grant::new(vec![mount]).unwrap()
}

/// A running gate with a plugin for each kind of access, all isolated in the same way, and the world that it serves.
fn started(
    isolation: Isolation,
    http: &http::Grant,
    keyvalue: &keyvalue::Grant,
    sockets: &sockets::Grant,
) -> (World, Gate) {
    let world = World::new()
        .plugin("hello", &plugin("hello"))
        .plugin("echo", &test_guest("echoing"))
        .plugin("web", &test_guest("requesting"))
        .plugin("store", &test_guest("storing"))
        .plugin("files", &plugin("files"))
        .plugin("net", &test_guest("connecting"))
        .plugin("net3", &test_guest("dialing"))
        .file("docs/page.txt", &"a line of text\n".repeat(700));
    let talking = Grants { sockets: Some(sockets.clone()), ..Grants::default() };
    let plugins = [
        ("hello", Grants::default()),
        ("echo", Grants::default()),
        ("web", Grants { http: Some(http.clone()), ..Grants::default() }),
        ("store", Grants { keyvalue: Some(keyvalue.clone()), ..Grants::default() }),
        ("files", Grants { files: Some(reading(&world, "docs")), ..Grants::default() }),
        ("net", talking.clone()),
        ("net3", talking),
    ];
    let mut spec = spec(&world, &plugins);
    for plugin in &mut spec.plugins {
        plugin.isolation = isolation;
        if plugin.name.to_string() == "net3" {
            plugin.engine = EngineKind::Async;
        }
    }
    let gate = gate_by(&world, "state", toolgate());
    assert!(gate.start(&spec).serves);
    (world, gate)
}

/// The same calls on a thread of the server's and in a worker: that compute, and that use each thing outside.
fn isolated(c: &mut Criterion) {
    let web = Web::lasting(|_, to| respond(to, "200 OK", &[("Content-Length", "5")], "hello"));
    // As naive servers answer: the body is sent when the head is acknowledged.
    let apart = Web::lasting(|_, to| {
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").unwrap();
        to.write_all(b"hello").unwrap();
    });
    let rule = |web: &Web| http::RuleText {
        scheme: Some("http".to_owned()),
        host: "127.0.0.1".to_owned(),
        port: Some(web.address.port().into()),
        private: true,
        ..http::RuleText::default()
    };
    let room = QuotaText { bytes_max: Some(1 << 20), entries_max: None };
    let http = http::Grant::new(vec![rule(&web), rule(&apart)]).unwrap();
    let keyvalue = keyvalue::Grant::new(room).unwrap();
    let peer = converse(|_| b"hello".to_vec());
    let socket = sockets::RuleText {
        host: "127.0.0.1".to_owned(),
        port: peer.port().into(),
        protocol: None,
        private: true,
    };
    let sockets = sockets::Grant::new(vec![socket]).unwrap();
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("isolated");
    for (isolation, word) in [(Isolation::Thread, "thread"), (Isolation::Process, "process")] {
        let (_world, gate) = started(isolation, &http, &keyvalue, &sockets);
        let request = |web: &Web| {
            let authority = web.address.to_string();
            json!({ "method": "GET", "scheme": "http", "authority": authority, "path": "/", "headers": [], "body": "" })
        };
        for (name, tool, arguments) in [
            ("add", "hello_add", json!({ "a": 1, "b": 2 })),
            ("900 kB there and back", "echo_strings", json!({ "a": "x".repeat(900_000) })),
            ("a request", "web_run", request(&web)),
            ("a request, answered in two writes", "web_run", request(&apart)),
            ("a look into a store", "store_exists", json!({ "bucket": "b", "key": "k" })),
            ("a file of 10 kB", "files_read", json!({ "path": "/docs/page.txt" })),
            ("a connection by WASI 0.2", "net_talk", json!({ "address": peer.to_string(), "text": "hi" })),
            ("a connection by WASI 0.3", "net3_talk", json!({ "address": peer.to_string(), "text": "hi" })),
        ] {
            let arguments = arguments.to_string();
            group.bench_function(format!("{name}, {word}"), |b| {
                b.iter(|| call(&runtime, &gate, tool, &arguments));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, load, hundred, instantiate, calls, isolated);
criterion_main!(benches);
