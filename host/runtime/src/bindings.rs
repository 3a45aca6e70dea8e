//! Bindings generated from WIT for what the engine's libraries do not bind as it is needed here. Nothing else.

/// A bucket of a store that a guest has open: its name.
#[expect(unreachable_pub, reason = "what is generated names it as it names what it makes itself")]
pub struct Bucket(pub(crate) String);

wasmtime::component::bindgen!({
    inline: "package toolgate:host;
        world imports {
            include wasi:config/imports@0.2.0-rc.1;
            include wasi:keyvalue/imports@0.2.0-draft;
            include toolgate:plugin/host@0.1.0;
        }",
    path: ["../../wit/deps/config", "../../wit/deps/keyvalue", "../../wit/toolgate-plugin"],
    world: "toolgate:host/imports",
    imports: {
        "wasi:keyvalue/store": async | trappable,
        "wasi:keyvalue/atomics": async | trappable,
        "wasi:keyvalue/batch": async | trappable,
    },
    with: { "wasi:keyvalue/store.bucket": Bucket },
});
