//! One file per capability: the effect of a grant, that nothing works without it, and the limits of a narrower grant.
//! `coverage.rs` checks that none of the three is missing.

mod clock;
mod config;
mod connections;
mod environment;
mod files;
mod http;
mod keyvalue;
mod random;
mod sockets;
mod wasi3;

use serde_json::{Value, json};
use toolgate_tests::{Ended, World};

/// Makes one call, whose result must be `ok`.
fn answer(world: &World, tool: &str, args: &Value) -> String {
    let reply = world.ask(tool, args);
    assert!(!reply.is_error(), "{tool} {args}: {reply:?}");
    // An empty result has no content.
    if reply.0["result"]["content"] == json!([]) { String::new() } else { reply.text().to_owned() }
}

/// The same, parsed as JSON.
fn value(world: &World, tool: &str, args: &Value) -> Value {
    serde_json::from_str(&answer(world, tool, args)).unwrap()
}

/// Makes one call, which the tool, or the host for it, must answer with an error.
fn error(world: &World, tool: &str, args: &Value) -> String {
    let reply = world.ask(tool, args);
    assert!(reply.is_error(), "{tool} {args}: {reply:?}");
    reply.text().to_owned()
}

/// Asserts that the configuration is refused for this reason.
fn assert_misconfigured(world: &World, words: &str) {
    let check: Ended = world.run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains(words), "{}", check.stderr);
}

fn nothing() -> Value {
    json!({})
}
