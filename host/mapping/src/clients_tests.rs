//! Client rules, case by case.

use serde_json::json;

use super::*;

fn refusals(client: &str, input: Value) -> Vec<String> {
    let client = CLIENTS.iter().find(|known| known.word == client).unwrap();
    let refusals = client.refuses("tool", input.as_object().unwrap(), None);
    refusals.into_iter().map(|refusal| format!("{}: {}", refusal.at, refusal.what)).collect()
}

fn one(schema: Value) -> Value {
    json!({ "type": "object", "properties": { "a": schema }, "required": ["a"], "additionalProperties": false })
}

#[test]
fn what_is_refused_is_named_with_its_place() {
    for (client, schema, expected) in [
        ("vscode", json!({ "type": "array", "prefixItems": [{}] }), "an array without `items`"),
        ("openai", json!({ "type": "array" }), "an array without `items`"),
        (
            "openai-strict",
            json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }),
            "`uniqueItems`",
        ),
        ("openai-strict", json!({ "type": "string", "minLength": 1 }), "`minLength`"),
        ("openai-strict", json!({ "oneOf": [{ "type": "string" }], "type": "string" }), "`oneOf`"),
        ("openai-strict", json!({ "type": "object" }), "an object without `additionalProperties: false`"),
        ("gemini", json!({ "type": "string", "const": "x" }), "`const`"),
        ("gemini", json!({ "type": ["string", "null"] }), "`type` with several types"),
        ("gemini", json!({ "type": "integer", "enum": [1] }), "`enum` of anything but texts"),
        (
            "gemini",
            json!({ "anyOf": [{ "type": "string" }], "description": "x" }),
            "`description` beside `anyOf`",
        ),
        ("gemini", json!({ "description": "x" }), "a schema without `type`"),
        ("inspector", json!(true), "`true` as a schema"),
        ("inspector", json!({ "type": ["string", "null"] }), "`type` with several types"),
    ] {
        assert_eq!(
            refusals(client, one(schema)),
            [format!("/inputSchema/properties/a: {expected}")],
            "{client}"
        );
    }
    let optional = json!({ "type": "object", "properties": { "a/b": { "type": "string" } }, "additionalProperties": false });
    assert_eq!(
        refusals("openai-strict", optional.clone()),
        ["/inputSchema: the property `a/b`, which is not in `required`"]
    );
    assert_eq!(refusals("anthropic", optional), ["/inputSchema: the property `a/b`: `/` in a name"]);
    assert_eq!(
        refusals("anthropic", json!({ "type": "object", "anyOf": [] })),
        ["/inputSchema: `anyOf` at the top"]
    );
}

#[test]
fn sizes_are_held_to_what_is_taken() {
    let deep = |levels: usize| (1..levels).fold(one(json!({ "type": "string" })), |schema, _| one(schema));
    assert_eq!(refusals("openai-strict", deep(10)), Vec::<String>::new());
    let refused = refusals("openai-strict", deep(11));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].ends_with("objects in objects of more than 10 levels"), "{refused:?}");
    let names = |count: usize| {
        one(json!({ "type": "string", "enum": (0..count).map(|n| n.to_string()).collect::<Vec<_>>() }))
    };
    assert_eq!(refusals("openai-strict", names(1_000)), Vec::<String>::new());
    assert_eq!(
        refusals("openai-strict", names(1_001)),
        ["/inputSchema: 1001 values in `enum` in all, where 1000 are taken"]
    );
    let many = one(json!({ "type": "array", "prefixItems": vec![json!(true); 100], "items": true }));
    assert_eq!(refusals("inspector", many).len(), REFUSALS_MAX, "no more are listed");
}

#[test]
fn names_are_held_to_the_letters_and_length_that_are_taken() {
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let refused = |client: &str, name: &str| {
        let client = CLIENTS.iter().find(|known| known.word == client).unwrap();
        !client.refuses(name, schema.as_object().unwrap(), None).is_empty()
    };
    for client in CLIENTS {
        assert!(!refused(client.word, "plugin_do_it"), "{}", client.word);
        assert_eq!(refused(client.word, "plugin_do-it"), client.word == "cursor", "{}", client.word);
        assert!(refused(client.word, "do it"), "{}", client.word);
        assert_eq!(refused(client.word, "7_do"), client.word == "gemini", "{}", client.word);
        assert!(!refused(client.word, "_do"), "{}", client.word);
        assert_eq!(refused(client.word, &"x".repeat(64)), client.word == "cursor");
        assert_eq!(refused(client.word, &"x".repeat(65)), client.word != "inspector");
    }
    assert!(!refused("cursor", &"x".repeat(51)) && refused("cursor", &"x".repeat(52)));
}
