//! A plugin's own metadata: the `toolgate` section, `toolgate pack`, lints, and the part that a client sees.

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, guest};

/// A component with one function for each form of result.
fn plain() -> Vec<u8> {
    guest::wat(
        r#"(component
        (core module $m
            (memory (export "memory") 1)
            (data (i32.const 8) "\10\00\00\00\03\00\00\00") (data (i32.const 16) "\01\02\03")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
            (func (export "bytes") (result i32) i32.const 8)
            (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))
        (core instance $i (instantiate $m))
        (func (export "bytes") (result (list u8)) (canon lift (core func $i "bytes") (memory (core memory $i "memory"))))
        (func (export "double") (param "n" u32) (result u32) (canon lift (core func $i "double"))))"#,
    )
}

/// A component with these custom sections at its end.
fn with_sections(sections: &[(&str, &str)]) -> Vec<u8> {
    let add = |bytes, (name, content): &(&str, &str)| guest::with_section(bytes, name, content.as_bytes());
    sections.iter().fold(plain(), add)
}

fn section(content: &Value) -> Vec<u8> {
    with_sections(&[("toolgate", &content.to_string())])
}

pub(super) fn tool(texts: Value) -> Vec<u8> {
    section(&json!({ "format": 1, "tool": { "double": texts } }))
}

fn listed(world: World, name: &str) -> Value {
    let tools = world.serve(Transport::Http).request("tools/list", json!({}))["result"]["tools"].clone();
    tools.as_array().unwrap().iter().find(|tool| tool["name"] == name).unwrap().clone()
}

#[test]
fn a_client_sees_what_the_section_says() {
    let icon = "data:image/png;base64,AAAA";
    let bytes = tool(json!({
        "title": "Double", "description": "Doubles a number.",
        "params": { "n": "The number.", "return": "Twice as much." },
        "icons": [icon],
    }));
    let double = listed(World::with_own_cache().plugin("p", &bytes), "p_double");
    assert_eq!((&double["title"], &double["description"]), (&json!("Double"), &json!("Doubles a number.")));
    assert_eq!(double["inputSchema"]["properties"]["n"]["description"], "The number.");
    assert_eq!(double["outputSchema"]["properties"]["result"]["description"], "Twice as much.");
    assert_eq!(double["icons"], json!([{ "src": icon, "mimeType": "image/png" }]));
}

#[test]
fn a_plugins_word_makes_callers_more_careful_and_never_less() {
    let claims = json!({ "annotations": { "read_only": false, "destructive": true, "open_world": true } });
    let double = listed(World::with_own_cache().plugin("p", &tool(claims)), "p_double");
    let proved = json!({ "readOnlyHint": true, "destructiveHint": false, "openWorldHint": false });
    assert_eq!(double["annotations"], proved, "what can be proved needs nobody's word");
    let notes = |name: &str| {
        let world = World::with_own_cache().plugin("notes", &toolgate_tests::plugin("notes")).folder("notes");
        let grant = r#"files = [{ host = "notes", guest = "/notes", access = "read-write" }]"#;
        listed(world.grant(grant), name)["annotations"].clone()
    };
    assert_eq!(notes("notes_delete")["destructiveHint"], true);
    assert_eq!(notes("notes_read")["readOnlyHint"], false, "it could write");
}

#[test]
fn bytes_are_told_as_what_their_author_says_they_are() {
    let told = |output: Value| {
        let bytes = section(&json!({ "format": 1, "tool": { "bytes": output } }));
        let server = World::with_own_cache().plugin("p", &bytes).serve(Transport::Http);
        server.request("tools/call", json!({ "name": "p_bytes", "arguments": {} }))["result"].clone()
    };
    let image = told(json!({ "output": "image", "mime_type": "image/png" }));
    assert_eq!(image["content"], json!([{ "type": "image", "data": "AQID", "mimeType": "image/png" }]));
    assert_eq!(image.get("structuredContent"), None);
    let audio = told(json!({ "output": "audio", "mime_type": "audio/wav" }));
    assert_eq!(audio["content"], json!([{ "type": "audio", "data": "AQID", "mimeType": "audio/wav" }]));
    let blob = told(json!({ "output": "blob", "mime_type": "application/pdf" }));
    let resource = &blob["content"][0]["resource"];
    assert_eq!((&resource["blob"], &resource["mimeType"]), (&json!("AQID"), &json!("application/pdf")));
    assert!(resource["uri"].as_str().unwrap().starts_with("urn:sha256:"), "{resource}");
    let text = told(json!({ "output": "text" }));
    assert_eq!(text["content"], json!([{ "type": "text", "text": "\"AQID\"" }]));
    assert_eq!(text.get("structuredContent"), None);
    let structured = told(json!({}));
    assert_eq!(structured["structuredContent"], json!({ "result": "AQID" }));
}

fn refusal(bytes: &[u8]) -> String {
    let check = World::with_own_cache().plugin("p", bytes).run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    check.stderr
}

#[test]
fn a_section_that_is_not_read_in_full_is_refused() {
    let long = "x".repeat(66_000);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (with_sections(&[("toolgate", r#"{"format":1}"#), ("toolgate", r#"{"format":1}"#)]), "there are two"),
        (with_sections(&[("toolgate", "{")]), "not JSON"),
        (with_sections(&[("toolgate", r#"{"format":1,"format":1}"#)]), "twice"),
        (
            with_sections(&[("toolgate", &format!(r#"{{"format":1,"id":"{long}"}}"#))]),
            "more than 65536 bytes",
        ),
        (section(&json!({ "format": 2 })), "`format` is not 1"),
        (section(&json!({ "format": 1, "titel": "x" })), "`titel` is not a key that is known here"),
        (tool(json!({ "titel": "x" })), "`tool.double.titel` is not a key"),
        (tool(json!({ "title": 7 })), "`tool.double.title` is an integer, not a text"),
        (tool(json!({ "output": "video" })), "`video`"),
        (tool(json!({ "output": "image" })), "mime_type"),
        (tool(json!({ "output": "image", "mime_type": "image/png" })), "does not return list<u8>"),
        (tool(json!({ "output": "image", "mime_type": "image/svg+xml" })), "an active media type"),
        (tool(json!({ "output": "blob", "mime_type": "text/html" })), "an active media type"),
        (tool(json!({ "icons": ["data:image/svg+xml;base64,AAAA"] })), "icons"),
        (tool(json!({ "icons": ["javascript:x"] })), "icons"),
        (tool(json!({ "icons": ["https://example.com/i.png"] })), "icons"),
        (
            section(&json!({ "format": 1, "tool": { "gone": {} } })),
            "speaks of gone, which it does not export",
        ),
        (section(&json!({ "format": 1, "requires": ["everything"] })), "not a capability"),
        (
            section(&json!({ "format": 1, "requires": ["http"] })),
            "requires http, and it imports nothing of that",
        ),
        (section(&json!({ "format": 1, "id": "acme/other" })), r#"give it id = "acme/other""#),
    ];
    for (bytes, words) in cases {
        let refused = refusal(&bytes);
        assert!(refused.contains(words), "{words}: {refused}");
    }
}

#[test]
fn a_section_inside_an_inner_component_says_nothing_of_the_outer_one() {
    let bytes = guest::wat(
        r#"(component
        (component $inner (@custom "toolgate" "this is not JSON"))
        (core module $m (func (export "seven") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func (export "seven") (result u32) (canon lift (core func $i "seven"))))"#,
    );
    let check = World::with_own_cache().plugin("p", &bytes).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn what_a_section_requires_must_be_granted() {
    let world = || World::with_own_cache().plugin("notes", &toolgate_tests::plugin("notes")).folder("notes");
    let check = world().run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(
        check.stderr.contains("it needs `files`; add to its [plugin.grant]: files = ["),
        "{}",
        check.stderr
    );
    assert_eq!(world().grant("files = []").run(&["check"]).code, 0);
}

#[test]
fn a_tool_that_reads_like_anothers_is_refused_unless_that_is_meant() {
    let world =
        |name: &str| World::with_own_cache().plugin("files", &guest::seven()).plugin(name, &guest::seven());
    for (name, alike) in [("fi1es", true), ("flles", true), ("fiels", true), ("file", true), ("notes", false)]
    {
        let check = world(name).run(&["check"]);
        assert_eq!(check.code, if alike { 3 } else { 0 }, "{name}: {}", check.said());
        if alike {
            assert!(check.stderr.contains(r#"allow_lints = ["similar-name"]"#), "{}", check.stderr);
            assert_eq!(world(name).with(r#"allow_lints = ["similar-name"]"#).run(&["check"]).code, 0);
        }
    }
}

#[test]
fn a_lint_that_does_not_exist_cannot_be_allowed() {
    let check = World::with_own_cache()
        .plugin("p", &guest::seven())
        .with(r#"allow_lints = ["everything"]"#)
        .run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains("not a lint; there are control-character, "), "{}", check.stderr);
}

fn surface(bytes: &[u8]) -> String {
    let world = World::with_own_cache().plugin("p", bytes);
    let component = world.path("plugins/p.wasm");
    let inspected = world.run_as_is(&["inspect", "--json", component.to_str().unwrap()]);
    assert_eq!(inspected.code, 0, "{}", inspected.said());
    inspected.json()["surface"].as_str().unwrap().to_owned()
}

#[test]
fn the_surface_digest_changes_with_every_word_that_a_model_reads_and_with_nothing_else() {
    let base = surface(&tool(json!({ "description": "Doubles." })));
    assert_eq!(base, surface(&tool(json!({ "description": "Doubles." }))));
    let other =
        section(&json!({ "format": 1, "version": "2", "tool": { "double": { "description": "Doubles." } } }));
    assert_eq!(base, surface(&other), "a version is for people");
    for texts in [
        json!({ "description": "Doubles!" }),
        json!({ "description": "Doubles.", "title": "x" }),
        json!({ "description": "Doubles.", "params": { "n": "x" } }),
        json!({ "description": "Doubles.", "annotations": { "destructive": true } }),
        json!({ "description": "Doubles.", "icons": ["data:image/png;base64,AAAA"] }),
        json!({ "description": "Doubles.", "output": "text" }),
    ] {
        assert_ne!(base, surface(&tool(texts.clone())), "{texts}");
    }
}

#[test]
fn packing_writes_the_manifest_and_the_doc_comments_and_twice_gives_the_same_bytes() {
    let wit = "package a:b;\nworld w {\n  /// Doubles a number.\n  ///\n  /// @param n The number.\n  export double: func(n: u32) -> u32;\n  export bytes: func() -> list<u8>;\n}\n";
    let world = World::with_own_cache()
        .plugin("p", &plain())
        .file("wit/w.wit", wit)
        .file("plugin.toml", "id = \"p\"\nversion = \"1.0.0\"\n[tool.double]\ntitle = \"Double\"\n");
    let path = |name: &str| world.path(name).to_string_lossy().into_owned();
    let pack = |from: &str, to: &str| {
        let (from, to, manifest, wit) = (path(from), path(to), path("plugin.toml"), path("wit"));
        let packed = world.run_as_is(&["pack", &from, "--manifest", &manifest, "--wit", &wit, "--out", &to]);
        assert_eq!(packed.code, 0, "{}", packed.said());
        std::fs::read(&to).unwrap()
    };
    let once = pack("plugins/p.wasm", "once.wasm");
    assert_eq!(once, pack("once.wasm", "twice.wasm"));
    let double = listed(World::with_own_cache().plugin("p", &once), "p_double");
    assert_eq!((&double["title"], &double["description"]), (&json!("Double"), &json!("Doubles a number.")));
    assert_eq!(double["inputSchema"]["properties"]["n"]["description"], "The number.");
}

#[test]
fn what_cannot_be_packed_says_what_was_probably_meant_and_changes_nothing() {
    for (manifest, words) in [
        ("[tool.duoble]\ntitle = \"x\"\n", "did you mean `double`?"),
        ("[tool.double.params]\nm = \"x\"\n", "tool.double.params.m: the function has no such part"),
        ("[tool.double]\ntitel = \"x\"\n", "`tool.double.titel` is not a key that is known here"),
        ("[tool.double]\noutput = \"image\"\nmime_type = \"image/png\"\n", "does not return list<u8>"),
        ("requires = [\"http\"]\n", "it imports nothing of that"),
        ("tool = 1\n", "`tool` is not a table"),
        ("=\n", "it is not TOML"),
    ] {
        let world = World::with_own_cache().plugin("p", &plain()).file("plugin.toml", manifest);
        let component = world.path("plugins/p.wasm");
        let manifest = world.path("plugin.toml");
        let packed =
            world.run_as_is(&["pack", component.to_str().unwrap(), "--manifest", manifest.to_str().unwrap()]);
        assert!(packed.code == 2 || packed.code == 3, "{}", packed.said());
        assert!(packed.stderr.contains(words), "{words}: {}", packed.stderr);
        assert_eq!(std::fs::read(&component).unwrap(), plain());
    }
}

#[test]
fn the_published_schema_of_the_section_takes_what_the_reader_takes() {
    let schema =
        std::fs::read_to_string(toolgate_tests::root().join("docs/toolgate-section.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let tool = &schema["$defs"]["tool"]["properties"];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&schema["properties"]), ["format", "id", "version", "requires", "tool"]);
    assert_eq!(keys(tool), ["title", "description", "params", "annotations", "output", "mime_type", "icons"]);
    let words: Vec<&str> = toolgate_policy::Capability::ALL.iter().map(|word| word.word()).collect();
    assert_eq!(schema["properties"]["requires"]["items"]["enum"], json!(words));
}
