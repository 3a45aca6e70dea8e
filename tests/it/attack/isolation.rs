//! Remains of a call that the next one could see.

use serde_json::json;
use toolgate_tests::{Transport, World, test_guest, wat};

#[test]
fn what_a_call_keeps_in_a_static_is_gone_in_the_next() {
    for transport in Transport::ALL {
        let world = World::new().plugin("count", &test_guest("counting"));
        let server = world.serve(transport);
        for _ in 0..5 {
            assert_eq!(server.call("count_run", json!({})).text(), "1");
        }
    }
}

/// Fills four megabytes with a mark, or counts nonzero 64-bit words in as many.
const RESIDUE: &str = r#"(component
    (core module $m
        (memory (export "memory") 64)
        (func (export "mark") (result i32)
            (memory.fill (i32.const 0) (i32.const 0xA5) (i32.const 4194304))
            (i32.const 1))
        (func (export "find") (result i32)
            (local $at i32) (local $found i32)
            (loop $more
                (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
                    (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const 4194304))))
            (local.get $found)))
    (core instance $i (instantiate $m))
    (func (export "mark") (result u32) (canon lift (core func $i "mark")))
    (func (export "find") (result u32) (canon lift (core func $i "find"))))"#;

#[test]
fn no_byte_that_one_call_wrote_is_read_by_another() {
    // Also with another plugin: all share the memory slots.
    let other = format!("{RESIDUE} ");
    let world = World::new().plugin("one", &wat(RESIDUE)).plugin("two", &wat(&other));
    let server = world.serve(Transport::Http);
    for _ in 0..20 {
        let marks: Vec<_> = (0..4).map(|_| server.calling("one_mark", json!({}))).collect();
        for mark in marks {
            assert_eq!(mark.join().unwrap().text(), "1");
        }
        let finds: Vec<_> = ["one_find", "two_find", "one_find", "two_find"]
            .map(|tool| server.calling(tool, json!({})))
            .into();
        for find in finds {
            assert_eq!(find.join().unwrap().text(), "0");
        }
    }
}

#[test]
fn a_call_that_crashed_leaves_nothing_for_the_next() {
    let world =
        World::new().plugin("panic", &test_guest("panicking")).plugin("count", &test_guest("counting"));
    let server = world.serve(Transport::Http);
    for _ in 0..20 {
        assert!(server.call("panic_run", json!({ "why": "x" })).is_error());
        assert_eq!(server.call("count_run", json!({})).text(), "1");
    }
}
