//! Compatibility of tools with clients, for every plugin and guest here and every type of the corpus. Refused schemas
//! have no form that all clients accept with the same meaning: tuples of different types, optional members, some names.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use toolgate_mapping::clients::CLIENTS;
use toolgate_policy::limits::load::TOOLS_MAX;
use toolgate_runtime::snapshot::tool::ToolListing;
use toolgate_tests::chance::Chance;
use toolgate_tests::wit::component::{component, dummy};
use toolgate_tests::wit::{Type, grow};
use toolgate_tests::{World, guest};

use super::echo::functions;
use super::worlds::look;

/// Legitimate reasons for a refusal, by a part of the text.
const NO_FORM: [&str; 4] = ["`prefixItems`", "which is not in `required`", "in a name", "a name of"];

fn inspect(path: &std::path::Path) -> Value {
    let world = World::new();
    world.write();
    let inspected = world.run_as_is(&["inspect", "--clients", "--json", path.to_str().unwrap()]);
    assert_eq!(inspected.code, 0, "{}", inspected.said());
    inspected.json()
}

fn of<'a>(inspected: &'a Value, client: &str) -> &'a Value {
    inspected["clients"].as_array().unwrap().iter().find(|one| one["client"] == client).unwrap()
}

#[test]
fn every_plugin_and_guest_is_taken_by_all_clients_but_for_what_has_no_form_that_they_take() {
    let all = guest::all();
    assert!(all.len() > 20, "{all:?}");
    for path in &all {
        let inspected = inspect(path);
        for verdict in inspected["clients"].as_array().unwrap() {
            for refused in verdict["refuses"].as_array().unwrap() {
                for why in refused["why"].as_array().unwrap() {
                    let what = why["what"].as_str().unwrap();
                    let at = path.display();
                    assert!(NO_FORM.iter().any(|words| what.contains(words)), "{at}: {verdict}");
                    let client = verdict["client"].as_str().unwrap();
                    let is_name = why["at"] == "name";
                    assert!(
                        matches!((client, is_name), ("cursor", true) | ("gemini" | "openai-strict", false)),
                        "{at}: {verdict}"
                    );
                }
            }
        }
    }
}

#[test]
fn hello_is_taken_by_every_client_and_what_one_refuses_is_named_with_its_place() {
    let path = World::new().plugin("hello", &guest::plugin("hello"));
    path.write();
    let inspected = inspect(&path.path("plugins/hello.wasm"));
    let tools = inspected["tools"].as_array().unwrap().len();
    for client in ["vscode", "openai", "gemini", "anthropic", "inspector"] {
        let verdict = of(&inspected, client);
        assert_eq!(verdict["refuses"], json!([]), "{client}");
        assert_eq!(verdict["takes"].as_array().unwrap().len(), tools, "{client}");
    }
    let strict = of(&inspected, "openai-strict");
    let why = json!([{ "at": "/inputSchema", "what": "the property `style`, which is not in `required`" }]);
    assert_eq!(strict["refuses"], json!([{ "tool": "greet", "why": why }]));
    let cursor = of(&inspected, "cursor");
    assert_eq!(
        cursor["refuses"],
        json!([{ "tool": "count-letters", "why": [{ "at": "name", "what": "`-` in a name" }] }])
    );

    let component = path.path("plugins/hello.wasm");
    let text = path.run_as_is(&["inspect", "--clients", component.to_str().unwrap()]).stdout;
    for line in [
        format!("client     vscode: takes all {tools} tools (VS Code with GitHub Copilot)"),
        "refuses greet: the property `style`, which is not in `required` at /inputSchema".to_owned(),
        "refuses count-letters: `-` in a name at name".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    let without = path.run_as_is(&["inspect", component.to_str().unwrap()]).stdout;
    assert!(!without.contains("client "), "{without}");
}

/// Whether a type contains a tuple of different types, and whether it contains an optional member.
fn has(ty: &Type) -> (bool, bool) {
    let own = match ty {
        Type::Tuple(elements) => (elements.iter().any(|element| *element != elements[0]), false),
        Type::Record(fields) => (false, fields.iter().any(|(_, field)| matches!(field, Type::Option(_)))),
        _ => (false, false),
    };
    ty.parts().into_iter().map(|(_, part)| has(part)).fold(own, |a, b| (a.0 | b.0, a.1 | b.1))
}

/// Whether a property's name is longer than all clients accept.
fn has_long_name(ty: &Type) -> bool {
    matches!(ty, Type::Record(fields) if fields.iter().any(|(name, _)| name.len() > 64))
        || ty.parts().into_iter().any(|(_, part)| has_long_name(part))
}

/// Clients that refuse a tool's schemas, with the reason.
fn refusals(listing: &ToolListing) -> Vec<(&'static str, String)> {
    let name = "tool";
    let of = |client: toolgate_mapping::clients::Client| {
        let refusals = client.refuses(name, &listing.input, listing.output.as_ref());
        refusals.into_iter().map(move |refusal| (client.word, format!("{} at {}", refusal.what, refusal.at)))
    };
    CLIENTS.into_iter().flat_map(of).collect()
}

#[test]
fn every_type_is_taken_by_all_clients_but_for_mixed_tuples_and_what_may_be_left_out() {
    let mut chance = Chance::new(20_261_127);
    let types = grow::types(&mut chance, 300);
    let all: Vec<_> =
        types.iter().enumerate().flat_map(|(index, ty)| functions(&mut chance, index, ty)).collect();
    let (mut tools, mut met) = (0, BTreeSet::new());
    for functions in all.chunks(TOOLS_MAX) {
        let (_, listings) = look(&component(functions).0).unwrap();
        for listing in listings {
            tools += 1;
            let function = functions.iter().find(|function| function.name == listing.path.function).unwrap();
            let params = Type::Record(function.params.clone());
            let (is_mixed, is_optional) = has(&params);
            let mut expected = BTreeSet::new();
            if has_long_name(&params) {
                expected.insert("anthropic");
            }
            if is_mixed {
                expected.extend(["gemini", "openai-strict"]);
            }
            if is_optional {
                expected.insert("openai-strict");
            }
            let refusals = refusals(&listing);
            let found: BTreeSet<&str> = refusals.iter().map(|(client, _)| *client).collect();
            assert_eq!(found, expected, "{:?}: {refusals:?}\n{}", function.params, json!(listing.input));
            met.insert((is_mixed, is_optional));
        }
    }
    println!("{tools} tools");
    assert!(tools > 800 && met.len() == 4, "{tools} {met:?}");
}

#[test]
fn every_world_of_the_corpus_is_taken_but_for_what_has_no_form_that_clients_take() {
    let folder = toolgate_tests::root().join("tests/worlds");
    let mut tools = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok((_, listings)) = look(&dummy(&std::fs::read_to_string(&path).unwrap()).unwrap()) else {
            continue;
        };
        for listing in listings {
            tools += 1;
            for (client, why) in refusals(&listing) {
                assert!(
                    NO_FORM.iter().any(|words| why.contains(words)),
                    "{}: {client}: {why}",
                    path.display()
                );
            }
        }
    }
    assert!(tools > 80, "{tools}");
}
