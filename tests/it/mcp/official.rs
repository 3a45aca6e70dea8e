//! The official Python client, over both transports and in both of its modes, with every tool of the demo.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{Transport, World, plugin};

/// The Python that has the client, or a line that says why there is none. In CI that is a failure.
fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("TOOLGATE_PYTHON") {
        return Some(python.into());
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "TOOLGATE_PYTHON is not set; run `cargo xtask test`"
    );
    eprintln!(
        "skipped: TOOLGATE_PYTHON names no Python with the official client; `cargo xtask test` sets it up"
    );
    None
}

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

/// Each tool once, with what it must answer.
fn calls(port: u16) -> Vec<(&'static str, Value, Value)> {
    let text = |text: &str| json!({ "error": false, "texts": [text], "value": null });
    let value = |text: &str, value: Value| json!({ "error": false, "texts": [text], "value": value });
    vec![
        ("hello_greet", json!({ "name": "world" }), text("Hello, world.")),
        ("hello_add", json!({ "a": 2, "b": 3 }), value("5", json!({ "result": 5 }))),
        (
            "hello_area",
            json!({ "figure": { "tag": "rectangle", "val": [2, 3.5] } }),
            value("7.0", json!({ "result": 7.0 })),
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

fn talk(python: &PathBuf, mode: &str, world: &World, transport: Transport, calls: &Value) -> Value {
    let script = toolgate_tests::root().join("tests/clients/official.py");
    let mut command = Command::new(python);
    command.arg(script).arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let server = match transport {
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
    };
    let mut child = command.spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), calls).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(server);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    // A client that had to put up with something says so.
    let complaint = stderr
        .lines()
        .find(|line| line.contains("failed") || line.contains("WARNING") || line.contains("Traceback"));
    assert_eq!(complaint, None, "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_official_client_lists_and_calls_every_demo_tool() {
    let Some(python) = python() else { return };
    for transport in Transport::ALL {
        for (mode, version) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
            let web = Web::plain(|_, to| respond(to, "200 OK", &[("Content-Type", "text/plain")], "fetched"));
            let port = web.address.port();
            let calls = calls(port);
            let asked: Vec<Value> = calls.iter().map(|(tool, args, _)| json!([tool, args])).collect();
            let told = talk(&python, mode, &demo(port), transport, &json!(asked));
            let what = format!("{transport:?} {mode}");
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
}
