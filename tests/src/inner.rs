//! Components made of many inner ones, in text format.

use crate::wat;

/// Waits synchronously in the host for the given time, without a result. One call per instance at a time.
const WAITS: &str = r#"(component $waits
    (import "wait" (func $wait async (param "how-long" u64)))
    (core func $wait' (canon lower (func $wait)))
    (core func $return (canon task.return))
    (core module $m
        (import "" "wait" (func $wait (param i64)))
        (import "" "return" (func $return))
        (func (export "run") (param i64) (result i32)
            (call $wait (local.get 0)) (call $return) (i32.const 0))
        (func (export "more") (param i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m (with "" (instance
        (export "wait" (func $wait')) (export "return" (func $return))))))
    (func (export "run") async (param "ns" u64)
        (canon lift (core func $i "run") async (callback (core func $i "more")))))"#;

/// A component of `count` inner ones that wait `ns` concurrently: `run`. Asynchronous engine.
pub fn waiting(count: usize) -> Vec<u8> {
    let each = |text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<String>();
    let instances =
        each(&|n| format!(r#"(instance $w{n} (instantiate $waits (with "wait" (func $clock "wait-for"))))"#));
    let given = each(&|n| format!(r#"(with "w{n}" (func $w{n} "run"))"#));
    let taken = each(&|n| {
        format!(
            r#"(import "w{n}" (func $w{n} async (param "ns" u64)))
            (core func $w{n}' (canon lower (func $w{n}) async))"#
        )
    });
    let imports = each(&|n| format!(r#"(import "" "w{n}" (func $w{n} (param i64) (result i32)))"#));
    let exports = each(&|n| format!(r#"(export "w{n}" (func $w{n}'))"#));
    let begins = each(&|n| format!("(call $begun (call $w{n} (local.get 0)))"));
    wat(&format!(
        r#"(component
    (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
        (export "wait-for" (func async (param "how-long" u64)))))
    {WAITS}
    {instances}
    (component $all
        {taken}
        (core func $return (canon task.return))
        (core func $set (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core func $drop (canon subtask.drop))
        (core module $m
            (import "" "return" (func $return))
            (import "" "set" (func $set (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "drop" (func $drop (param i32)))
            {imports}
            (global $all (mut i32) (i32.const 0))
            (global $left (mut i32) (i32.const 0))
            ;; A call's state in four bits, and its handle if it has not returned.
            (func $begun (param i32)
                (if (i32.eq (i32.and (local.get 0) (i32.const 15)) (i32.const 2)) (then return))
                (global.set $left (i32.add (global.get $left) (i32.const 1)))
                (call $join (i32.shr_u (local.get 0) (i32.const 4)) (global.get $all)))
            (func $then (result i32)
                (if (global.get $left)
                    (then (return (i32.or (i32.const 2) (i32.shl (global.get $all) (i32.const 4))))))
                (call $return)
                (i32.const 0))
            (func (export "run") (param i64) (result i32)
                (global.set $all (call $set))
                {begins}
                (call $then))
            (func (export "more") (param $event i32) (param $handle i32) (param $state i32) (result i32)
                (if (i32.eq (local.get $state) (i32.const 2)) (then
                    (call $drop (local.get $handle))
                    (global.set $left (i32.sub (global.get $left) (i32.const 1)))))
                (call $then)))
        (core instance $i (instantiate $m (with "" (instance
            (export "return" (func $return)) (export "set" (func $set)) (export "join" (func $join))
            (export "drop" (func $drop)) {exports}))))
        (func (export "run") async (param "ns" u64)
            (canon lift (core func $i "run") async (callback (core func $i "more")))))
    (instance $a (instantiate $all {given}))
    (export "run" (func $a "run")))"#
    ))
}

/// A component's use of resources that all calls share.
#[derive(Debug, Clone, Copy, Default)]
pub struct Has {
    /// Core instances, without the one that waits.
    pub instances: usize,
    /// Memories of one page.
    pub memories: usize,
    /// Tables of one element.
    pub tables: usize,
}

/// A component that has these and waits for `ns`: `run`.
pub fn crowded(has: Has) -> Vec<u8> {
    let times = |count: usize, text: &str| text.repeat(count);
    wat(&format!(
        r#"(component
    (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $p))
        (export "pollable" (type $pollable (eq $p)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
    (core func $block (canon lower (func $poll "[method]pollable.block")))
    (core func $timer (canon lower (func $clock "subscribe-duration")))
    (core module $nothing)
    (core module $memory (memory 1))
    (core module $table (table 1 funcref))
    {}{}{}
    (core module $m
        (import "" "block" (func $block (param i32)))
        (import "" "timer" (func $timer (param i64) (result i32)))
        (func (export "run") (param i64) (call $block (call $timer (local.get 0)))))
    (core instance $i (instantiate $m (with "" (instance
        (export "block" (func $block)) (export "timer" (func $timer))))))
    (func (export "run") (param "ns" u64) (canon lift (core func $i "run"))))"#,
        times(has.instances, "(core instance (instantiate $nothing))"),
        times(has.memories, "(core instance (instantiate $memory))"),
        times(has.tables, "(core instance (instantiate $table))"),
    ))
}
