//! Interoperable signatures: Toolgate accepts those of other programs, and they accept Toolgate's. If one side refuses
//! a signature, so does the other.

mod identity_provider;
mod kept;
mod keyless;
mod minisign;
mod ssh;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use toolgate_policy::Digest;

use toolgate_tests::world::TRUST;
use toolgate_tests::{World, guest, process};

/// A world with one unsigned plugin, `seven`.
fn unsigned() -> World {
    let world = World::new().plugin("seven", &guest::seven());
    std::fs::remove_file(world.path("plugins/seven.wasm.sigstore.json")).unwrap();
    world
}

/// Trust policy with another key file for the signer `vendor`.
fn known_by(key: &str) -> String {
    TRUST.replace("keys/vendor.pub", key)
}

/// Runs an external program.
fn run(program: &Path, args: &[&str], world: &World) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(world.path("")).env("HOME", world.path(""));
    process::output_of(&mut command)
}

/// The same, which must succeed.
fn must(program: &Path, args: &[&str], world: &World) {
    let output = run(program, args, world);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs our script around an external library, with JSON input and output.
fn asked(mut script: Command, question: &Value) -> Value {
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = process::ended(child);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The statement that Toolgate signs about a plugin.
fn statement(about: &Digest) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "seven.wasm", "digest": { "sha256": about.hex() } }],
        "predicateType": "urn:toolgate:plugin:v1",
        "predicate": {},
    })
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Asserts that the plugin loads, and that `verify` names the format and the signer.
fn assert_loads(world: &World, format: &str) {
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    let verified = world.run(&["verify", "plugins/seven.wasm"]);
    assert_eq!(verified.code, 0, "{}", verified.said());
    let words = format!("{format} by signer `vendor`, genuine");
    assert!(verified.stdout.contains(&words), "{}", verified.said());
}

/// Asserts that the plugin does not load, for a reason with this text.
fn assert_refused(world: &World, words: &str) {
    for command in [&["check"][..], &["verify", "plugins/seven.wasm"]] {
        let ended = world.run(command);
        assert_eq!(ended.code, 3, "{command:?}: {}", ended.said());
        assert!(ended.stderr.contains(words), "{command:?}, not `{words}`: {}", ended.said());
    }
}
