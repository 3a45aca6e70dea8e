//! Requests and grants must agree: a needed capability without a grant refuses a plugin, and so does the reverse.

use serde_json::{Value, json};
use toolgate_policy::Capability;
use toolgate_tests::guest::leb128;
use toolgate_tests::{World, guest, plugin, test_guest};

use super::{assert_refused, beside_a_good_one};

#[test]
fn a_missing_grant_is_refused_with_the_line_to_add() {
    let line = Capability::Http.suggestion();
    assert_refused(
        beside_a_good_one(&plugin("fetch")).with("id = \"fetch\""),
        &format!("it needs `http`; add to its [plugin.grant]: {line}"),
    );
}

#[test]
fn every_missing_grant_is_named_at_once() {
    let world = World::with_own_cache().plugin(
        "both",
        &guest::wat(
            r#"(component
            (import "wasi:config/store@0.2.0-rc.1" (instance))
            (import "wasi:keyvalue/store@0.2.0-draft" (instance))
            (import "wasi:sockets/tcp@0.2.0" (instance)))"#,
        ),
    );
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3);
    for word in [Capability::Config, Capability::Keyvalue, Capability::Sockets] {
        assert!(check.stderr.contains(&format!("it needs `{word}`")), "{}", check.stderr);
    }
}

#[test]
fn a_grant_for_what_the_plugin_cannot_use_is_refused() {
    for word in Capability::ALL {
        let world =
            World::with_own_cache().plugin("seven", &guest::seven()).folder("data").grant(word.suggestion());
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{word}: {}", check.said());
        assert!(
            check.stderr.contains(&format!("`{word}` is granted and the plugin cannot use it")),
            "{}",
            check.stderr
        );
    }
}

/// The proposal in the line about a capability: everything after `after`.
fn proposed(text: &str, word: Capability, after: &str) -> String {
    let is_about = |line: &&str| line.contains(&word.to_string()) && line.contains(after);
    let line = text.lines().find(is_about).unwrap_or_else(|| panic!("nothing for {word}: {text}"));
    line.rsplit_once(after).unwrap().1.trim().to_owned()
}

/// A call that needs the grant and its answer, or a question to `explain` if the call would contact another machine.
enum Use {
    Call(&'static str, Value, &'static str),
    Question(&'static [&'static str]),
}

fn uses() -> [(Capability, &'static str, Use); 8] {
    [
        (Capability::Files, "filing", Use::Call("p_look", json!({ "path": "/data/a.txt" }), "there")),
        (Capability::Http, "requesting", Use::Question(&["http", "https://api.example.com/v1"])),
        (Capability::Sockets, "connecting", Use::Question(&["sockets", "db.example.com:5432"])),
        (Capability::Environment, "probing", Use::Call("p_run", json!({}), r#"["NAME","value"]"#)),
        (Capability::Config, "configured", Use::Call("p_get", json!({ "key": "key" }), "value")),
        (
            Capability::Keyvalue,
            "storing",
            Use::Call("p_set", json!({ "bucket": "", "key": "k", "value": "AA==" }), ""),
        ),
        (Capability::Clock, "timing", Use::Call("p_wall-ns", json!({}), "")),
        (Capability::Random, "dicing", Use::Call("p_run", json!({ "bytes": 1 }), "")),
    ]
}

#[test]
fn each_line_that_is_proposed_works_when_it_is_pasted() {
    for (word, name, used) in uses() {
        let world = || World::new().plugin("p", &test_guest(name)).file("data/a.txt", "there");
        let inspected = world().run(&["inspect", "plugins/p.wasm"]);
        let mut lines = vec![proposed(&inspected.stdout, word, "to grant it: ")];
        let check = world().run(&["check"]);
        if check.code == 0 {
            // Its use is optional, so it loads; the refusal of a use proposes a grant as well.
            let none = match word {
                Capability::Clock | Capability::Random => world().grant(&word.nothing()),
                _ => world(),
            };
            let explained = none.run(&["explain", "p", word.word()]);
            let explained = if explained.code == 2 { none.run(&["explain", "p"]) } else { explained };
            let after = if explained.stdout.contains("add to its [plugin.grant]: ") {
                "add to its [plugin.grant]: "
            } else {
                "to grant it: "
            };
            lines.push(proposed(&explained.stdout, word, after));
        } else {
            lines.push(proposed(&check.stderr, word, "add to its [plugin.grant]: "));
        }
        for line in lines {
            let world = world().grant(&line);
            let check = world.run(&["check"]);
            assert!(check.code == 0 && !check.said().contains("warning"), "{line}: {}", check.said());
            match &used {
                Use::Question(question) => {
                    let explained = world.run(&[&["explain", "p"], *question].concat());
                    assert_eq!(explained.code, 0, "{line}: {}", explained.said());
                }
                Use::Call(tool, args, answer) => {
                    let reply = world.ask(tool, args);
                    assert!(
                        !reply.is_error() && reply.0.to_string().replace('\\', "").contains(answer),
                        "{line}: {reply:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_grant_that_refuses_all_that_a_plugin_needs_is_warned_of() {
    for (word, name) in [
        (Capability::Http, "requesting"),
        (Capability::Config, "configured"),
        (Capability::Sockets, "connecting"),
        (Capability::Keyvalue, "storing"),
    ] {
        let world = World::new().plugin("p", &test_guest(name)).grant(&word.nothing());
        let words = format!("it needs `{word}`, and {} refuses every use of it", word.nothing());
        let check = world.run(&["check"]);
        assert_eq!(check.code, 0, "{word}: {}", check.said());
        assert!(check.stdout.contains(&format!("  warning: {words}")), "{word}: {}", check.said());
        let json = world.run(&["check", "--json"]).json();
        assert!(json["plugins"][0]["warnings"][0].as_str().unwrap().starts_with(&words), "{json}");
        let shown = world.locked().run(&["plugin", "diff", "p"]);
        assert!(shown.stdout.contains(&words), "{word}: {}", shown.said());
    }
}

/// A component with this import, and these tools in its `producers` section.
fn built_by(import: &str, tools: &[&str]) -> Vec<u8> {
    let text = |text: &str| [leb128(text.len()), text.as_bytes().to_vec()].concat();
    let mut producers = [vec![1], text("processed-by"), leb128(tools.len())].concat();
    for tool in tools {
        producers.extend([text(tool), text("0.1.0")].concat());
    }
    let component = guest::wat(&format!(
        r#"(component
        (import "{import}" (instance))
        (core module $m (func (export "seven") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func (export "seven") (result u32) (canon lift (core func $i "seven"))))"#
    ));
    guest::with_section(component, "producers", &producers)
}

#[test]
fn what_a_toolchain_imports_by_itself_is_told_from_what_a_plugin_needs() {
    const HTTP: &str = "wasi:http/types@0.2.0";
    for (tools, by) in [
        (vec!["wit-component", "ComponentizeJS"], Some("componentize-js")),
        (vec!["wit-component"], None),
        (vec![], None),
    ] {
        let world = || World::new().plugin("p", &built_by(HTTP, &tools));
        let words = "imported by its toolchain (componentize-js), whether its code uses it or not";
        let inspected = world().run(&["inspect", "plugins/p.wasm"]);
        assert_eq!(inspected.stdout.contains(words), by.is_some(), "{tools:?}: {}", inspected.said());
        let json = world().run(&["inspect", "plugins/p.wasm", "--json"]).json();
        assert_eq!(json["importedByToolchain"]["http"].as_str(), by, "{json}");
        let refused = world().run(&["check"]);
        assert_eq!(refused.code, 3);
        let words =
            "add to its [plugin.grant]: http = [] (which refuses every use: componentize-js imports it";
        assert_eq!(refused.stderr.contains(words), by.is_some(), "{}", refused.said());
        let check = world().grant("http = []").run(&["check"]);
        assert_eq!((check.code, check.stdout.contains("warning")), (0, by.is_none()), "{}", check.said());
    }
    // Whatever built it: it does not import what the toolchain would.
    let other = World::new().plugin("p", &built_by("wasi:config/store@0.2.0-rc.1", &["ComponentizeJS"]));
    let inspected = other.run(&["inspect", "plugins/p.wasm", "--json"]).json();
    assert_eq!(inspected["importedByToolchain"], json!({}), "{inspected}");
}

#[test]
fn a_producers_section_that_cannot_be_read_says_nothing_and_harms_nothing() {
    for bytes in [&b""[..], b"\xff", b"\x01\x0cprocessed-by\xff\xff\xff\xff\x0f", b"\x05\x04lang"] {
        let component = guest::with_section(built_by("wasi:http/types@0.2.0", &[]), "producers", bytes);
        let inspected = World::new().plugin("p", &component).run(&["inspect", "plugins/p.wasm", "--json"]);
        assert_eq!(inspected.json()["importedByToolchain"], json!({}), "{bytes:?}: {}", inspected.said());
    }
}

#[test]
fn python_imports_sockets_by_its_toolchain_and_says_so() {
    let Some(bytes) = guest::language("python") else { return };
    let world = World::new().plugin("p", &bytes);
    let inspected = world.run(&["inspect", "plugins/p.wasm"]);
    let words =
        "needs      sockets, imported by its toolchain (componentize-py), whether its code uses it or not";
    assert!(inspected.stdout.contains(words), "{}", inspected.said());
}

#[test]
fn a_plugin_needs_no_grant_for_pure_computation() {
    let check = World::with_own_cache().plugin("hello", &plugin("hello")).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}
