//! Where the comments of WIT land in schemas: on what they are written about.

use serde_json::{Value, json};
use toolgate_tests::World;
use toolgate_tests::wit::component::dummy;

const WIT: &str = "package a:b;
interface types {
  /// One place that was found.
  record hit {
    /// What it is called.
    name: string,
    /// Other spellings.
    others: list<spelling>,
  }
  /// A name in some language.
  type spelling = string;
  /// What was found, the best first.
  type hits = list<hit>;
  /// How well it fits.
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

/// The tools of the world once it is packed with its own WIT, each with its schemas.
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
    assert_eq!(found["items"]["properties"]["name"]["description"], "What it is called.");
    let queries = &find["inputSchema"]["properties"]["queries"];
    assert_eq!(queries["description"], "Each of them is looked for.");
    assert_eq!(queries["items"]["description"], "A word.");

    let named = of(&tools, "named");
    let list = &named["outputSchema"]["properties"]["result"];
    assert_eq!(list["description"], "What was found, the best first.", "a list that has a name");
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
    assert_eq!(grades["items"]["description"], "How well it fits.");
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
