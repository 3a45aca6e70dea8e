//! Signatures across programs: what others sign loads here and what is signed here they accept; what one side refuses, the
//! other refuses, too.

mod minisign;
mod ssh;

use std::path::Path;
use std::process::{Command, Output};

use toolgate_tests::world::TRUST;
use toolgate_tests::{World, guest};

/// A world with one plugin, `seven`, that nobody signed yet.
fn unsigned() -> World {
    let world = World::new().plugin("seven", &guest::seven());
    std::fs::remove_file(world.path("plugins/seven.wasm.sigstore.json")).unwrap();
    world
}

/// The signer `vendor`, known by another file.
fn known_by(key: &str) -> String {
    TRUST.replace("keys/vendor.pub", key)
}

/// Runs somebody else's program.
fn run(program: &Path, args: &[&str], world: &World) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(world.path("")).env("HOME", world.path(""));
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

/// The same, and it must succeed.
fn must(program: &Path, args: &[&str], world: &World) {
    let output = run(program, args, world);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// It loads, and `verify` names the format and the signer.
fn assert_loads(world: &World, format: &str) {
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    let verified = world.run(&["verify", "plugins/seven.wasm"]);
    assert_eq!(verified.code, 0, "{}", verified.said());
    let words = format!("{format} by signer `vendor`, genuine");
    assert!(verified.stdout.contains(&words), "{}", verified.said());
}

/// It does not load, for a reason with these words.
fn assert_refused(world: &World, words: &str) {
    for command in [&["check"][..], &["verify", "plugins/seven.wasm"]] {
        let ended = world.run(command);
        assert_eq!(ended.code, 3, "{command:?}: {}", ended.said());
        assert!(ended.stderr.contains(words), "{command:?}, not `{words}`: {}", ended.said());
    }
}
