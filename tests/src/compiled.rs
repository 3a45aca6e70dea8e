//! Cache of compiled code shared by test worlds, since compiling takes most of a test's time. Files are hard links
//! where possible; the program replaces cache files and never modifies them.

use std::fs::{DirBuilder, copy, hard_link};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use toolgate_policy::Digest;
use toolgate_signature::mac::MacKey;

const KEY: &str = "cache.key";

/// The shared folder, with the key that authenticates its files.
fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        // target/<profile>/deps/it-… → target/test-cache
        let me = std::env::current_exe().unwrap();
        let shared = me.ancestors().nth(3).unwrap().join("test-cache");
        std::fs::create_dir_all(&shared).unwrap();
        // Several test programs may start at once: the first key counts.
        if !shared.join(KEY).exists() {
            let own = tempfile::tempdir_in(&shared).unwrap();
            let dir = Dir::open_ambient_dir(own.path(), ambient_authority()).unwrap();
            MacKey::load_or_make(&dir, KEY).unwrap();
            drop(hard_link(own.path().join(KEY), shared.join(KEY)));
        }
        shared
    })
}

/// Gives a state directory the shared key, so that code compiled there can be shared.
pub(crate) fn open(state: &Path) {
    for folder in [state.to_owned(), state.join("keys"), state.join("cache")] {
        DirBuilder::new().mode(0o700).create(folder).unwrap();
    }
    copy(shared().join(KEY), state.join("keys").join(KEY)).unwrap();
}

/// Copies a component's compiled code into a state directory.
pub(crate) fn take(digest: Digest, state: &Path) {
    link(shared(), &state.join("cache"), &digest.hex());
}

/// Shares the code compiled in a state directory.
pub(crate) fn share(state: &Path) {
    link(&state.join("cache"), shared(), "");
}

fn link(from: &Path, to: &Path, beginning: &str) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let is_wanted = name.to_str().is_some_and(|name| {
            name.starts_with(beginning) && !name.starts_with('.') && name.ends_with(".cwasm")
        });
        let place = to.join(&name);
        if is_wanted && !place.exists() && hard_link(entry.path(), &place).is_err() {
            // Another file system, or another process was faster.
            drop(copy(entry.path(), place));
        }
    }
}
