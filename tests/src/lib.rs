//! Test fixtures: worlds (a folder with keys, signed plugins and a configuration), the program run in them, and
//! clients. No assertions about the program.

pub mod attest;
pub mod begun;
pub mod bomb;
pub mod chance;
pub mod client;
mod compiled;
pub mod dns;
pub mod fuzz;
pub mod guest;
pub mod hold;
pub mod identity;
pub mod inner;
pub mod inside;
pub mod kept;
pub mod named;
pub mod process;
pub mod prompt;
pub mod raw;
pub mod registry;
pub mod reply;
mod served;
pub mod tls;
pub mod web;
pub mod wit;
pub mod world;

pub use client::{Server, Transport};
pub use guest::{plugin, test_guest, wat};
pub use reply::{HttpReply, Reply};
pub use world::{Ended, World, apart};

use std::path::PathBuf;

/// The program under test.
pub fn toolgate() -> PathBuf {
    if let Some(program) = std::env::var_os("TOOLGATE_BIN") {
        return program.into();
    }
    // target/<profile>/deps/it-… → target/<profile>/toolgate
    let me = std::env::current_exe().unwrap();
    let program = me.ancestors().nth(2).unwrap().join("toolgate");
    assert!(
        program.exists(),
        "the program is not built; run `cargo build --bin toolgate` or `cargo xtask test`"
    );
    program
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Path of an external program, or a printed note that it is missing. In CI that is a failure.
pub fn peer(variable: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{variable} is not set; run `cargo xtask test`"
    );
    eprintln!("skipped: {variable} names no program; `cargo xtask test` sets it up");
    None
}
