//! Stacks that a call takes from the pool: those on which its guest runs or waits, and `STACKS_BESIDE` more.

use std::time::Duration;

use toolgate_policy::limits::call::STACKS_BESIDE;
use toolgate_policy::limits::load::MEMORIES_MAX;
use wasmtime::component::{Component, Linker};
use wasmtime::{CallHook, Engine, Store};

use super::{Enabled, EngineKind, pool, pooled};
use crate::stacks::Stacks;

/// Component with inner components that each wait for a text from the host, written into their memory. A further one
/// starts all of them, cancels none, and waits for the last.
fn component(count: usize) -> String {
    let each = |text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<String>();
    let waits = r#"(component $waits
        (import "wait" (func $wait async (result string)))
        (core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
        (core instance $libc (instantiate $libc))
        (core func $wait' (canon lower (func $wait)
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core func $return (canon task.return))
        (core module $m
            (import "" "wait" (func $wait (param i32)))
            (import "" "return" (func $return))
            (func (export "run") (result i32) (call $wait (i32.const 0)) (call $return) (i32.const 0))
            (func (export "more") (param i32 i32 i32) (result i32) unreachable))
        (core instance $i (instantiate $m (with "" (instance
            (export "wait" (func $wait')) (export "return" (func $return))))))
        (func (export "run") async (canon lift (core func $i "run") async (callback (core func $i "more")))))"#;
    let instances = each(&|n| format!(r#"(instance $w{n} (instantiate $waits (with "wait" (func $wait))))"#));
    let given = each(&|n| format!(r#"(with "w{n}" (func $w{n} "run"))"#));
    let taken = each(&|n| {
        format!(r#"(import "w{n}" (func $w{n} async)) (core func $w{n}' (canon lower (func $w{n}) async))"#)
    });
    let imports = each(&|n| format!(r#"(import "" "w{n}" (func $w{n} (result i32)))"#));
    let exports = each(&|n| format!(r#"(export "w{n}" (func $w{n}'))"#));
    let begins = each(&|n| format!("(call $join (i32.shr_u (call $w{n}) (i32.const 4)) (global.get $all))"));
    format!(
        r#"(component
        (import "wait" (func $wait async (result string)))
        {waits} {instances}
        (component $all
            {taken}
            (core func $return (canon task.return))
            (core func $set (canon waitable-set.new))
            (core func $join (canon waitable.join))
            (core module $m
                (import "" "return" (func $return))
                (import "" "set" (func $set (result i32)))
                (import "" "join" (func $join (param i32 i32)))
                {imports}
                (global $all (mut i32) (i32.const 0))
                (global $left (mut i32) (i32.const {count}))
                (func $wait (result i32)
                    (i32.or (i32.const 2) (i32.shl (global.get $all) (i32.const 4))))
                (func (export "run") (result i32)
                    (global.set $all (call $set))
                    {begins}
                    (call $wait))
                (func (export "more") (param i32 i32 i32) (result i32)
                    (if (i32.ne (local.get 2) (i32.const 2)) (then (return (call $wait))))
                    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                    (if (global.get $left) (then (return (call $wait))))
                    (call $return)
                    (i32.const 0)))
            (core instance $i (instantiate $m (with "" (instance
                (export "return" (func $return)) (export "set" (func $set)) (export "join" (func $join))
                {exports}))))
            (func (export "run") async (canon lift (core func $i "run") async (callback (core func $i "more")))))
        (instance $a (instantiate $all {given}))
        (export "run" (func $a "run")))"#
    )
}

/// Runs it; the engine's pool is for one call. Returns the peak that was counted.
async fn run(engine: &Engine, component: &Component) -> wasmtime::Result<usize> {
    let mut linker = Linker::<Stacks>::new(engine);
    linker.root().func_wrap_concurrent("wait", |_, (): ()| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(("come".to_owned(),))
        })
    })?;
    let mut store = Store::new(engine, Stacks::new(u64::MAX));
    store.set_fuel(u64::MAX)?;
    store.call_hook(|mut store, hook| {
        let at = std::ptr::from_ref(&hook).addr();
        match hook {
            CallHook::CallingWasm => drop(store.data_mut().entered(at)),
            CallHook::ReturningFromWasm => store.data_mut().returned(at),
            CallHook::CallingHost | CallHook::ReturningFromHost => {}
        }
        Ok(())
    });
    let instance = linker.instantiate_async(&mut store, component).await?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    run.call_async(&mut store, ()).await?;
    Ok(store.data().peak())
}

#[test]
fn a_call_takes_no_more_stacks_than_are_counted_and_those_beside() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Each inner component has a memory.
    let most = MEMORIES_MAX as usize;
    let waits = component(most - 1);
    runtime.block_on(async {
        let mut fits = Vec::new();
        for beside in 0..=STACKS_BESIDE {
            let engine = pooled(pool(1, MEMORIES_MAX + beside), EngineKind::Async, Enabled::No).unwrap();
            let component = Component::new(&engine, wat::parse_str(&waits).unwrap()).unwrap();
            match run(&engine, &component).await {
                Ok(counted) => {
                    assert_eq!(counted, most, "those that wait, and the one that begins the last of them");
                    fits.push(beside);
                }
                Err(error) => assert!(error.is::<wasmtime::PoolConcurrencyLimitError>(), "{error:?}"),
            }
        }
        assert_eq!(fits.last(), Some(&STACKS_BESIDE), "{fits:?}");
    });
}
