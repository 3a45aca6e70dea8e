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

/// Sockets where they are asked for over a pipe: each use waits for its answer, which the engine's own bindings have no room for.
pub(crate) mod sockets {
    wasmtime::component::bindgen!({
        inline: "package toolgate:sockets;
            world imports {
                import wasi:sockets/tcp@0.2.12;
                import wasi:sockets/tcp-create-socket@0.2.12;
                import wasi:sockets/udp@0.2.12;
                import wasi:sockets/udp-create-socket@0.2.12;
            }",
        path: ["../../wit/deps/io", "../../wit/deps/clocks", "../../wit/deps/sockets"],
        world: "toolgate:sockets/imports",
        imports: { default: async | trappable },
        trappable_error_type: { "wasi:sockets/network.error-code" => wasmtime_wasi::p2::SocketError },
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
        },
    });
    pub(crate) use wasi::sockets::{tcp, tcp_create_socket, udp, udp_create_socket};

    /// The same by WASI 0.3.
    pub(crate) mod p3 {
        wasmtime::component::bindgen!({
            inline: "package toolgate:sockets-p3;
                world imports { import wasi:sockets/types@0.3.0; }",
            path: ["../../wit/deps/clocks-0.3", "../../wit/deps/sockets-0.3"],
            world: "toolgate:sockets-p3/imports",
            imports: {
                "wasi:sockets/types.[method]tcp-socket.send": store | trappable,
                "wasi:sockets/types.[method]tcp-socket.receive": store | trappable,
                default: async | trappable,
            },
            with: { "wasi:clocks": wasmtime_wasi::p3::bindings::clocks },
        });
        pub(crate) use wasi::sockets::types;
    }
}
