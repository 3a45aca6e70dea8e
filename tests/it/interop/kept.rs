//! Bundles with a long-lived key: Sigstore's library for Node and securesystemslib verify those of Toolgate, and make
//! some.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::{World, guest, peer};

use super::{asked, assert_loads, assert_refused, statement, unsigned};

const BUNDLE: &str = "plugins/seven.wasm.sigstore.json";

/// One of the two libraries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Sigstore,
    Securesystemslib,
}

impl Peer {
    fn found(self) -> Option<PathBuf> {
        match self {
            Self::Sigstore => peer("TOOLGATE_SIGSTORE"),
            Self::Securesystemslib => peer("TOOLGATE_SECURESYSTEMSLIB"),
        }
    }

    fn ask(self, place: &PathBuf, question: &Value) -> Value {
        let clients = toolgate_tests::root().join("tests/clients");
        asked(
            match self {
                Self::Sigstore => {
                    let mut node = Command::new("node");
                    node.arg(clients.join("sigstore.mjs")).arg(place);
                    node
                }
                Self::Securesystemslib => {
                    let mut python = Command::new(place);
                    python.arg(clients.join("dsse.py"));
                    python
                }
            },
            question,
        )
    }

    /// Verifies the bundle with this key; returns its statement if it is valid.
    fn accepts(self, place: &PathBuf, world: &World, key: &str) -> Option<Value> {
        let bundle: Value = serde_json::from_slice(&std::fs::read(world.path(BUNDLE)).unwrap()).unwrap();
        let key = world.path(&format!("keys/{key}.pub"));
        let question = json!({
            "do": "verify", "key": key, "bundle": bundle, "envelope": bundle["dsseEnvelope"], "statement": true,
        });
        let answer = self.ask(place, &question);
        if answer["verified"] == true { Some(answer["statement"].clone()) } else { None }
    }

    /// Writes a bundle of a statement, signed by a key of the world.
    fn sign(self, place: &PathBuf, world: &World, key: &str, statement: &Value) {
        let key = world.path(&format!("keys/{key}"));
        let answer = self.ask(place, &json!({ "do": "sign", "key": key, "statement": statement }));
        let bundle = match self {
            Self::Sigstore => answer["bundle"].clone(),
            // The library makes DSSE envelopes; a bundle adds the key's hint.
            Self::Securesystemslib => json!({
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": { "publicKey": { "hint": answer["keyid"] } },
                "dsseEnvelope": answer["envelope"],
            }),
        };
        world.put(BUNDLE, bundle.to_string().as_bytes(), 0o644);
    }
}

fn verifies_what_toolgate_signs(peer: Peer) {
    let Some(place) = peer.found() else { return };
    let world = World::new().plugin("seven", &guest::seven());
    std::fs::remove_file(world.path(BUNDLE)).unwrap();
    world.key("other");
    let signed = world.run(&["sign", "plugins/seven.wasm", "--key", "keys/vendor"]);
    assert_eq!(signed.code, 0, "{}", signed.said());
    let read = peer.accepts(&place, &world, "vendor").unwrap();
    assert_eq!(read["subject"][0]["digest"]["sha256"], Digest::of(&guest::seven()).hex());
    assert_eq!(read["predicateType"], "urn:toolgate:plugin:v1");

    assert_eq!(peer.accepts(&place, &world, "other"), None, "another key");
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(world.path(BUNDLE)).unwrap()).unwrap();
    let other = statement(&Digest::of(b"another"));
    bundle["dsseEnvelope"]["payload"] = super::base64(other.to_string().as_bytes()).into();
    world.put(BUNDLE, bundle.to_string().as_bytes(), 0o644);
    assert_eq!(peer.accepts(&place, &world, "vendor"), None, "another statement");
    assert_refused(&world, "is a signature over other bytes");
    world.put("plugins/seven.wasm", b"another", 0o644);
    assert_refused(&world, "is not a genuine signature");
}

fn signs_what_loads(peer: Peer) {
    let Some(place) = peer.found() else { return };
    let world = unsigned();
    world.key("other");
    let ours = statement(&Digest::of(&guest::seven()));
    peer.sign(&place, &world, "vendor", &ours);
    assert!(peer.accepts(&place, &world, "vendor").is_some());
    assert_loads(&world, "Sigstore bundle");

    let mut two = ours.clone();
    two["subject"].as_array_mut().unwrap().push(json!({ "digest": { "sha256": "0".repeat(64) } }));
    let mut another = ours.clone();
    another["predicateType"] = "https://slsa.dev/provenance/v1".into();
    for (key, statement, words) in [
        ("other", &ours, "there is a signature by key"),
        ("vendor", &statement(&Digest::of(b"another")), "is a signature over other bytes"),
        ("vendor", &two, "it has 2 subjects"),
        ("vendor", &another, "`predicateType` is not"),
    ] {
        peer.sign(&place, &world, key, statement);
        assert_refused(&world, words);
    }
}

#[test]
fn sigstores_library_verifies_what_toolgate_signs_and_refuses_another_key_or_statement() {
    verifies_what_toolgate_signs(Peer::Sigstore);
}

#[test]
fn securesystemslib_verifies_what_toolgate_signs_and_refuses_another_key_or_statement() {
    verifies_what_toolgate_signs(Peer::Securesystemslib);
}

#[test]
fn what_sigstores_library_signs_with_a_kept_key_loads_and_another_key_file_or_statement_does_not() {
    signs_what_loads(Peer::Sigstore);
}

#[test]
fn what_securesystemslib_signs_loads_and_another_key_file_or_statement_does_not() {
    signs_what_loads(Peer::Securesystemslib);
}
