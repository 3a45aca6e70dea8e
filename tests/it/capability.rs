//! A capability a file: what it gives when it is granted, that there is nothing of it when it is not, and how far a
//! narrower grant goes. `coverage.rs` sees to it that none of the three is missing.

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

/// One call; the answer must be an `ok`.
fn answer(world: &World, tool: &str, args: &Value) -> String {
    let reply = world.ask(tool, args);
    assert!(!reply.is_error(), "{tool} {args}: {reply:?}");
    // Nothing at all is an answer as well.
    if reply.0["result"]["content"] == json!([]) { String::new() } else { reply.text().to_owned() }
}

/// The same, as JSON.
fn value(world: &World, tool: &str, args: &Value) -> Value {
    serde_json::from_str(&answer(world, tool, args)).unwrap()
}

/// One call that the tool itself, or the host for it, answers with an error.
fn error(world: &World, tool: &str, args: &Value) -> String {
    let reply = world.ask(tool, args);
    assert!(reply.is_error(), "{tool} {args}: {reply:?}");
    reply.text().to_owned()
}

/// The configuration is refused, for this reason.
fn assert_misconfigured(world: &World, words: &str) {
    let check: Ended = world.run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains(words), "{}", check.stderr);
}

fn nothing() -> Value {
    json!({})
}
