//! `check`, `call`, `tools`, `inspect`, `completions`, help.

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, guest, plugin, process, test_guest};

fn hello() -> World {
    World::new().plugin("hello", &plugin("hello"))
}

#[test]
fn check_says_what_loads_and_what_does_not_also_as_json() {
    let world = hello().plugin("fetch", &plugin("fetch"));
    let check = world.run(&["check", "--json"]);
    assert_eq!(check.code, 3);
    let plugins = &check.json()["plugins"];
    assert_eq!(
        (&plugins[0]["name"], &plugins[0]["ok"], &plugins[0]["tools"]),
        (&json!("hello"), &json!(true), &json!(5))
    );
    assert_eq!((&plugins[1]["ok"], &plugins[1]["kind"]), (&json!(false), &json!("refused")));
    assert!(plugins[1]["reasons"][0].as_str().unwrap().contains("it needs `http`"));
    assert_eq!(hello().run(&["check", "--json"]).code, 0);
    let skip = hello().plugin("fetch", &plugin("fetch")).server("on_refused = \"skip\"").run(&["check"]);
    assert_eq!(skip.code, 3, "whatever on_refused says");
}

#[test]
fn call_prints_the_answer_and_tells_by_its_code_how_it_went() {
    let world = hello();
    let ok = world.run(&["call", "hello_add", "--args", r#"{"a":1,"b":2}"#]);
    assert_eq!((ok.code, ok.stdout.as_str(), ok.complaints()), (0, "3\n", Vec::new()));
    let json = world.run(&["call", "hello_add", "--args", r#"{"a":1,"b":2}"#, "--json"]);
    assert_eq!(json.json()["structuredContent"], json!({ "result": 3 }), "{}", json.stdout);
    for (args, code) in [
        (&["call", "hello_add", "--args", r#"{"a":1}"#][..], 1),
        (&["call", "hello_add", "--args", r#"{"a":9223372036854775807,"b":1}"#], 1),
        (&["call", "hello_nothing"], 3),
        (&["call", "hello_add", "--args", "{"], 2),
        (&["call", "hello_add", "--args", "[1]"], 1),
        (&["call", "hello_add", "--args", r#"{"a":1,"a":2,"b":3}"#], 2),
        (&["call"], 2),
        (&["call", "hello_add", "--config", "none.toml"], 2),
    ] {
        let ended = world.run(args);
        assert_eq!(ended.code, code, "{args:?}: {}", ended.said());
    }
}

#[test]
fn a_call_needs_only_the_plugin_that_has_the_tool() {
    for on_refused in ["", "on_refused = \"stop\""] {
        let world =
            hello().plugin("fetch", &plugin("fetch")).plugin_folder("dir:not-there").server(on_refused);
        let called = world.run(&["call", "hello_add", "--args", r#"{"a":1,"b":2}"#]);
        assert_eq!((called.code, called.stdout.as_str(), called.complaints()), (0, "3\n", Vec::new()));
        let refused = world.run(&["call", "fetch_get"]);
        assert_eq!(refused.code, 3, "{}", refused.said());
        assert!(refused.stderr.contains("plugin fetch: refused: it needs `http`"), "{}", refused.said());
    }
    // Plugins that could claim the same name are loaded nevertheless.
    let world = World::new().plugin("notes", &guest::seven()).plugin("notez", &guest::seven());
    assert_eq!(world.run(&["call", "notes_seven"]).code, 0);
    let refused = world.run(&["call", "notez_seven"]);
    assert!(refused.code == 3 && refused.stderr.contains("reads like"), "{}", refused.said());
}

#[test]
fn a_component_that_is_a_command_is_told_so_and_what_to_build_instead() {
    let command = guest::wat(
        r#"(component
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.6" (instance $cli)))"#,
    );
    let check = World::new().plugin("tool", &command).run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    for words in ["it is a command (it exports wasi:cli/run)", "build a library component"] {
        assert!(check.stderr.contains(words), "{}", check.said());
    }
}

#[test]
fn a_refused_plugin_stops_the_others_only_where_the_configuration_says_so() {
    for transport in Transport::ALL {
        let world = hello().plugin("fetch", &plugin("fetch"));
        let server = world.serve(transport);
        assert_eq!(server.call("hello_add", json!({ "a": 1, "b": 2 })).text(), "3");
        server.wait_for_log("it needs `http`");
        if matches!(transport, Transport::Http) {
            let ready = server.http("GET", "/readyz", &[], None);
            let told: Value = serde_json::from_str(&ready.body).unwrap();
            assert_eq!((ready.status, &told["plugins"]["refused"]), (200, &json!(["fetch"])), "{told}");
        }
        assert!(
            world.records().iter().any(|record| record["event"] == "refuse" && record["plugin"] == "fetch")
        );
    }
    let stopped =
        hello().plugin("fetch", &plugin("fetch")).server("on_refused = \"stop\"").run(&["serve", "--stdio"]);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (3, ""), "{}", stopped.said());
    assert!(stopped.stderr.contains("on_refused"), "{}", stopped.said());
    let none = World::new().plugin("fetch", &plugin("fetch")).run(&["serve", "--stdio"]);
    assert_eq!((none.code, none.stdout.as_str()), (3, ""), "nothing loads at all: {}", none.said());
}

#[test]
fn what_a_plugin_says_cannot_steer_the_terminal() {
    let world = World::new().plugin("echo", &test_guest("echoing"));
    let ended = world.call("echo_strings", &json!({ "a": "\u{1b}]0;owned\u{7}\u{202e}abc\u{200b}" }));
    assert_eq!(ended.code, 0, "{}", ended.said());
    assert!(!ended.stdout.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{200b}']), "{:?}", ended.stdout);
    assert!(ended.stdout.contains("owned"));
    let exact = world.run(&["call", "echo_strings", "--args", r#"{"a":"\u001b"}"#, "--json"]);
    assert_eq!(exact.json()["text"], "\u{1b}", "JSON has an escape of its own");
}

#[test]
fn tools_lists_what_a_client_would_see_and_what_each_may_touch() {
    let world = hello()
        .plugin("notes", &plugin("notes"))
        .folder("notes")
        .grant(r#"files = [{ host = "notes", guest = "/notes", access = "read-write" }]"#);
    let tools = world.run(&["tools"]);
    assert_eq!(tools.code, 0, "{}", tools.said());
    for words in ["hello_add", "notes_write", "/notes"] {
        assert!(tools.stdout.contains(words), "{words}: {}", tools.stdout);
    }
    let listed: Vec<Value> = world.run(&["tools", "--json"]).json()["tools"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 9);
    assert!(listed.iter().all(|tool| tool["inputSchema"]["type"] == "object"));
}

#[test]
fn inspect_says_what_is_in_a_component_and_needs_no_configuration() {
    let world = World::with_own_cache().plugin("fetch", &plugin("fetch"));
    let told = world.run(&["inspect", "plugins/fetch.wasm"]);
    assert_eq!(told.code, 0, "{}", told.said());
    let digest = toolgate_policy::Digest::of(&plugin("fetch")).to_string();
    for words in [digest.as_str(), "get", "http", "wasi:http/outgoing-handler"] {
        assert!(told.stdout.contains(words), "{words}: {}", told.stdout);
    }
    assert!(!world.path("state").exists(), "nothing was kept, nothing was compiled");
    let json = world.run(&["inspect", "plugins/fetch.wasm", "--json"]).json();
    assert_eq!(json["digest"], digest.as_str());
    assert!(json["tools"].as_array().is_some_and(|tools| tools.len() == 1), "{json}");
    assert!(json.to_string().contains("inputSchema"), "{json}");
}

#[test]
fn inspect_refuses_what_is_no_component() {
    let world = World::new();
    world.put("plain.wasm", &guest::wat("(module)"), 0o644);
    let told = world.run(&["inspect", "plain.wasm"]);
    assert_eq!(told.code, 3, "{}", told.said());
    assert_eq!(world.run(&["inspect", "none.wasm"]).code, 4);
    assert_eq!(world.run(&["inspect"]).code, 2);
}

#[test]
fn every_command_has_help_and_every_shell_its_completions() {
    let world = World::new();
    let help = world.run(&["--help"]);
    assert_eq!(help.code, 0);
    for command in ["serve", "check", "inspect", "call", "tools", "key", "sign", "verify", "completions"] {
        assert!(help.stdout.contains(command), "{command}");
        let own = world.run(&[command, "--help"]);
        assert!(own.code == 0 && own.stdout.contains("Usage: toolgate"), "{command}: {}", own.said());
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = world.run(&["completions", shell]);
        assert!(script.code == 0 && script.stdout.contains("toolgate"), "{shell}");
    }
    assert_eq!(world.run(&["--version"]).stdout.trim(), format!("toolgate {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(world.run(&[]).code, 2);
    assert_eq!(world.run(&["serv"]).code, 2);
}

#[test]
fn the_configuration_is_found_in_the_current_folder_and_paths_in_it_are_relative_to_it() {
    let world = hello();
    let config = world.write();
    assert_eq!(world.run_as_is(&["check"]).code, 0);
    let mut elsewhere = std::process::Command::new(toolgate_tests::toolgate());
    let ended = process::output_of(elsewhere.current_dir("/").args(["check", "--config"]).arg(&config));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut nowhere = std::process::Command::new(toolgate_tests::toolgate());
    let nowhere = process::output_of(nowhere.current_dir("/").arg("check"));
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("toolgate.toml"));
}

#[test]
fn the_word_by_which_the_program_compiles_is_nobodys_command() {
    let world = World::new();
    for args in [&["--help"][..], &["completions", "bash"]] {
        assert!(!world.run(args).said().contains("__compile"), "{args:?}");
    }
    for args in [&["__compile"][..], &["__compile", "sync", "many", "1"], &["__compile", "native", "1", "1"]]
    {
        let ended = world.run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{args:?}: {}", ended.said());
        assert!(ended.stderr.contains("its arguments are an engine, seconds and bytes"), "{}", ended.stderr);
    }
}
