//! `random`: none, secure or seeded.

use serde_json::json;
use toolgate_tests::{World, test_guest};

use super::{answer, assert_misconfigured, error};

fn dicing(grant: &str) -> World {
    World::new().plugin("dice", &test_guest("dicing")).grant(grant)
}

fn draw(world: &World) -> String {
    answer(world, "dice_run", &json!({ "bytes": 32 }))
}

#[test]
fn granted_bytes_differ_from_call_to_call() {
    let world = dicing("random = \"secure\"");
    assert_ne!(draw(&world), draw(&world));
}

#[test]
fn narrowed_to_a_seed_they_are_the_same_in_each_call_and_differ_by_seed() {
    let seven = dicing("random = \"seeded:7\"");
    let first = draw(&seven);
    assert_eq!(first, draw(&seven));
    assert_eq!(first, draw(&dicing("random = \"seeded:7\"")));
    assert_ne!(first, draw(&dicing("random = \"seeded:8\"")));
}

#[test]
fn denied_the_first_draw_ends_the_call_and_names_the_line() {
    let told = error(&dicing("random = \"none\""), "dice_run", &json!({ "bytes": 1 }));
    assert!(told.contains(r#"random = "none""#), "{told}");
}

#[test]
fn more_than_one_request_may_have_ends_the_call() {
    // A request for four billion bytes of host memory.
    let ended = dicing("random = \"secure\"").call("dice_run", &json!({ "bytes": 4_294_967_296_u64 }));
    assert_eq!(ended.code, 1, "{}", ended.said());
    assert!(ended.said().contains("65536") || ended.said().contains("random"), "{}", ended.said());
}

#[test]
fn a_seed_that_is_no_number_is_refused() {
    assert_misconfigured(&dicing("random = \"seeded:x\""), "seeded");
}
