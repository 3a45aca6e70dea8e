//! `config`: the values that the operator wrote for this plugin.

use serde_json::json;
use toolgate_tests::{World, test_guest};

use super::{answer, nothing, value};

fn configured() -> World {
    World::new().plugin("conf", &test_guest("configured"))
}

#[test]
fn granted_values_are_read_by_key_and_all_at_once() {
    let world = configured().grant(r#"config = { units = "metric", region = "eu" }"#);
    assert_eq!(answer(&world, "conf_get", &json!({ "key": "units" })), "\"metric\"");
    assert_eq!(value(&world, "conf_all", &nothing()), json!([["region", "eu"], ["units", "metric"]]));
}

#[test]
fn denied_it_does_not_load() {
    let check = configured().run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains("it needs `config`"), "{}", check.stderr);
}

#[test]
fn narrowed_another_key_has_no_value_and_another_plugin_sees_none() {
    let world = configured().grant(r#"config = { units = "metric" }"#);
    let world = world.plugin("other", &test_guest("configured")).grant("config = {}");
    assert_eq!(answer(&world, "conf_get", &json!({ "key": "region" })), "null");
    assert_eq!(value(&world, "other_all", &nothing()), json!([]));
}
