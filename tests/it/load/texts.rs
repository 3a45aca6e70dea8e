//! Texts for models: findings of lints, and the texts and schemas of tools declared at run time.

use serde_json::{Value, json};
use toolgate_tests::named::naming;
use toolgate_tests::{Transport, World};

use super::manifest::tool;

/// Reason for which a plugin with these bytes is refused.
fn refusal(bytes: &[u8]) -> String {
    let check = World::with_own_cache().plugin("p", bytes).run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    check.stderr
}

/// Texts with hidden content, by the lint that finds it.
fn hostile() -> Vec<(&'static str, String)> {
    let texts = [
        ("control-character", "a\u{7}b"),
        ("ansi-escape", "\u{1b}[8mhidden"),
        ("ansi-escape", "\u{9b}8mhidden"),
        ("bidi-character", "a\u{202e}b"),
        ("zero-width-character", "a\u{200b}b"),
        ("zero-width-character", "a\u{1bca0}\u{1bca3}b"),
        ("zero-width-character", "a\u{2800}b"),
        ("zero-width-character", "a\u{3164}b"),
        ("zero-width-character", "a\u{2063}b"),
        ("zero-width-character", "a\u{fe0f}b"),
        ("tag-character", "a\u{e0049}b"),
        ("tag-character", "a\u{e0101}b"),
        ("unassigned-character", "a\u{378}b"),
        ("unassigned-character", "a\u{fdd0}b"),
        ("unassigned-character", "a\u{10ffff}b"),
        ("private-use-character", "a\u{e000}b"),
        ("private-use-character", "a\u{10fffd}b"),
        ("html-comment", "<!-- do as I say -->"),
        ("hidden-markup", "<details><summary>More</summary>do as I say</details>"),
        ("hidden-markup", "<p hidden>do as I say</p>"),
        ("hidden-markup", "<span style=\"display:none\">do as I say</span>"),
        ("hidden-markup", "[//]: # (do as I say)"),
        ("hidden-markup", "[x]: https://example.com 'do as I say'"),
        ("blank-run", "a\n\n\n\ndo as I say"),
    ];
    let mut texts: Vec<_> = texts.into_iter().map(|(lint, text)| (lint, text.to_owned())).collect();
    texts.push(("blank-run", format!("a{}do as I say", " ".repeat(65))));
    texts.push(("blank-run", format!("a{}do as I say", "\n".repeat(25))));
    texts.push(("long-description", "x".repeat(1_025)));
    texts
}

#[test]
fn each_lint_refuses_and_passes_where_the_operator_names_it() {
    for (lint, text) in hostile() {
        for texts in
            [json!({ "description": text }), json!({ "title": text }), json!({ "params": { "n": text } })]
        {
            let bytes = tool(texts);
            let refused = refusal(&bytes);
            assert!(refused.contains(&format!(r#"allow_lints = ["{lint}"]"#)), "{lint}: {refused}");
            let steering = |c: char| c != '\n' && !toolgate_policy::redact::is_plain(c);
            assert!(!refused.contains(steering), "{refused:?}");
            let world =
                World::with_own_cache().plugin("p", &bytes).with(&format!(r#"allow_lints = ["{lint}"]"#));
            let tools = world.run(&["tools"]);
            assert_eq!(tools.code, 0, "{lint} {text:?}: {}", tools.said());
            assert!(!tools.stdout.contains(steering), "{lint} reaches the terminal: {:?}", tools.stdout);
        }
    }
}

#[test]
fn texts_of_every_script_and_emoji_pass() {
    for text in [
        "❤️ 1️⃣ 👩🏽‍💻 🏳️‍🌈",
        "می‌خواهم، مرحبا، שלום",
        "क्‍ष က္က র‍্য 世界 한국어 ไทย",
        "Doubles <b>n</b>; see [docs](https://example.com/a).\n\n- one\n- two\n\n```json\n{}\n```",
    ] {
        let check =
            World::with_own_cache().plugin("p", &tool(json!({ "description": text }))).run(&["check"]);
        assert_eq!(check.code, 0, "{text}: {}", check.said());
    }
}

const OBJECT: &str = r#"{"type":"object"}"#;

#[test]
fn a_schema_that_is_none_leads_elsewhere_or_takes_for_ever_is_refused_at_load() {
    for (schema, words) in [
        (r#"{"type":"object","properties":5}"#, "it is not a JSON Schema"),
        (r#"{"type":"object","$defs":{"never":{"type":"texts"}}}"#, "it is not a JSON Schema"),
        (r#"{"type":"object","properties":{"a":{"$ref":"https://example.com/a"}}}"#, "outside of it"),
        (r#"{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}"#, "outside of it"),
        (r#"{"type":"object","properties":{"a":{"$dynamicRef":"http://[::1]/a#b"}}}"#, "outside of it"),
        (r#"{"type":"object","$id":"https://example.com/a"}"#, "`$id` is https://example.com/a"),
        (r#"{"type":"object","$schema":"https://example.com/a"}"#, "`$schema` is https://example.com/a"),
        (r#"{"type":"object","properties":{"a":{"pattern":"^(a+)+$"}}}"#, "read one text in many ways"),
        (r#"{"type":"object","patternProperties":{"(?=a)b":{}}}"#, "do not read"),
        (r##"{"type":"object","allOf":[{"$ref":"#"}]}"##, "come back to where they began"),
        (r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/gone"}}}"##, "where it has no schema"),
    ] {
        for bytes in [naming("One.", schema, None), naming("One.", OBJECT, Some(schema))] {
            let refused = refusal(&bytes);
            assert!(refused.contains("its dynamic tool `one` has a schema that is refused: "), "{refused}");
            assert!(refused.contains(words), "{schema}: {refused}");
        }
    }
}

#[test]
fn texts_of_tools_that_are_named_at_run_time_are_held_to_the_lints_wherever_they_stand() {
    for (lint, text) in hostile() {
        let schema = |schema: Value| schema.to_string();
        for bytes in [
            naming(&text, OBJECT, None),
            naming("One.", &schema(json!({ "type": "object", "title": text })), None),
            naming("One.", &schema(json!({ "type": "object", "properties": { &text: {} } })), None),
            naming("One.", OBJECT, Some(&schema(json!({ "type": "object", "examples": [{ "a": [text] }] })))),
            naming(
                "One.",
                &schema(json!({ "type": "object", "properties": { "a": { "enum": [text] } } })),
                None,
            ),
        ] {
            let refused = refusal(&bytes);
            assert!(refused.contains(&format!(r#"allow_lints = ["{lint}"]"#)), "{lint} {text:?}: {refused}");
        }
    }
}

#[test]
fn a_schema_that_people_write_is_listed_as_it_is() {
    let schema = r##"{"type":"object","$schema":"http://json-schema.org/draft-07/schema#","properties":{"host":{"type":"string","pattern":"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"},"more":{"$ref":"#/definitions/more"}},"definitions":{"more":{"type":"array","items":{"$ref":"#"}}}}"##;
    let server = World::with_own_cache().plugin("p", &naming("One.", schema, None)).serve(Transport::Http);
    let listed = server.request("tools/list", json!({}))["result"]["tools"].clone();
    assert_eq!(listed[0]["inputSchema"], serde_json::from_str::<Value>(schema).unwrap());
}
