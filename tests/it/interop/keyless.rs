//! Keyless bundles, made by Sigstore's library for Node with Sigstore's mock services on loopback, and verified without
//! network. Sigstore's library verifies them too.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::process::{self, wait_until};
use toolgate_tests::world::TRUST;
use toolgate_tests::{Transport, World, guest, peer};

use super::{asked, assert_loads, assert_refused, statement, unsigned};

const BUNDLE: &str = "plugins/seven.wasm.sigstore.json";
const ISSUER: &str = "https://token.actions.example";
const SUBJECT: &str = "https://git.example/acme/tool/.git/workflows/release.yml@refs/tags/v1";

struct Sigstore(PathBuf);

/// A bundle, and the trusted root for it.
struct Made {
    bundle: Value,
    root: Value,
}

impl Sigstore {
    fn found() -> Option<Self> {
        peer("TOOLGATE_SIGSTORE").map(Self)
    }

    fn ask(&self, question: &Value) -> Value {
        let mut node = Command::new("node");
        node.arg(toolgate_tests::root().join("tests/clients/sigstore.mjs")).arg(&self.0);
        asked(node, question)
    }

    /// Signs `seven` in one of the supported ways.
    fn sign(&self, subject: &str, way: Value) -> Made {
        let mut question = json!({ "do": "keyless", "issuer": ISSUER, "subject": subject });
        question.as_object_mut().unwrap().extend(way.as_object().unwrap().clone());
        let mut answer = self.ask(&question);
        Made { bundle: answer["bundle"].take(), root: answer["trustedRoot"].take() }
    }

    fn statement(&self, subject: &str) -> Made {
        self.sign(subject, json!({ "statement": statement(&Digest::of(&guest::seven())) }))
    }

    fn accepts(&self, bundle: &Value, root: &Value, subject: &str, issuer: &str) -> bool {
        let question = json!({
            "do": "verify", "bundle": bundle, "trustedRoot": root, "subject": subject, "issuer": issuer,
            "statement": bundle.get("dsseEnvelope").is_some(), "component": Value::Null,
        });
        self.ask(&question)["verified"] == true
    }
}

/// Trust policy with an identity for the signer `vendor`.
fn known(issuer: &str, san: &str) -> String {
    let identity =
        format!("issuer = \"{issuer}\"\nsan = \"{san}\"\ntrusted_root = \"keys/trusted_root.json\"");
    TRUST.replace("key = \"keys/vendor.pub\"", &identity)
}

fn with(made: &Made) -> World {
    let world =
        unsigned().trust(&known(ISSUER, SUBJECT)).file("keys/trusted_root.json", &made.root.to_string());
    world.put(BUNDLE, made.bundle.to_string().as_bytes(), 0o644);
    world
}

#[test]
fn a_keyless_bundle_loads_by_issuer_name_and_root_over_a_statement_or_the_bytes() {
    let Some(sigstore) = Sigstore::found() else { return };
    let component = unsigned();
    let about = statement(&Digest::of(&guest::seven()));
    for way in [
        json!({ "statement": about }),
        json!({ "statement": about, "timestamp": true }),
        json!({ "component": component.path("plugins/seven.wasm") }),
    ] {
        let world = with(&sigstore.sign(SUBJECT, way));
        assert_loads(&world, "keyless Sigstore bundle");
        let pattern = "https://git.example/acme/*/.git/workflows/release.yml@refs/tags/v*";
        assert_loads(&world.trust(&known(ISSUER, pattern)), "keyless Sigstore bundle");
    }
}

#[test]
fn another_name_issuer_root_or_file_is_refused_here_and_by_sigstores_library() {
    let Some(sigstore) = Sigstore::found() else { return };
    let made = sigstore.statement(SUBJECT);
    assert!(sigstore.accepts(&made.bundle, &made.root, SUBJECT, ISSUER));

    let elsewhere = SUBJECT.replace("acme", "acme2");
    let stranger = format!("there is a signature by {SUBJECT} (by {ISSUER}), which is not a [[signer]]");
    assert!(!sigstore.accepts(&made.bundle, &made.root, &elsewhere, ISSUER));
    assert_refused(&with(&made).trust(&known(ISSUER, &elsewhere)), &stranger);

    let issuer = "https://issuer.example";
    assert!(!sigstore.accepts(&made.bundle, &made.root, SUBJECT, issuer));
    assert_refused(&with(&made).trust(&known(issuer, SUBJECT)), &stranger);

    let root = sigstore.statement(SUBJECT).root;
    assert!(!sigstore.accepts(&made.bundle, &root, SUBJECT, ISSUER));
    let world = with(&made).file("keys/trusted_root.json", &root.to_string());
    assert_refused(&world, "is not proved to be by whom it names");

    let about = statement(&Digest::of(b"another"));
    assert_refused(
        &with(&sigstore.sign(SUBJECT, json!({ "statement": about }))),
        "is a signature over other bytes",
    );
    let other = World::new().file("other", "another");
    let bytes = sigstore.sign(SUBJECT, json!({ "component": other.path("other") }));
    assert_refused(&with(&bytes), "is a signature over other bytes");
}

#[test]
fn a_keyless_bundle_with_any_part_missing_or_of_another_is_refused() {
    type Edit = fn(&mut Value, &Value);
    let Some(sigstore) = Sigstore::found() else { return };
    let (made, other) = (sigstore.statement(SUBJECT), sigstore.statement(SUBJECT));
    fn entry(bundle: &mut Value) -> &mut Value {
        &mut bundle["verificationMaterial"]["tlogEntries"][0]
    }
    let edits: [(&str, Edit); 20] = [
        ("no log entry", |b, _| b["verificationMaterial"]["tlogEntries"] = json!([])),
        ("two log entries", |b, _| {
            let one = entry(b).clone();
            b["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap().push(one);
        }),
        ("no promise", |b, _| drop(entry(b).as_object_mut().unwrap().remove("inclusionPromise"))),
        ("no proof", |b, _| drop(entry(b).as_object_mut().unwrap().remove("inclusionProof"))),
        ("another time", |b, _| entry(b)["integratedTime"] = json!("1700000000")),
        ("another index", |b, _| entry(b)["logIndex"] = json!("1")),
        ("another log", |b, o| {
            entry(b)["logId"] = o["verificationMaterial"]["tlogEntries"][0]["logId"].clone()
        }),
        ("another kind", |b, _| entry(b)["kindVersion"]["kind"] = json!("intoto")),
        ("another entry's body", |b, o| {
            entry(b)["canonicalizedBody"] =
                o["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"].clone();
        }),
        ("another entry", |b, o| *entry(b) = o["verificationMaterial"]["tlogEntries"][0].clone()),
        ("another certificate", |b, o| {
            b["verificationMaterial"]["certificate"] = o["verificationMaterial"]["certificate"].clone();
        }),
        ("another material", |b, o| b["verificationMaterial"] = o["verificationMaterial"].clone()),
        ("another signature", |b, o| {
            b["dsseEnvelope"]["signatures"] = o["dsseEnvelope"]["signatures"].clone();
        }),
        ("no signature", |b, _| b["dsseEnvelope"]["signatures"] = json!([])),
        ("a message besides", |b, _| b["messageSignature"] = json!({})),
        ("a key besides", |b, _| b["verificationMaterial"]["publicKey"] = json!({ "hint": "0".repeat(64) })),
        ("nine timestamps", |b, _| {
            let times = vec![json!({ "signedTimestamp": "AAAA" }); 9];
            b["verificationMaterial"]["timestampVerificationData"] = json!({ "rfc3161Timestamps": times });
        }),
        ("an unknown key", |b, _| entry(b)["extra"] = json!(1)),
        ("an older version", |b, _| {
            b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3");
        }),
        ("a certificate that is none", |b, _| {
            b["verificationMaterial"]["certificate"]["rawBytes"] = json!("AAAA")
        }),
    ];
    let world = with(&made);
    assert_loads(&world, "keyless Sigstore bundle");
    for (what, edit) in edits {
        let mut bundle = made.bundle.clone();
        edit(&mut bundle, &other.bundle);
        assert_ne!(bundle, made.bundle, "{what}");
        world.put(BUNDLE, bundle.to_string().as_bytes(), 0o644);
        let verified = world.run(&["verify", "plugins/seven.wasm"]);
        assert_eq!(verified.code, 3, "{what}: {}", verified.said());
        assert!(verified.stderr.contains("seven.wasm.sigstore.json is "), "{what}: {}", verified.said());
    }
}

#[test]
fn a_timestamp_by_an_authority_that_the_root_does_not_know_proves_nothing_and_refuses_nothing() {
    let Some(sigstore) = Sigstore::found() else { return };
    let about = statement(&Digest::of(&guest::seven()));
    let mut stamped = sigstore.sign(SUBJECT, json!({ "statement": about, "timestamp": true }));
    assert!(stamped.root["timestampAuthorities"].as_array().is_some_and(|all| !all.is_empty()));
    stamped.root["timestampAuthorities"] = json!([]);
    assert_loads(&with(&stamped), "keyless Sigstore bundle");
    // Nor does it replace the time that the log proves.
    let log = &mut stamped.bundle["verificationMaterial"]["tlogEntries"][0];
    log.as_object_mut().unwrap().remove("inclusionPromise");
    assert_refused(&with(&stamped), "seven.wasm.sigstore.json is ");
    // A timestamp of another signature, or garbage, beside a valid log entry.
    let plain = sigstore.statement(SUBJECT);
    for time in [stamped.bundle["verificationMaterial"]["timestampVerificationData"].clone(), times("AAAA")] {
        let mut bundle = plain.bundle.clone();
        bundle["verificationMaterial"]["timestampVerificationData"] = time;
        assert_loads(&with(&Made { bundle, root: plain.root.clone() }), "keyless Sigstore bundle");
    }
}

fn times(time: &str) -> Value {
    json!({ "rfc3161Timestamps": [{ "signedTimestamp": time }] })
}

#[test]
fn a_weak_key_in_a_trusted_root_is_a_configuration_error() {
    let Some(sigstore) = Sigstore::found() else { return };
    let made = sigstore.statement(SUBJECT);
    // An Ed25519 key (RFC 8410) whose point is the neutral element.
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let weak = super::base64(&[&prefix[..], &[1], &[0; 31]].concat());
    for log in ["tlogs", "ctlogs"] {
        let mut root = made.root.clone();
        root[log][0]["publicKey"]["rawBytes"] = weak.as_str().into();
        let check = with(&made).file("keys/trusted_root.json", &root.to_string()).run(&["check"]);
        assert_eq!(check.code, 2, "{log}: {}", check.said());
        assert!(check.stderr.contains("weak or malformed Ed25519 key"), "{log}: {}", check.stderr);
    }
}

#[test]
fn another_root_takes_along_what_the_one_before_proved_while_a_server_runs() {
    let Some(sigstore) = Sigstore::found() else { return };
    let made = sigstore.statement(SUBJECT);
    let other = sigstore.statement(SUBJECT).root.to_string();
    let version = |number: u32| known(ISSUER, SUBJECT).replace("version = 1", &format!("version = {number}"));
    let world = with(&made).locked();
    let approved = world.run(&["plugin", "approve", "--all", "--yes", "--by", "a tester"]);
    assert_eq!(approved.code, 0, "{}", approved.said());
    let server = world.serve(Transport::Http);
    world.put("keys/trusted_root.json", other.as_bytes(), 0o644);
    server.signal("HUP");
    server.wait_for_log("raise `version` with every change; everything is as it was");
    assert_eq!(server.call("seven_seven", json!({})).text(), "7");

    world.put("trust.toml", version(2).as_bytes(), 0o644);
    server.signal("HUP");
    server.wait_for_log("is not proved to be by whom it names");
    wait_until("it serves no more", || server.tools().is_empty());
    assert_eq!(server.call("seven_seven", json!({})).code(), -32602);
    assert!(!server.log().contains("the version before goes on serving"), "{}", server.log());
    drop(server);

    // Nor does the stored copy.
    let world = world.trust(&version(2));
    let refused = world.run(&["serve", "--stdio"]);
    assert_eq!(refused.code, 3, "{}", refused.said());
    assert!(refused.stderr.contains("is not proved to be by whom it names"), "{}", refused.said());
    assert!(!refused.stderr.contains("goes on serving"), "{}", refused.said());

    world.put("keys/trusted_root.json", made.root.to_string().as_bytes(), 0o644);
    let server = world.trust(&version(3)).serve(Transport::Http);
    assert_eq!(server.call("seven_seven", json!({})).text(), "7", "it was the root, and nothing else");
}

#[test]
fn a_keyless_signers_time_is_judged_when_they_signed() {
    let Some(sigstore) = Sigstore::found() else { return };
    let made = sigstore.statement(SUBJECT);
    let signed = made.bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"].as_str().unwrap();
    let signed: i64 = signed.parse().unwrap();
    while SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() < signed.unsigned_abs() + 2 {
        std::thread::sleep(Duration::from_millis(100));
    }
    let trusted = |key: &str, time: i64| {
        let mut date = Command::new("date");
        let date = process::output_of(date.args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("@{time}")]));
        let line = format!("{key} = {}\ntrusted_root =", String::from_utf8(date.stdout).unwrap().trim());
        with(&made).trust(&known(ISSUER, SUBJECT).replace("trusted_root =", &line))
    };
    assert_loads(&trusted("valid_until", signed + 1), "keyless Sigstore bundle");
    assert_refused(&trusted("valid_until", signed), "signer `vendor` is expired");
    assert_loads(&trusted("valid_from", signed), "keyless Sigstore bundle");
    assert_refused(&trusted("valid_from", signed + 1), "signer `vendor` is not valid yet");
}

#[test]
fn an_identity_that_could_be_anybodys_or_two_signers_is_a_configuration_error() {
    let trust = known(ISSUER, SUBJECT);
    for (policy, place) in [
        (known(ISSUER, "*"), "signer[0].san"),
        (known(ISSUER, "*@*"), "signer[0].san"),
        (known(ISSUER, "https://git.example/*"), "signer[0].san"),
        (known("*", SUBJECT), "signer[0].issuer"),
        (known("https://*.example", SUBJECT), "signer[0].issuer"),
        (trust.replace("issuer = ", "key = \"keys/vendor.pub\"\nissuer = "), "signer[0].key"),
        (trust.replace(&format!("issuer = \"{ISSUER}\"\n"), ""), "has no `issuer`"),
        (trust.replace("trusted_root = \"keys/trusted_root.json\"", ""), "has no `trusted_root`"),
        (trust.replace("keys/trusted_root.json", "keys/none.json"), "signer[0].trusted_root"),
        (trust.replace("keys/trusted_root.json", "/dev/zero"), "it is not a regular file"),
        (trust.replace("keys/trusted_root.json", "keys/vendor.pub"), "it is not a trusted root"),
        (trust.clone(), "it has no `certificateAuthorities`"),
    ] {
        let empty = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
        let check = unsigned().file("keys/trusted_root.json", empty).trust(&policy).run(&["check"]);
        assert_eq!(check.code, 2, "{}", check.said());
        assert!(check.stderr.contains(place), "not `{place}`: {}", check.stderr);
    }
}

#[test]
fn identities_of_two_signers_that_one_person_could_have_are_a_configuration_error() {
    let Some(sigstore) = Sigstore::found() else { return };
    let made = sigstore.statement(SUBJECT);
    let second = format!(
        "[[signer]]\nid = \"second\"\nissuer = \"{ISSUER}\"\nsan = \"{}\"\ntrusted_root = \"keys/trusted_root.json\"\n",
        SUBJECT.replace("v1", "*"),
    );
    let check = with(&made).trust(&(known(ISSUER, SUBJECT) + &second)).run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains("`second` and `vendor` overlap"), "{}", check.stderr);
}
