//! Local registries: Debian's, and one with arbitrary responses, false ones included.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use toolgate_policy::Digest;

use crate::client::PATIENCE;
use crate::web::{Web, dead_port};
use crate::world::{World, names};

/// Path of an external program, or a printed note that it is missing. In CI that is a failure.
pub fn peer(variable: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let may_skip = std::env::var_os("CI").is_none_or(|ci| ci != "true");
    assert!(may_skip, "{variable} is not set; run `cargo xtask test`");
    eprintln!("skipped: {variable} names no program; `cargo xtask test` sets it up");
    None
}

/// Debian's `docker-registry`, initially empty. Ends on drop.
pub struct Registry {
    /// Host and port.
    pub host: String,
    process: Child,
    _folder: TempDir,
}

impl Registry {
    /// Starts the registry if it is installed.
    pub fn start() -> Option<Self> {
        let program = peer("TOOLGATE_REGISTRY")?;
        let folder = TempDir::new().unwrap();
        let host = format!("127.0.0.1:{}", dead_port());
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n",
            folder.path().join("data").display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(&host).is_err() {
            assert!(Instant::now() < until, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { host, process, _folder: folder })
    }
}

impl Registry {
    /// Uploads a shelf into a repository (OCI distribution specification 1.1): blobs first, tags last.
    pub fn store(&self, repository: &str, shelf: &Shelf) {
        let blobs = shelf.files.iter().filter(|(path, _)| path.starts_with("blobs/"));
        for (path, (_, bytes)) in blobs {
            let digest = path.trim_start_matches("blobs/");
            let (status, head) =
                self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), "text/plain", b"");
            assert_eq!(status, 202, "{head}");
            let place = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
            let path = place.trim_start_matches(&format!("http://{}", self.host));
            let (status, head) =
                self.send("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
            assert_eq!(status, 201, "{head}");
        }
        let (by_tag, by_digest): (Vec<_>, Vec<_>) = shelf
            .files
            .iter()
            .filter(|(path, (kind, _))| {
                path.starts_with("manifests/") && kind.starts_with("application/vnd.oci.image.")
            })
            .partition(|(path, _)| !path.starts_with("manifests/sha256:"));
        for (path, (kind, bytes)) in by_digest.into_iter().chain(by_tag) {
            let (status, head) = self.send("PUT", &format!("/v2/{repository}/{path}"), kind, bytes);
            assert_eq!(status, 201, "{path}: {head}");
        }
    }

    /// Sends a request; returns the status and the whole response.
    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(&self.host).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), answer.replace("\r\n", "\n"))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Content of a registry by path below `/v2/hello/`: media type and bytes.
#[derive(Clone, Default)]
pub struct Shelf {
    /// All content.
    pub files: BTreeMap<String, (String, Vec<u8>)>,
    /// Digest of the component.
    pub component: String,
    /// Digest of the component's manifest.
    pub manifest: String,
}

/// Overrides responses: path below `/v2/hello/`, whole request, output. Returns false to leave it to the shelf.
pub type Lie = dyn Fn(&str, &str, &mut dyn Write) -> bool + Send + Sync;

impl Shelf {
    /// A plugin of a world with its signatures, as `toolgate bundle` lays them out, tagged `1`.
    pub fn of(world: &World, name: &str) -> Self {
        let bundle = world.path("bundle-for-shelf");
        drop(std::fs::remove_dir_all(&bundle));
        let component = format!("plugins/{name}.wasm");
        let exported = world.run(&["bundle", "export", &component, "--out", bundle.to_str().unwrap()]);
        assert_eq!(exported.code, 0, "{}", exported.said());
        let read = |path: &str| std::fs::read(bundle.join(path)).unwrap();
        let mut shelf = Self::default();
        for hex in names(&bundle.join("blobs/sha256")) {
            let bytes = read(&format!("blobs/sha256/{hex}"));
            shelf.put(&format!("blobs/sha256:{hex}"), "application/octet-stream", bytes.clone());
            if let Ok(Value::Object(manifest)) = serde_json::from_slice(&bytes)
                && let Some(kind) = manifest.get("mediaType").and_then(Value::as_str)
            {
                shelf.put(&format!("manifests/sha256:{hex}"), kind, bytes);
            }
        }
        let index: Value = serde_json::from_slice(&read("index.json")).unwrap();
        shelf.component = Digest::of(&std::fs::read(world.path(&component)).unwrap()).to_string();
        for entry in index["manifests"].as_array().unwrap() {
            let digest = entry["digest"].as_str().unwrap().to_owned();
            let tag = entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
            let tag = if tag == name { "1" } else { tag };
            let (kind, bytes) = shelf.files[&format!("manifests/{digest}")].clone();
            shelf.put(&format!("manifests/{tag}"), &kind, bytes);
            if tag == "1" {
                shelf.manifest = digest;
            }
        }
        shelf
    }

    /// Adds content at a path.
    pub fn put(&mut self, path: &str, kind: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), (kind.to_owned(), bytes));
    }

    /// Tags another manifest `1`.
    pub fn tag(&mut self, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::of(&bytes).to_string();
        let kind =
            manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned();
        for path in ["1", &digest] {
            self.put(&format!("manifests/{path}"), &kind, bytes.clone());
        }
        digest
    }

    /// Manifest of the component.
    pub fn component_manifest(&self) -> Value {
        serde_json::from_slice(&self.files["manifests/1"].1).unwrap()
    }

    /// Path and index of the fallback tag for referrers.
    pub fn fallback(&self) -> (String, Value) {
        let path = format!("manifests/{}", self.manifest.replace(':', "-"));
        let index = serde_json::from_slice(&self.files[&path].1).unwrap();
        (path, index)
    }

    /// Serves the shelf.
    pub fn serve(self) -> Web {
        self.serve_with(Box::new(|_, _, _| false))
    }

    /// Serves the shelf, except where `lie` responds.
    pub fn serve_with(self, lie: Box<Lie>) -> Web {
        Web::answering(move |request, to| {
            let path = request.split_whitespace().nth(1).unwrap_or_default();
            let path = path.strip_prefix("/v2/hello/").unwrap_or(path);
            if lie(path, request, to) {
                return;
            }
            match self.files.get(path) {
                Some((kind, bytes)) => answer(to, "200 OK", &[("Content-Type", kind)], bytes),
                None if path == "/v2/" => answer(to, "200 OK", &[], b"{}"),
                None => answer(to, "404 Not Found", &[], b"not here"),
            }
        })
    }
}

/// Sends a complete response.
pub fn answer(to: &mut dyn Write, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    drop(to.write_all(format!("{head}\r\n").as_bytes()));
    drop(to.write_all(body));
}

/// A counter shared with a server.
pub type Count = Arc<Mutex<usize>>;

/// Increments a counter; returns the previous value.
pub fn count(count: &Count) -> usize {
    let mut count = count.lock().unwrap();
    *count += 1;
    *count - 1
}

/// Descriptor of bytes.
pub fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
}

/// Writes a docker configuration with credentials for each host, readable by the owner only.
pub fn docker_config(world: &World, hosts: &[&str]) -> PathBuf {
    let auths: serde_json::Map<String, Value> =
        hosts.iter().map(|host| ((*host).to_owned(), json!({ "auth": "bWU6c2VjcmV0" }))).collect();
    world.put("docker/config.json", json!({ "auths": auths }).to_string().as_bytes(), 0o600);
    world.path("docker")
}

/// Whether a world has stored a component.
pub fn keeps(world: &World, digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap();
    Path::new(&world.path("state/blobs/sha256")).join(hex).exists()
}
