//! Official clients in Python and TypeScript, over both transports and in every revision that they support, with every
//! tool of the demo. Also MCP Inspector's findings about the schemas of all tools.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use toolgate_tests::hold::Holding;
use toolgate_tests::process::{self, wait_until};
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{Server, Transport, World, peer, plugin, test_guest};

fn demo(port: u16) -> World {
    World::new()
        .plugin("hello", &plugin("hello"))
        .plugin("files", &plugin("files"))
        .grant(r#"files = [{ host = "docs", guest = "/docs" }]"#)
        .plugin("fetch", &plugin("fetch"))
        .grant(&format!(r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, secret = "token" }}]"#))
        .plugin("notes", &plugin("notes"))
        .grant(r#"files = [{ host = "notes", guest = "/notes", access = "read-write" }]"#)
        .secret_file("secrets/token", "a secret")
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"X-Token\"\n")
        .file("docs/welcome.txt", "welcome")
        .folder("notes")
}

/// One call of each tool, with the expected answer.
fn calls(port: u16) -> Vec<(&'static str, Value, Value)> {
    let text = |text: &str| json!({ "error": false, "texts": [text], "value": null });
    let value = |text: &str, value: Value| json!({ "error": false, "texts": [text], "value": value });
    vec![
        ("hello_greet", json!({ "name": "world" }), text("Hello, world.")),
        ("hello_add", json!({ "a": 2, "b": 3 }), value("5", json!({ "result": 5 }))),
        (
            "hello_area",
            json!({ "figure": { "tag": "rectangle", "val": [2, 3.25] } }),
            value("6.5", json!({ "result": 6.5 })),
        ),
        ("hello_count-letters", json!({ "text": "aab", "kinds": ["vowels"] }), Value::Null),
        ("hello_summarize", json!({ "numbers": [1, 2, 3] }), Value::Null),
        ("files_list", json!({ "folder": "/docs" }), Value::Null),
        ("files_read", json!({ "path": "/docs/welcome.txt" }), text("welcome")),
        ("files_search", json!({ "folder": "/docs", "text": "welcome" }), Value::Null),
        (
            "notes_write",
            json!({ "name": "first", "text": "noted" }),
            json!({ "error": false, "texts": [], "value": null }),
        ),
        ("notes_read", json!({ "name": "first" }), text("noted")),
        ("notes_list", json!({}), Value::Null),
        ("notes_delete", json!({ "name": "first" }), json!({ "error": false, "texts": [], "value": null })),
        ("fetch_get", json!({ "url": format!("http://127.0.0.1:{port}/") }), Value::Null),
    ]
}

/// Sets a client's arguments; returns the server unless the client starts it.
fn lead(command: &mut Command, world: &World, transport: Transport) -> Option<Server> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match transport {
        Transport::Http => {
            let server = world.serve(transport);
            command.args(["http", &format!("http://{}/mcp", server.address())]);
            Some(server)
        }
        Transport::Stdio => {
            let config = world.write();
            command
                .arg("stdio")
                .arg(toolgate_tests::toolgate())
                .args(["serve", "--stdio", "--config"])
                .arg(config);
            None
        }
    }
}

/// Runs a client with these calls; returns its report.
fn talk(mut command: Command, world: &World, transport: Transport, calls: &Value) -> Value {
    let server = lead(&mut command, world, transport);
    let mut child = command.spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), calls).unwrap();
    let output = process::ended(child);
    drop(server);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    // Clients report problems that they tolerate.
    let complaint = stderr
        .lines()
        .find(|line| line.contains("failed") || line.contains("WARNING") || line.contains("Traceback"));
    assert_eq!(complaint, None, "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Lists and calls every tool of the demo over both transports.
fn makes_every_call(client: impl Fn() -> Command, version: &str) {
    for transport in Transport::ALL {
        let web = Web::plain(|_, to| respond(to, "200 OK", &[("Content-Type", "text/plain")], "fetched"));
        let port = web.address.port();
        let calls = calls(port);
        let asked: Vec<Value> = calls.iter().map(|(tool, args, _)| json!([tool, args])).collect();
        let told = talk(client(), &demo(port), transport, &json!(asked));
        let what = format!("{transport:?} {version}");
        assert_eq!(told["version"], version, "{what}");
        let mut tools: Vec<&str> = calls.iter().map(|(tool, _, _)| *tool).collect();
        tools.sort_unstable();
        assert_eq!(told["tools"], json!(tools), "{what}: every tool is called");
        for ((tool, _, expected), answer) in calls.iter().zip(told["answers"].as_array().unwrap()) {
            assert_eq!(answer["error"], false, "{what} {tool}: {answer}");
            assert!(expected.is_null() || answer == expected, "{what} {tool}: {answer}");
        }
        assert!(web.heard()[0].contains("a secret"), "{what}");
    }
}

#[test]
fn the_official_python_client_lists_and_calls_every_demo_tool() {
    let Some(python) = peer("TOOLGATE_PYTHON") else { return };
    let script = toolgate_tests::root().join("tests/clients/official.py");
    for (mode, version) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let client = || {
            let mut client = Command::new(&python);
            client.arg(&script).arg(mode);
            client
        };
        makes_every_call(client, version);
    }
}

/// Command for the TypeScript clients: their script, packages, and the generation.
fn typescript(generation: &str, mode: &str) -> Option<impl Fn() -> Command> {
    let packages = peer("TOOLGATE_TYPESCRIPT")?;
    let script = toolgate_tests::root().join("tests/clients/official.mjs");
    Some(move || {
        let mut client = Command::new("node");
        client.arg(&script).arg(&packages).args([generation, mode]);
        client
    })
}

#[test]
fn the_official_typescript_client_lists_and_calls_every_demo_tool() {
    for (mode, version) in [
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2026-07-28"),
        ("auto", "2026-07-28"),
    ] {
        let Some(client) = typescript("v2", mode) else { return };
        makes_every_call(client, version);
    }
}

#[test]
fn the_official_typescript_client_of_the_generation_before_lists_and_calls_every_demo_tool() {
    let Some(client) = typescript("v1", "newest") else { return };
    makes_every_call(client, "2025-11-25");
}

/// A client that closes during a call. Over stdio it kills a server that has not ended after four seconds.
fn leaves(mut command: Command, transport: Transport, what: &str) {
    let holding = Holding::new();
    let world = World::new().plugin("web", &test_guest("requesting")).grant(&holding.grant());
    let server = lead(&mut command, &world, transport);
    let mut child =
        command.env("TOOLGATE_LEAVE", json!(["web_run", holding.request()]).to_string()).spawn().unwrap();
    holding.wait_for(1);
    drop(child.stdin.take());
    let output = process::ended(child);
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    if transport == Transport::Http {
        // With sessions a client may return for the answer, so the call continues.
        holding.release_all();
    }
    wait_until("the call is recorded", || !world.call_records().is_empty());
    let [record] = world.call_records().try_into().expect("one call");
    let kind = record["outcome"]["kind"].as_str().unwrap();
    match transport {
        Transport::Stdio => {
            assert_eq!(kind, "cancelled", "{what}: {record}");
            assert_eq!(world.records().last().unwrap()["event"], "stopped", "{what}: it was killed");
        }
        Transport::Http => assert!(["cancelled", "answer"].contains(&kind), "{what}: {record}"),
    }
    drop(server);
}

#[test]
fn a_call_of_an_official_client_that_closes_is_recorded_and_the_server_ends_before_it_is_killed() {
    for transport in Transport::ALL {
        if let Some(python) = peer("TOOLGATE_PYTHON") {
            for mode in ["auto", "legacy"] {
                let mut client = Command::new(&python);
                client.arg(toolgate_tests::root().join("tests/clients/official.py")).arg(mode);
                leaves(client, transport, &format!("Python {mode} {transport:?}"));
            }
        }
        for (generation, mode) in [("v1", "newest"), ("v2", "2025-11-25"), ("v2", "2026-07-28")] {
            if let Some(client) = typescript(generation, mode) {
                leaves(client(), transport, &format!("TypeScript {generation} {mode} {transport:?}"));
            }
        }
    }
}

/// Inspector's own rules, which need no network: schemas that some clients of models cannot read.
#[test]
fn mcp_inspector_finds_nothing_to_say_against_the_schema_of_any_tool() {
    let Some(packages) = peer("TOOLGATE_INSPECTOR") else { return };
    let world = demo(9)
        .plugin("echo", &test_guest("echoing"))
        .plugin("same", &test_guest("languages"))
        .folder("home");
    let server = world.serve(Transport::Http);
    for era in ["legacy", "modern"] {
        let mut inspector = Command::new("node");
        inspector.arg(packages.join("node_modules/.bin/mcp-inspector")).env("HOME", world.path("home"));
        inspector.arg("--cli").arg(format!("http://{}/mcp", server.address()));
        inspector.args(["--transport", "http", "--protocol-era", era, "--format", "json"]);
        let output = process::output_of(inspector.args(["--method", "tools/list", "--strict"]));
        let stderr = String::from_utf8_lossy(&output.stderr);
        let told: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{era}: {stderr}"));
        let listed = told["result"]["tools"].as_array().unwrap();
        let listed: Vec<&str> = listed.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(listed, server.tools(), "{era}");
        assert_eq!(told["schemaFindings"], Value::Null, "{era}");
        assert_eq!(output.status.code(), Some(0), "{era}: {stderr}");
    }
}
