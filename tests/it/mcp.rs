//! MCP on the wire: three revisions, two transports, official clients, and invalid messages.

mod accept;
mod access;
mod auth;
mod browser;
mod hanging_up;
mod http;
mod legacy;
mod lifecycle;
mod malformed;
mod mirrored;
mod official;
mod origin;
mod schemas;
mod shape;
mod tls;
mod tls_bounds;
mod tokens;
mod tools;
mod unread;
mod values;

use toolgate_tests::{World, guest, plugin};

fn hello() -> World {
    World::new().plugin("hello", &plugin("hello"))
}

fn seven() -> World {
    World::new().plugin("seven", &guest::seven())
}
