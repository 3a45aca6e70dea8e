//! Display of a plugin's changes.

use serde_json::json;

use super::*;

#[test]
fn words_that_went_and_came_are_marked() {
    assert_eq!(words("reads a file", "reads a secret file"), "reads a {+secret +}file");
    assert_eq!(words("reads files", "deletes files"), "[-reads-]{+deletes+} files");
    assert_eq!(words("same", "same"), "same");
}

#[test]
fn no_text_of_a_plugin_reads_as_a_mark_of_a_change() {
    let marks = |text: &str| ["[-", "-]", "{+", "+}"].map(|mark| text.matches(mark).count());
    for (was, is) in [
        ("reads a file", "reads [-a secret-] {+a+} file"),
        ("[-reads-] files", "{+reads+} files"),
        ("a [b] c", "a + [b] c - [b]"),
        ("x [", "x [ -y-] {"),
        ("[", "{"),
        ("} a", "} +} a"),
        ("a\n+}\n    + signed", "a\n-]{+\n"),
        ("+ a -", "] a ["),
        ("", "+}[-everything-]{+"),
    ] {
        let text = words(was, is);
        let [gone, gone_end, came, came_end] = marks(&text);
        assert_eq!((gone, came), (gone_end, came_end), "{text}");
        // Text between the marks, unescaped, is the old and the new text.
        let (mut read_was, mut read_is, mut tag, mut rest) =
            (String::new(), String::new(), "", text.as_str());
        while let Some(c) = rest.chars().next() {
            let mark = ["[-", "{+", "-]", "+}"].into_iter().find(|mark| rest.starts_with(mark));
            if let Some(mark) = mark {
                assert_eq!(matches!(mark, "[-" | "{+"), tag.is_empty(), "{text}");
                tag = if tag.is_empty() { mark } else { "" };
                rest = rest.strip_prefix(mark).unwrap();
                continue;
            }
            if tag != "{+" {
                read_was.push(c);
            }
            if tag != "[-" {
                read_is.push(c);
            }
            rest = rest.strip_prefix(c).unwrap();
        }
        let plain = |text: &str| {
            [('[', "5b"), (']', "5d"), ('{', "7b"), ('}', "7d")]
                .iter()
                .fold(text.to_owned(), |text, (c, hex)| {
                    text.replace(&format!("\\u{{{hex}}}"), &c.to_string())
                })
        };
        assert_eq!((plain(&read_was), plain(&read_is)), (was.to_owned(), is.to_owned()), "{text}");
    }
    assert_eq!(words("see [a]", "see [a] {b}"), "see [a\\u{5d}{+ {b\\u{7d}+}");
}

#[test]
fn a_schema_is_compared_path_by_path() {
    let was = json!({ "properties": { "path": { "type": "string" } }, "required": ["path"] });
    let is = json!({ "properties": { "path": { "type": "string", "maxLength": 5 } }, "required": [] });
    assert_eq!(
        part_lines("input", Some(&was), Some(&is)),
        [
            "    - input.required[0] = \"path\"",
            "    + input.properties.path.maxLength = 5",
            "    + input.required = []"
        ]
    );
}

#[test]
fn tools_that_went_came_and_changed_are_each_told() {
    let surface = |list: Value| tools(json!({ "tools": list }).to_string().as_bytes()).ok().unwrap();
    let was = surface(json!([{ "name": "a", "description": "x" }, { "name": "b" }]));
    let is = surface(json!([{ "name": "a", "description": "x y" }, { "name": "c", "title": "C" }]));
    let lines = tool_lines(&was, &is, Detail { full: true });
    assert_eq!(
        lines,
        ["  tool a", "    description: x{+ y+}", "  tool is gone: b", "  new tool c", "    title: {+C+}"]
    );
}

#[test]
fn a_new_tool_is_shown_by_a_line_for_each_schema_unless_all_is_asked_for() {
    let surface = |tool: Value| tools(json!([tool]).to_string().as_bytes()).ok().unwrap();
    let tool = json!({ "name": "a", "title": null, "icons": [], "claims": [true, null, false, null], "output": null,
        "input": { "type": "object", "properties": { "url": { "type": "string", "description": "Where." } } } });
    let brief = |tool: &Value| tool_lines(&BTreeMap::new(), &surface(tool.clone()), Detail { full: false });
    assert_eq!(
        brief(&tool),
        [
            "  new tool a",
            "    claims to be: read-only, not idempotent",
            "    takes: { url?: string }",
            "      url: Where."
        ]
    );
    let full = tool_lines(&BTreeMap::new(), &surface(tool.clone()), Detail { full: true });
    assert!(full.contains(&"    + input.properties.url.type = \"string\"".to_owned()), "{full:?}");
    // Parts that the line would not show are shown path by path.
    let mut hidden = tool;
    hidden["input"]["default"] = json!("do this");
    assert!(brief(&hidden).contains(&"    + input.default = \"do this\"".to_owned()));
}

#[test]
fn tools_that_cannot_be_shown_are_an_error_and_not_none() {
    for surface in ["", "5", "{}", r#"{"tools":5}"#, r#"[{"title":"x"}]"#, "[5]"] {
        assert!(tools(surface.as_bytes()).is_err(), "{surface}");
    }
}

#[test]
fn whatever_changes_in_a_tool_is_a_line_of_its_own() {
    let plain = json!({ "properties": { "a.b": { "const": 1 } } });
    for (what, other) in [
        ("a null", json!({ "properties": { "a.b": { "const": 1 } }, "x": { "do this": null } })),
        ("a key with a dot", json!({ "properties": { "a": { "b": { "const": 1 } } } })),
        ("a key like a place", json!({ "properties[\"a.b\"]": { "const": 1 } })),
        ("a text for a number", json!({ "properties": { "a.b": { "const": "1" } } })),
    ] {
        for (was, is) in [(&plain, &other), (&other, &plain)] {
            let lines = part_lines("input", Some(was), Some(is));
            assert!(
                lines.iter().any(|line| line.starts_with("    + ") || line.starts_with("    - ")),
                "{what}: {lines:?}"
            );
        }
    }
    let tool = |part: Value| tools(json!([part]).to_string().as_bytes()).ok().unwrap();
    let (was, is) = (tool(json!({ "name": "a", "title": "A" })), tool(json!({ "name": "a" })));
    assert_eq!(tool_lines(&was, &is, Detail { full: true }), ["  tool a", "    - title = \"A\""]);
    let (was, is) = (Value::from("{\"a\": 1}"), Value::from("{\"a\":1}"));
    assert_eq!(part_lines("input", Some(&was), Some(&is)).len(), 1, "the same in other words");
}

#[test]
fn no_text_of_a_plugin_looks_like_a_line_of_ours() {
    let forged = "1.0\n  signed by\n    + publisher: somebody";
    for lines in [
        changed("version", &[], &[forged.to_owned()]),
        part_lines("input", None, Some(&json!({ forged: 1 }))),
        part_lines("input", None, Some(&json!({ "a": forged }))),
        part_lines("description", None, Some(&Value::from(forged))),
    ] {
        let lines = lines.join("\n");
        assert!(!lines.lines().any(|line| line == "  signed by"), "{lines}");
    }
}

#[test]
fn no_text_of_a_plugin_reaches_the_terminal_as_it_is() {
    let was = tools(b"[]").ok().unwrap();
    let is = json!([{ "name": "a\u{1b}[2J", "title": "\u{202e}x" }]).to_string();
    let is = tools(is.as_bytes()).ok().unwrap();
    let lines = tool_lines(&was, &is, Detail { full: true }).join("\n");
    assert!(!lines.contains('\u{1b}') && !lines.contains('\u{202e}'), "{lines:?}");
}
