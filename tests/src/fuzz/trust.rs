//! Fuzz targets for untrusted input: signatures, keys, lockfiles, bundles.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::json;
use tempfile::TempDir;
use toolgate_base::artifact::Artifact;
use toolgate_net::remote::artefact::ComponentInterfaces;
use toolgate_net::remote::bundle::{self, Item};
use toolgate_policy::Digest;
use toolgate_policy::load::identity::Identity;
use toolgate_policy::load::signer::Claim;
use toolgate_signature::anchor::Anchor;
use toolgate_signature::keyless_signer::KeylessSigner;
use toolgate_signature::{SignatureFile, key_file};
use toolgate_state::lockfile::Lockfile;

use crate::root;

/// Artifact of the stored signatures.
fn artifact() -> Artifact {
    Artifact::of(kept("component/seven"))
}

fn kept(name: &str) -> Vec<u8> {
    let path = root().join("tests/fuzz").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(name: &str) -> String {
    String::from_utf8(kept(name)).unwrap()
}

fn signers() -> Vec<Anchor> {
    let keys =
        ["key/pem", "key/openssh", "key/minisign"].map(|name| key_file::read(&text(name)).unwrap().anchor);
    let identity = Identity::parse(
        "https://token.actions.example",
        "https://git.example/acme/tool/.git/workflows/release.yml@refs/tags/v1",
    );
    let root = KeylessSigner::root(&text("key/trusted-root")).unwrap();
    keys.into_iter().chain([Anchor::Identity(KeylessSigner { identity: identity.unwrap(), root })]).collect()
}

/// Verifies a signature file of any format against signers of every kind. Returns true if it is genuine.
pub fn is_genuine(data: &[u8]) -> bool {
    const NAMES: [&str; 4] = ["a.sigstore.json", "a.sig", "a.minisig", "a"];
    static SIGNERS: OnceLock<(Artifact, Vec<Anchor>)> = OnceLock::new();
    let (artifact, signers) = SIGNERS.get_or_init(|| (artifact(), signers()));
    let Some((which, bytes)) = data.split_first() else { return false };
    let name = NAMES[usize::from(*which) % NAMES.len()].to_owned();
    let Ok(signature) = toolgate_signature::read(&SignatureFile { name, bytes: bytes.to_vec() }) else {
        return false;
    };
    let claim = signature.claim();
    let verified =
        signers.iter().filter_map(|signer| Some((signer, signature.verify(artifact, signer).ok()?)));
    let genuine = verified.inspect(|(signer, verified)| {
        assert_eq!((verified.digest(), verified.key()), (artifact.digest(), signer.id()));
        // The verified signer must be the one that the signature names.
        let named = signer.is_named_by(&claim) || matches!(claim, Claim::Minisign(_));
        assert!(named, "{claim}");
    });
    genuine.count() > 0
}

/// Fuzz target for [`is_genuine`].
pub fn signature(data: &[u8]) {
    is_genuine(data);
}

/// A key file or trusted root of any kind.
pub fn key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(file) = key_file::read(text) {
        assert_eq!(key_file::read(text).unwrap().anchor.id(), file.anchor.id());
    }
    drop(KeylessSigner::root(text));
}

/// A lockfile: an accepted one must encode to the same text.
pub fn lock(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(lock) = Lockfile::parse(text) {
        assert_eq!(lock.text().unwrap(), text);
    }
}

/// A tar, the index of an otherwise valid folder, or a manifest that such an index lists.
pub fn bundle(data: &[u8]) {
    static FOLDER: OnceLock<(TempDir, Mutex<()>)> = OnceLock::new();
    let (folder, one) = FOLDER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let name = "seven.wasm.sigstore.json".to_owned();
        let signatures = vec![SignatureFile { name, bytes: kept("signature/bundle").split_off(1) }];
        let item = Item { name: "seven".to_owned(), artifact: artifact(), signatures, unread: Vec::new() };
        let interfaces = ComponentInterfaces { exports: vec!["seven".to_owned()], imports: Vec::new() };
        bundle::write(&[(item, interfaces)], None, &folder.path().join("layout")).unwrap();
        (folder, Mutex::default())
    });
    let Some((which, content)) = data.split_first() else { return };
    let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
    let (tar, layout) = (folder.path().join("a.tar"), folder.path().join("layout"));
    match which % 3 {
        0 => {
            std::fs::write(&tar, content).unwrap();
            read(&tar);
        }
        1 => {
            std::fs::write(layout.join("index.json"), content).unwrap();
            read(&layout);
        }
        _ => {
            let digest = Digest::of(content);
            let manifest = "application/vnd.oci.image.manifest.v1+json";
            let listed =
                json!({ "mediaType": manifest, "digest": digest.to_string(), "size": content.len() });
            let index = json!({ "schemaVersion": 2, "manifests": [listed] });
            let blob = layout.join("blobs/sha256").join(digest.hex());
            let is_new = !blob.exists();
            std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
            std::fs::write(&blob, content).unwrap();
            read(&layout);
            if is_new {
                std::fs::remove_file(&blob).unwrap();
            }
        }
    }
}

fn read(place: &Path) {
    let Ok(mut bundle) = bundle::open(place) else { return };
    // Only content that matches its digest may come out.
    for listed in bundle.components().to_vec() {
        let Ok(item) = bundle.item(&listed, &[]) else { continue };
        assert_eq!(Digest::of(item.artifact.bytes()), listed.digest);
    }
    drop(bundle.root());
}
