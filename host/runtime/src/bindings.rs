//! Bindings generated from WIT for what the engine's libraries do not bind as it is needed here. Nothing else.

wasmtime::component::bindgen!({
    path: "../../wit/deps/keyvalue",
    world: "imports",
});
