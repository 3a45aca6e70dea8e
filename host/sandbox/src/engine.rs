//! Engine settings: the enabled parts of WebAssembly, and the maximum size of a sandbox. Settings and crate features
//! that are left out reduce the attack surface.

use toolgate_base::spec::EngineKind;
use toolgate_policy::limits::call::{
    CallLimit, GUEST_STACK_BYTES, STACK_ADDRESSES, STACK_KEPT_BYTES, STACKS_BESIDE,
};
use toolgate_policy::limits::load::{
    CORE_INSTANCES_MAX, INSTANCE_BYTES_MAX, LOADS_AT_ONCE, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX,
};
use toolgate_policy::limits::size;
use wasmtime::wasmparser::WasmFeatures;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Features that components may use: WebAssembly 1.0, the parts of 2.0 that toolchains emit by default, and components.
pub(crate) fn features(kind: EngineKind) -> WasmFeatures {
    let asynchronous = match kind {
        EngineKind::Sync => WasmFeatures::empty(),
        EngineKind::Async => WasmFeatures::CM_ASYNC,
    };
    asynchronous
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

/// Features of the engine: also multiple memories per module, for the adapters that it generates between the components
/// in a component. No plugin has such a module, since it is inspected with [`features`].
fn engine_features(kind: EngineKind) -> WasmFeatures {
    features(kind) | WasmFeatures::MULTI_MEMORY
}

/// Creates the engine for `calls_max` concurrent calls, and the queries made while plugins load.
pub(crate) fn engine(calls_max: u32, kind: EngineKind) -> wasmtime::Result<Engine> {
    let calls = calls_max.saturating_add(u32::try_from(LOADS_AT_ONCE.1).unwrap_or(u32::MAX));
    let stacks_max = u32::try_from(CallLimit::Stacks.spec().ceiling).unwrap_or(u32::MAX);
    pooled(pool(calls, stacks_each(stacks_max, kind)), kind, pagemap_scan())
}

/// Creates the engine of a confined process, which may not scan for dirtied pages.
pub(crate) fn walled(concurrency: u32, stacks_max: u32, kind: EngineKind) -> wasmtime::Result<Engine> {
    // One more: the query for its tools does not count to the plugin's concurrency.
    pooled(pool(concurrency.saturating_add(1), stacks_each(stacks_max, kind)), kind, Enabled::No)
}

fn pooled(mut pool: PoolingAllocationConfig, kind: EngineKind, scan: Enabled) -> wasmtime::Result<Engine> {
    let mut config = config(kind);
    pool.pagemap_scan(scan);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Stacks that one call may use: one on the synchronous engine.
pub(crate) fn stacks_each(stacks_max: u32, kind: EngineKind) -> u32 {
    match kind {
        EngineKind::Sync => 1,
        EngineKind::Async => stacks_max.saturating_add(STACKS_BESIDE),
    }
}

/// Creates an engine that only compiles: the same settings, without a pool.
pub(crate) fn compiler(kind: EngineKind) -> wasmtime::Result<Engine> {
    Engine::new(&config(kind))
}

fn config(kind: EngineKind) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(engine_features(kind), true)
        // Switched off, this removes the component model's async half, and the copy of every argument that it costs.
        .concurrency_support(kind == EngineKind::Async)
        .shared_memory(false)
        // Fuel bounds the work, and its yields enforce the deadline, so that epochs are not needed too.
        .consume_fuel(true)
        .epoch_interruption(false)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(STACK_ADDRESSES)
        // Stack contents do not stay in memory after a call.
        .async_stack_zeroing(true)
        .memory_init_cow(true)
        .memory_guaranteed_dense_image_size(64 << 20)
        .wasm_backtrace_max_frames(None);
    config
}

/// Pool with an address-space slot for every memory, table and stack that can exist at once. Each call has its full
/// share, so that none fails because of another. Unused slots take no memory.
fn pool(calls: u32, stacks_each: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_stacks(calls.saturating_mul(stacks_each))
        .total_core_instances(calls.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(calls.saturating_mul(MEMORIES_MAX))
        .total_tables(calls.saturating_mul(TABLES_MAX))
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(size(TABLE_ELEMENTS_MAX))
        .max_memory_size(size(CallLimit::Memory.spec().ceiling))
        // Memory that a slot keeps between calls, zeroed, so that the next call does not fault it in.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        // Memory of a call returns to the system with the call, not in batches.
        .decommit_batch_size(1);
    pool
}

/// Scanning for dirtied pages is faster than zeroing them all, but in this release can miss one that was swapped out:
/// used only without swap. `Yes` would fail on kernels that lack it.
fn pagemap_scan() -> Enabled {
    let swaps = std::fs::read_to_string("/proc/swaps");
    match swaps {
        Ok(text) if text.lines().count() <= 1 => Enabled::Auto,
        Ok(_) | Err(_) => Enabled::No,
    }
}

#[cfg(test)]
mod stacks_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_validated_before_compiling_is_what_the_engine_takes_but_for_its_own_adapters() {
        for kind in EngineKind::ALL {
            let engine = engine(1, kind).expect("the engine starts");
            assert_eq!(engine.get_wasm_features(), features(kind) | WasmFeatures::MULTI_MEMORY);
        }
    }

    /// Marks a megabyte of memory and a table, or counts what is marked.
    const RESIDUE: &str = r#"(module
        (memory (export "memory") 16)
        (table $t 100 funcref)
        (elem declare func $f) (func $f)
        (func (export "mark")
            (memory.fill (i32.const 0) (i32.const 0xA5) (i32.const 1048576))
            (table.fill $t (i32.const 0) (ref.func $f) (i32.const 100)))
        (func (export "find") (result i32)
            (local $at i32) (local $found i32)
            (loop $more
                (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
                    (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const 1048576))))
            (if (i32.eqz (ref.is_null (table.get $t (i32.const 99))))
                (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
            (local.get $found)))"#;

    #[test]
    fn a_mark_of_one_call_is_in_none_of_ten_thousand_later_ones() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // With and without a scan for dirtied pages.
        for scan in [Enabled::No, Enabled::Auto] {
            runtime.block_on(mark_and_find(scan));
        }
    }

    async fn mark_and_find(scan: Enabled) {
        const SLOTS: u32 = 8;
        const LATER: u32 = 10_000;
        let engine = pooled(pool(SLOTS, 1), EngineKind::Sync, scan).unwrap();
        let module = wasmtime::Module::new(&engine, wat::parse_str(RESIDUE).unwrap()).unwrap();
        let enter = async || {
            let mut store = wasmtime::Store::new(&engine, ());
            store.set_fuel(u64::MAX).unwrap();
            let instance = wasmtime::Instance::new_async(&mut store, &module, &[]).await.unwrap();
            (store, instance)
        };
        // As many as there are slots, so that each round uses all.
        for _ in 0..LATER / SLOTS {
            let mut stores = Vec::new();
            for _ in 0..SLOTS {
                stores.push(enter().await);
            }
            for (store, instance) in &mut stores {
                let find = instance.get_typed_func::<(), i32>(&mut *store, "find").unwrap();
                assert_eq!(find.call_async(&mut *store, ()).await.unwrap(), 0, "{scan:?}");
                let mark = instance.get_typed_func::<(), ()>(&mut *store, "mark").unwrap();
                mark.call_async(&mut *store, ()).await.unwrap();
            }
        }
    }

    #[test]
    fn the_engine_starts_with_the_largest_pool() {
        let calls_max = toolgate_policy::limits::wire::CALLS_MAX.ceiling;
        let engines: Vec<_> = EngineKind::ALL
            .into_iter()
            .map(|kind| engine(u32::try_from(calls_max).unwrap_or(1), kind))
            .collect();
        assert!(engines.iter().all(Result::is_ok), "both at once");
    }
}
