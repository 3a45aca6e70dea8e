//! Comments of WIT in schemas: each describes the item that it is written on.

use serde_json::{Value, json};
use toolgate_tests::World;
use toolgate_tests::wit::component::dummy;

const WIT: &str = "package a:b;
interface types {
  /// One place that was found.
  record hit {
    /// Name of the place.
    name: string,
    /// Other spellings.
    others: list<spelling>,
  }
  /// A name in some language.
  type spelling = string;
  /// Places that were found, the best first.
  type hits = list<hit>;
  /// Degree of fit.
  enum grade { good, bad }
}
world whole {
  use types.{hit, hits, grade};
  /// @param queries Each of them is looked for.
  /// @param queries/[] A word.
  export find: func(queries: list<string>) -> list<hit>;
  export named: func(given: option<list<hit>>) -> hits;
  export nested: func() -> list<list<hit>>;
  export graded: func(grades: list<grade>) -> result<list<option<hit>>, string>;
}
";

/// Tools of a world with their schemas, after packing it with its own WIT.
fn packed(wit: &str, manifest: &str) -> Vec<Value> {
    let world = World::with_own_cache()
        .plugin("p", &dummy(wit).unwrap())
        .file("wit/w.wit", wit)
        .file("plugin.toml", manifest);
    let path = |name: &str| world.path(name).to_string_lossy().into_owned();
    let (component, manifest, wit) = (path("plugins/p.wasm"), path("plugin.toml"), path("wit"));
    let packed = world.run_as_is(&["pack", &component, "--manifest", &manifest, "--wit", &wit]);
    assert_eq!(packed.code, 0, "{}", packed.said());
    let inspected = world.run_as_is(&["inspect", "--json", &component]);
    assert_eq!(inspected.code, 0, "{}", inspected.said());
    inspected.json()["tools"].as_array().unwrap().clone()
}

fn of<'a>(tools: &'a [Value], name: &str) -> &'a Value {
    tools.iter().find(|tool| tool["name"] == name).unwrap()
}

#[test]
fn the_comment_on_a_record_is_said_of_each_element_of_a_list_and_not_of_the_list() {
    let tools = packed(WIT, "");
    let hit = "One place that was found.";
    let find = of(&tools, "find");
    let found = &find["outputSchema"]["properties"]["result"];
    assert_eq!((&found["description"], &found["items"]["description"]), (&Value::Null, &json!(hit)));
    let others = &found["items"]["properties"]["others"];
    assert_eq!(others["description"], "Other spellings.", "a field's own comment is of the list");
    assert_eq!(others["items"]["description"], "A name in some language.");
    assert_eq!(found["items"]["properties"]["name"]["description"], "Name of the place.");
    let queries = &find["inputSchema"]["properties"]["queries"];
    assert_eq!(queries["description"], "Each of them is looked for.");
    assert_eq!(queries["items"]["description"], "A word.");

    let named = of(&tools, "named");
    let list = &named["outputSchema"]["properties"]["result"];
    assert_eq!(list["description"], "Places that were found, the best first.", "a list that has a name");
    assert_eq!(list["items"]["description"], hit);
    let given = &named["inputSchema"]["properties"]["given"];
    assert_eq!((&given["description"], &given["items"]["description"]), (&Value::Null, &json!(hit)));

    let nested = &of(&tools, "nested")["outputSchema"]["properties"]["result"];
    assert_eq!(nested["description"], Value::Null);
    assert_eq!(nested["items"]["description"], Value::Null);
    assert_eq!(nested["items"]["items"]["description"], hit);

    let graded = of(&tools, "graded");
    let grades = &graded["inputSchema"]["properties"]["grades"];
    assert_eq!(grades["description"], Value::Null);
    assert_eq!(grades["items"]["description"], "Degree of fit.");
    let found = &graded["outputSchema"]["properties"]["result"];
    assert_eq!(found["description"], Value::Null);
    assert!(found["items"].to_string().contains(hit), "{found}");
}

#[test]
fn plugin_toml_says_of_a_list_and_of_its_elements_what_it_likes() {
    let manifest = "[tool.find.params]\n\"return\" = \"All of them.\"\n\"return/[]\" = \"One of them.\"\n\
                    \"return/others/[]\" = \"Another.\"\n";
    let tools = packed(WIT, manifest);
    let found = &of(&tools, "find")["outputSchema"]["properties"]["result"];
    assert_eq!(
        (&found["description"], &found["items"]["description"]),
        (&json!("All of them."), &json!("One of them."))
    );
    let others = &found["items"]["properties"]["others"];
    assert_eq!(
        (&others["description"], &others["items"]["description"]),
        (&json!("Other spellings."), &json!("Another."))
    );
}

const FORMS: &str = "package a:b;
interface types {
  /// Kind of paint.
  variant paint {
    /// One colour.
    plain(string),
    none,
  }
  /// Degree of fit.
  enum grade {
    /// Very well.
    good,
    bad,
  }
}
world whole {
  use types.{paint, grade};
  export mixed: func(of: tuple<string, u32, list<bool>>);
  export same: func(of: tuple<f64, f64>);
  export maybe: func(of: list<option<string>>, twice: option<option<bool>>);
  export wide: func(of: u64, bytes: list<u8>, letter: char);
  export painted: func(of: paint, grade: grade, grades: list<option<grade>>);
}
";

#[test]
fn every_schema_has_one_type_or_is_a_choice_and_nothing_else() {
    let manifest = "[tool.same.params]\n\"of\" = \"A point.\"\n\"of/1\" = \"North.\"\n\
                    [tool.wide.params]\n\"of\" = \"How many.\"\n\"bytes\" = \"A picture.\"\n";
    let tools = packed(FORMS, manifest);
    let property = |tool: &str, name: &str| of(&tools, tool)["inputSchema"]["properties"][name].clone();
    let string = json!({ "type": "string" });
    let nothing = json!({ "type": "null" });
    assert_eq!(
        property("mixed", "of"),
        json!({
            "type": "array",
            "prefixItems": [
                string,
                { "type": "integer", "minimum": 0, "maximum": u32::MAX },
                { "type": "array", "items": { "type": "boolean" } },
            ],
            "items": { "anyOf": [
                string, { "type": "integer" }, { "type": "array", "items": { "type": "boolean" } },
            ] },
            "minItems": 3,
            "maxItems": 3,
        })
    );
    assert_eq!(
        property("same", "of"),
        json!({
            "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2,
            "description": "A point.\n\n`1`: North.",
        })
    );
    assert_eq!(property("maybe", "of")["items"], json!({ "anyOf": [string, nothing] }));
    let some = json!({
        "type": "object", "properties": { "some": { "anyOf": [{ "type": "boolean" }, nothing] } },
        "required": ["some"], "additionalProperties": false,
    });
    assert_eq!(property("maybe", "twice"), json!({ "anyOf": [some, nothing] }));
    assert_eq!(
        property("wide", "of"),
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": (1u64 << 53) - 1, "description": "How many." },
            { "type": "string", "pattern": "^(0|[1-9][0-9]{0,19})$" },
        ] })
    );
    let bytes = json!({ "type": "string", "description": "A picture.\n\nBase64." });
    assert_eq!(property("wide", "bytes"), bytes);
    assert_eq!(property("wide", "letter"), json!({ "type": "string", "pattern": r"^[\s\S]$" }));
    assert_eq!(
        property("painted", "of"),
        json!({ "anyOf": [
            {
                "type": "object",
                "properties": { "tag": { "type": "string", "enum": ["plain"] }, "val": string },
                "required": ["tag", "val"], "additionalProperties": false,
                "description": "Kind of paint.\n\nOne colour.",
            },
            {
                "type": "object", "properties": { "tag": { "type": "string", "enum": ["none"] } },
                "required": ["tag"], "additionalProperties": false,
            },
        ] })
    );
    let grade = |text: &str| json!({ "type": "string", "enum": ["good", "bad"], "description": text });
    let told = "Degree of fit.\n\n`good`: Very well.";
    assert_eq!(property("painted", "grade"), grade(told));
    assert_eq!(property("painted", "grades")["items"], json!({ "anyOf": [grade(told), nothing] }));
}
