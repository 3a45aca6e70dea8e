//! Bindings generated from WIT for what the engine's libraries do not bind as it is needed here. Nothing else.

wasmtime::component::bindgen!({
    inline: "package toolgate:host;
        world imports {
            include wasi:keyvalue/imports@0.2.0-draft;
            include toolgate:plugin/host@0.1.0;
        }",
    path: ["../../wit/deps/keyvalue", "../../wit/toolgate-plugin"],
    world: "toolgate:host/imports",
});
