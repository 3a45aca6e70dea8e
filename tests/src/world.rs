//! A folder with everything that a server needs, and the program run in it.

use std::cell::Cell;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use toolgate_base::artifact::Artifact;
use toolgate_policy::Digest;
use toolgate_signature::key::PrivateKey;
use toolgate_signature::sign::sign;

use crate::client::PATIENCE;
use crate::compiled;
use crate::served::Kept;

mod run;

pub use run::{Ended, names};

/// A world: configured by builder methods, and written to disk when it is used.
pub struct World {
    folder: Arc<Folder>,
    shares: bool,
    server: String,
    plugins: Vec<Plugin>,
    more: String,
    trust: String,
    locked: bool,
    as_is: bool,
    env: Vec<(String, String)>,
    pub(crate) before: Option<String>,
    pub(crate) kept: Kept,
}

/// Folder of a world. On drop its compiled code is shared, unless the world has its own cache.
pub(crate) struct Folder {
    dir: TempDir,
    shares: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.shares {
            compiled::share(&self.dir.path().join("state"));
        }
    }
}

thread_local! {
    /// Whether plugins of new worlds run in workers.
    static APART: Cell<bool> = const { Cell::new(false) };
}

/// Runs tests with each plugin of their worlds in a worker process.
pub fn apart(tests: &[fn()]) {
    APART.set(true);
    tests.iter().for_each(|test| test());
    APART.set(false);
}

struct Plugin {
    head: String,
    grant: String,
    limits: String,
}

/// Trust policy that trusts the key `vendor` for all plugins.
pub const TRUST: &str = r#"
version = 1
[[signer]]
id = "vendor"
key = "keys/vendor.pub"
[[role]]
name = "publisher"
threshold = 1
signers = ["vendor"]
[[rule]]
plugin = "*"
require = ["publisher"]
"#;

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world with one trusted key, `vendor`, and no plugins.
    pub fn new() -> Self {
        let world = Self::make(true);
        compiled::open(&world.path("state"));
        world
    }

    /// A world with an empty cache of compiled code, for tests of compiling and caching.
    pub fn with_own_cache() -> Self {
        Self::make(false)
    }

    /// A copy of a complete folder; its configuration is not overwritten. Private keys, secrets and state get the modes
    /// that they require.
    pub fn of_folder(folder: &Path) -> Self {
        let mut world = Self::make(false);
        world.as_is = true;
        world.copy(folder, "");
        world
    }

    fn copy(&self, from: &Path, to: &str) {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let name = format!("{to}{}", entry.file_name().into_string().unwrap());
            let is_private =
                name.starts_with("state") || name.starts_with("secrets") || name == "keys/vendor";
            if entry.path().is_dir() {
                let mode = if is_private { 0o700 } else { 0o755 };
                DirBuilder::new().recursive(true).mode(mode).create(self.path(&name)).unwrap();
                self.copy(&entry.path(), &format!("{name}/"));
            } else {
                let mode = if is_private { 0o600 } else { 0o644 };
                self.put(&name, &std::fs::read(entry.path()).unwrap(), mode);
            }
        }
    }

    fn make(shares: bool) -> Self {
        crate::process::end_in_time();
        let world = Self {
            folder: Arc::new(Folder { dir: TempDir::new().unwrap(), shares }),
            shares,
            server: String::new(),
            plugins: Vec::new(),
            more: String::new(),
            trust: TRUST.to_owned(),
            locked: false,
            as_is: false,
            env: Vec::new(),
            before: None,
            kept: Kept::default(),
        };
        world.key("vendor");
        world
    }

    /// Adds a plugin, signed by `vendor`.
    #[must_use]
    pub fn plugin(mut self, name: &str, bytes: &[u8]) -> Self {
        self.install(name, bytes);
        self.plugins.push(Plugin {
            head: format!("name = \"{name}\"\nsource = \"file:plugins/{name}.wasm\"\n"),
            grant: String::new(),
            limits: String::new(),
        });
        if APART.get() { self.with("isolation = \"process\"") } else { self }
    }

    /// Adds a folder of plugins.
    #[must_use]
    pub fn plugin_folder(mut self, source: &str) -> Self {
        let head = format!("source = \"{source}\"\n");
        self.plugins.push(Plugin { head, grant: String::new(), limits: String::new() });
        self
    }

    /// Adds a plugin with a remote source.
    #[must_use]
    pub fn plugin_from(mut self, name: &str, source: &str) -> Self {
        self.plugins.push(Plugin {
            head: format!("name = \"{name}\"\nsource = \"{source}\"\n"),
            grant: String::new(),
            limits: String::new(),
        });
        self
    }

    /// Adds a line to the last plugin.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        let plugin = self.plugins.last_mut().unwrap();
        plugin.head.push_str(&format!("{line}\n"));
        self
    }

    /// Adds a line to the last plugin's grant.
    #[must_use]
    pub fn grant(mut self, line: &str) -> Self {
        self.plugins.last_mut().unwrap().grant.push_str(&format!("{line}\n"));
        self
    }

    /// Adds a line to the last plugin's limits.
    #[must_use]
    pub fn limit(mut self, line: &str) -> Self {
        self.plugins.last_mut().unwrap().limits.push_str(&format!("{line}\n"));
        self
    }

    /// Adds a line to `[server]`.
    #[must_use]
    pub fn server(mut self, line: &str) -> Self {
        self.server.push_str(&format!("{line}\n"));
        self
    }

    /// Adds text at the end of the configuration.
    #[must_use]
    pub fn more(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    /// Replaces the trust policy.
    #[must_use]
    pub fn trust(mut self, text: &str) -> Self {
        text.clone_into(&mut self.trust);
        self
    }

    /// Requires approvals.
    #[must_use]
    pub fn locked(mut self) -> Self {
        self.locked = true;
        self
    }

    /// Adds an environment variable for the program.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets shell commands that run in the program's process before it.
    #[must_use]
    pub fn begun_by(mut self, script: &str) -> Self {
        self.before = Some(script.to_owned());
        self
    }

    /// Creates a folder in the world.
    #[must_use]
    pub fn folder(self, name: &str) -> Self {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self
    }

    /// Writes a file in the world.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        self.put(name, text.as_bytes(), 0o644);
        self
    }

    /// Writes a file that others cannot read.
    #[must_use]
    pub fn secret_file(self, name: &str, text: &str) -> Self {
        self.put(name, text.as_bytes(), 0o600);
        self
    }

    /// Absolute path of a name in the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.dir.path().join(name)
    }

    /// Writes a file.
    pub fn put(&self, name: &str, bytes: &[u8], mode: u32) {
        use std::io::Write as _;
        let is_compiled = name.starts_with("state/cache") || name.starts_with("state/keys/cache");
        assert!(!(self.shares && is_compiled), "a world that changes compiled code has a cache of its own");
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&path)
            .unwrap();
        file.write_all(bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The key of this name, created if it is missing.
    pub fn key(&self, name: &str) -> PrivateKey {
        let path = self.path(&format!("keys/{name}"));
        if let Ok(pem) = std::fs::read_to_string(&path) {
            return PrivateKey::from_pem(&pem).unwrap();
        }
        let key = PrivateKey::generate().unwrap();
        self.put(&format!("keys/{name}"), key.to_pem().unwrap().as_bytes(), 0o600);
        self.put(&format!("keys/{name}.pub"), key.public().unwrap().to_pem().unwrap().as_bytes(), 0o644);
        key
    }

    /// Writes a plugin's bytes and signs them with `vendor`.
    pub fn install(&self, name: &str, bytes: &[u8]) {
        self.put(&format!("plugins/{name}.wasm"), bytes, 0o644);
        if self.shares {
            compiled::take(Digest::of(bytes), &self.path("state"));
        }
        self.sign(name, "vendor");
    }

    /// Signs a plugin; signers other than `vendor` are further ones.
    pub fn sign(&self, name: &str, key: &str) {
        let bytes = std::fs::read(self.path(&format!("plugins/{name}.wasm"))).unwrap();
        let signed = sign(&Artifact::of(bytes), name, None, &self.key(key)).unwrap();
        let first = if key == "vendor" { String::new() } else { format!(".{}", &signed.key.hex()[..8]) };
        self.put(&format!("plugins/{name}.wasm{first}.sigstore.json"), signed.text.as_bytes(), 0o644);
    }

    /// The configuration.
    pub(crate) fn config(&self) -> String {
        // Tests choose when a change is read and whether approvals are required.
        let watch = if self.server.contains("watch = ") { "" } else { "watch = false\n" };
        let lock = if self.locked { "" } else { "lock = \"off\"\n" };
        let mut text = format!("[server]\n{watch}{}\n[trust]\npolicy = \"trust.toml\"\n{lock}", self.server);
        for plugin in &self.plugins {
            text.push_str(&format!("\n[[plugin]]\n{}", plugin.head));
            if !plugin.grant.is_empty() {
                text.push_str(&format!("[plugin.grant]\n{}", plugin.grant));
            }
            if !plugin.limits.is_empty() {
                text.push_str(&format!("[plugin.limits]\n{}", plugin.limits));
            }
        }
        text.push_str(&self.more);
        // A busy machine must not end calls; tests of the deadline set it themselves.
        if !text.contains("[defaults.limits]") {
            text.push_str(&format!("\n[defaults.limits]\ndeadline_ms = {}\n", 2 * PATIENCE.as_millis()));
        }
        text
    }

    /// Writes the configuration and returns its path.
    pub fn write(&self) -> PathBuf {
        if self.as_is {
            return self.path("toolgate.toml");
        }
        self.put("toolgate.toml", self.config().as_bytes(), 0o644);
        self.put("trust.toml", self.trust.as_bytes(), 0o644);
        self.path("toolgate.toml")
    }
}
