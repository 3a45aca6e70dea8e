//! `clock`: none, coarse or precise.

use serde_json::json;
use toolgate_policy::capability::clock::EARLIEST_NS;
use toolgate_tests::{World, test_guest};

use super::{assert_misconfigured, error, nothing, value};

const MS: u64 = 1_000_000;

fn timing() -> World {
    World::new().plugin("time", &test_guest("timing"))
}

/// A time that a guest read; beyond 2^53 it is a text of digits.
fn ns(world: &World, tool: &str) -> u64 {
    let value = value(world, tool, &nothing());
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

fn now_ns() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[test]
fn granted_precise_clocks_are_finer_than_a_millisecond() {
    let world = timing().grant("clock = \"precise\"");
    let finer = |tool| (0..5).any(|_| !ns(&world, tool).is_multiple_of(MS));
    assert!(finer("time_wall-ns") && finer("time_monotonic-ns"));
}

#[test]
fn narrowed_by_default_both_clocks_go_by_milliseconds_and_tell_the_time() {
    for world in [timing(), timing().grant("clock = \"coarse\"")] {
        for _ in 0..3 {
            let before = now_ns() / MS * MS;
            let wall = ns(&world, "time_wall-ns");
            assert!(wall.is_multiple_of(MS) && (before..=now_ns()).contains(&wall), "{wall}");
            assert_eq!(ns(&world, "time_monotonic-ns") % MS, 0);
        }
    }
}

#[test]
fn denied_the_first_look_ends_the_call_and_names_the_line() {
    let world =
        timing().grant("clock = \"none\"").plugin("sleep", &test_guest("sleeping")).grant("clock = \"none\"");
    for (tool, args) in
        [("time_wall-ns", nothing()), ("time_monotonic-ns", nothing()), ("sleep_run", json!({ "ms": 1 }))]
    {
        let told = error(&world, tool, &args);
        assert!(told.contains(r#"clock = "none""#), "{tool}: {told}");
    }
    assert_eq!(world.call_records()[0]["outcome"]["kind"], "grant");
}

#[test]
fn the_monotonic_clock_begins_with_the_call_at_one_second_and_never_shows_0() {
    for clock in ["coarse", "precise"] {
        for line in ["", r#"engine = "async""#, r#"isolation = "process""#] {
            let world = timing().with(line).grant(&format!("clock = \"{clock}\""));
            for _ in 0..20 {
                let ns = ns(&world, "time_monotonic-ns");
                assert!((EARLIEST_NS..EARLIEST_NS + 240_000 * MS).contains(&ns), "{clock} {line}: {ns}");
            }
        }
    }
}

#[test]
fn a_wait_until_what_the_clock_has_shown_is_over_at_once() {
    for line in ["", r#"engine = "async""#, r#"isolation = "process""#] {
        let over = value(&timing().with(line), "time_over", &nothing());
        assert_eq!(over, json!([0]), "{line}");
    }
}

#[test]
fn a_word_that_is_none_of_the_three_is_refused() {
    assert_misconfigured(&timing().grant("clock = \"exact\""), "\"precise\"");
}
