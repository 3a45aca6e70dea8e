//! `keyvalue`: not built yet. An empty grant links the interface and refuses every use.

use serde_json::json;
use toolgate_tests::{World, test_guest};

use super::{assert_misconfigured, error};

fn storing() -> World {
    World::new().plugin("store", &test_guest("storing"))
}

#[test]
fn granted_more_than_nothing_is_not_built_yet_and_says_so() {
    assert_misconfigured(&storing().grant("keyvalue = { bytes_max = 1048576 }"), "cannot be granted yet");
}

#[test]
fn denied_it_does_not_load() {
    let check = storing().run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains("it needs `keyvalue`"), "{}", check.stderr);
}

#[test]
fn narrowed_to_nothing_no_bucket_opens() {
    let told = error(&storing().grant("keyvalue = {}"), "store_open", &json!({ "name": "default" }));
    assert!(told.contains("AccessDenied"), "{told}");
}
