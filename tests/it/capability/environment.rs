//! `environment`: exactly the variables that are granted.

use serde_json::json;
use toolgate_tests::{World, test_guest};

use super::{assert_misconfigured, nothing, value};

fn probing() -> World {
    World::new().env("HOST_SECRET", "do not tell").plugin("probe", &test_guest("probing"))
}

#[test]
fn granted_variables_are_seen_and_nothing_else_is() {
    let world = probing().grant(r#"environment = { TZ = "UTC", LANG = "de" }"#);
    let seen = value(&world, "probe_run", &nothing());
    assert_eq!(seen["variables"], json!([["LANG", "de"], ["TZ", "UTC"]]));
}

#[test]
fn denied_the_environment_is_empty() {
    assert_eq!(value(&probing(), "probe_run", &nothing())["variables"], json!([]));
}

#[test]
fn narrowed_to_nothing_the_environment_is_empty() {
    assert_eq!(value(&probing().grant("environment = {}"), "probe_run", &nothing())["variables"], json!([]));
}

#[test]
fn a_name_that_no_variable_can_have_is_refused() {
    assert_misconfigured(&probing().grant(r#"environment = { "A=B" = "x" }"#), "environment");
    assert_misconfigured(&probing().grant(r#"environment = { A = 1 }"#), "environment");
}
