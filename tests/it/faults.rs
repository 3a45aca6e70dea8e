//! Causes of a guest's end are distinguished, and the next call is unaffected.

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, apart, guest, test_guest};

#[test]
fn a_panic_an_exit_and_a_recursion_are_faults_that_say_which_and_the_next_call_is_fine() {
    // Compilers keep a stack of their own in memory, which overflows first; this guest has none.
    let deeper = toolgate_tests::wat(
        r#"(component
            (core module $m (func $f (export "run") (call $f)))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#,
    );
    for transport in Transport::ALL {
        let world = World::new()
            .plugin("panic", &test_guest("panicking"))
            .plugin("exit", &test_guest("exiting"))
            .plugin("deep", &test_guest("recursing"))
            .plugin("deeper", &deeper);
        let server = world.serve(transport);
        for _ in 0..2 {
            let reply = server.call("panic_run", json!({ "why": "a reason with \u{1b}[31mcolour" }));
            assert!(reply.is_error() && reply.text().contains("crashed"), "{reply:?}");
            let told = reply.text().contains("a reason with");
            assert_eq!(told, transport == Transport::Stdio, "the guest's words stay on this machine");
            for (given, status) in [(0, 0), (1, 1), (3, 1)] {
                let reply = server.call("exit_run", json!({ "status": given }));
                assert!(reply.is_error() && reply.text().contains(&format!("status {status}")), "{reply:?}");
            }
            let reply = server.call("deep_run", json!({}));
            assert!(reply.is_error() && reply.text().contains("crashed"), "{reply:?}");
            let reply = server.call("deeper_run", json!({}));
            assert!(reply.is_error() && reply.text().contains("recursed too deeply"), "{reply:?}");
        }
        let kinds: Vec<Value> =
            world.call_records().iter().map(|record| record["outcome"]["kind"].clone()).collect();
        assert_eq!(kinds[..6], ["trap", "exit", "exit", "exit", "trap", "trap"].map(Value::from));
        assert!(world.call_records()[0]["outcome"]["text"].as_str().unwrap().contains("a reason with"));
        let log = server.wait_for_log("a reason with");
        assert!(!log.contains('\u{1b}'), "what steers a terminal is escaped");
    }
}

/// The caller's message when the plugin panics with this text.
fn told(line: &str, transport: Transport, why: &str) -> String {
    let world = World::new().plugin("panic", &test_guest("panicking")).with(line);
    world.serve(transport).call("panic_run", json!({ "why": why })).text().to_owned()
}

#[test]
fn what_a_plugin_wrote_last_before_a_crash_is_told_where_the_operator_says_so() {
    for (details, over_stdio, over_http) in
        [("local", true, false), ("always", true, true), ("never", false, false)]
    {
        for line in ["", r#"engine = "async""#, r#"isolation = "process""#] {
            let line = format!("{line}\ncrash_details = \"{details}\"");
            for (transport, is_told) in [(Transport::Stdio, over_stdio), (Transport::Http, over_http)] {
                let told = told(&line, transport, "no reason");
                let words = "crashed: wasm `unreachable` instruction executed";
                assert!(told.contains(words), "{line}: {told}");
                assert_eq!(
                    told.ends_with("; it wrote last: no reason"),
                    is_told,
                    "{line} {transport:?}: {told}"
                );
                assert_eq!(told.contains("no reason"), is_told, "{line} {transport:?}: {told}");
            }
        }
    }
    let wrong = World::new().plugin("p", &test_guest("panicking")).with(r#"crash_details = "some""#);
    let check = wrong.run(&["check"]);
    assert_eq!(check.code, 2);
    assert!(check.stderr.contains(r#"write "local", "always" or "never""#), "{}", check.stderr);
}

#[test]
fn on_the_command_line_the_last_words_are_told_as_text_and_as_json() {
    let world = World::new().plugin("panic", &test_guest("panicking"));
    let called = world.run(&["call", "panic_run", "--args", r#"{"why":"no reason"}"#, "--json"]);
    assert!(
        called.json()["text"].as_str().unwrap().ends_with("it wrote last: no reason"),
        "{}",
        called.said()
    );
    assert!(called.stderr.contains("no reason"), "{}", called.stderr);
    let world = World::new().plugin("panic", &test_guest("panicking")).with(r#"crash_details = "never""#);
    let called = world.run(&["call", "panic_run", "--args", r#"{"why":"no reason"}"#, "--json"]);
    assert!(called.said().contains("crashed: ") && !called.said().contains("no reason"), "{}", called.said());
}

#[test]
fn the_last_words_of_a_plugin_are_escaped_and_bounded() {
    for line in ["", r#"isolation = "process""#] {
        let told = told(line, Transport::Stdio, &format!("\u{1b}[31m\u{202e}{}", "x".repeat(5_000)));
        assert!(told.contains(r"\u{1b}[31m\u{202e}xxx"), "{told}");
        assert!(told.chars().count() < 500 && told.ends_with(" more)"), "{told}");
    }
}

#[test]
fn what_was_cut_from_the_log_is_not_told_for_the_last_words() {
    let world = World::new().plugin("panic", &test_guest("panicking")).limit("log_bytes_max = 100");
    let reply = world.serve(Transport::Stdio).call("panic_run", json!({ "why": "x".repeat(5_000) }));
    assert!(reply.text().ends_with("instruction executed"), "{reply:?}");
}

#[test]
fn a_secret_in_the_last_words_is_told_to_nobody() {
    const SECRET: &str = "s3cr3t/t0ken+x\"y";
    fn test() {
        let world = World::new()
            .plugin("web", &test_guest("requesting"))
            .grant(r#"http = [{ scheme = "http", host = "127.0.0.1", port = 9, private = true, secret = "token" }]"#)
            .secret_file("secrets/token", SECRET)
            .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\n");
        let server = world.serve(Transport::Stdio);
        for form in [SECRET.to_owned(), format!("{SECRET:?}"), SECRET.replace('+', "%2B")] {
            let reply = server.call("web_fail", json!({ "why": format!("401 for {form}") }));
            assert!(reply.text().contains("it wrote last: 401 for "), "{reply:?}");
            assert!(reply.text().contains("[secret]") && !reply.text().contains("t0ken"), "{reply:?}");
        }
    }
    test();
    apart(&[test]);
}

#[test]
fn the_last_words_of_plugins_in_other_languages_say_why() {
    let overflows = json!({ "numbers": [i64::MAX.to_string(), i64::MAX.to_string()] });
    for (language, grant, arguments, words) in [
        ("go", "", json!({ "last": 0 }), "it wrote last: panic: nothing to add up"),
        ("python", "sockets = []", overflows.clone(), "OverflowError"),
        ("javascript-quickjs", "", overflows, "it wrote last: "),
    ] {
        let Some(bytes) = guest::language(language) else { continue };
        let server = World::new().plugin("same", &bytes).grant(grant).serve(Transport::Stdio);
        let reply = server.call("same_sum", arguments);
        assert!(reply.is_error() && reply.text().contains(words), "{language}: {reply:?}\n{}", server.log());
    }
}
