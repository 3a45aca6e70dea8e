//! Bundles that count as signatures; any other, even by one bit, does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use toolgate_policy::limits::load::SIGNATURE_BYTES_MAX;
use toolgate_policy::limits::size;

use super::super::key::PrivateKey;
use super::super::sign::{pre_authentication_encoding, sign};
use super::*;
use crate::sign::STATEMENT_TYPE;
use crate::turned;

struct Case {
    artifact: Artifact,
    key: PrivateKey,
    text: String,
}

impl Case {
    fn new() -> Self {
        let artifact = Artifact::of(b"the component".to_vec());
        let key = PrivateKey::generate().unwrap();
        let text = sign(&artifact, "c.wasm", None, &key).unwrap().text;
        Self { artifact, key, text }
    }

    fn verify(&self, text: &str) -> Result<VerifiedSignature, SignatureError> {
        self.verify_with(text, &self.artifact, &self.key)
    }

    fn verify_with(
        &self,
        text: &str,
        artifact: &Artifact,
        key: &PrivateKey,
    ) -> Result<VerifiedSignature, SignatureError> {
        let file = SignatureFile { name: "c.wasm.sigstore.json".into(), bytes: text.as_bytes().to_vec() };
        read(&file)?.verify(artifact, &Anchor::Key(key.public().unwrap()))
    }

    fn edited(&self, edit: impl FnOnce(&mut Value)) -> String {
        let mut bundle: Value = serde_json::from_str(&self.text).unwrap();
        edit(&mut bundle);
        bundle.to_string()
    }

    /// The same bundle with another statement, signed by the same key.
    fn resigned(&self, statement: &Value) -> String {
        let payload = statement.to_string();
        let message = pre_authentication_encoding(PAYLOAD_TYPE, payload.as_bytes());
        let sig = STANDARD.encode(self.key.sign(&message).unwrap());
        self.edited(|bundle| {
            bundle["dsseEnvelope"]["payload"] = json!(STANDARD.encode(&payload));
            bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!(sig);
        })
    }

    fn statement(&self) -> Value {
        json!({
            "_type": STATEMENT_TYPE,
            "subject": [{ "name": "c.wasm", "digest": { "sha256": self.artifact.digest().hex() } }],
            "predicateType": PREDICATE_TYPE,
            "predicate": {},
        })
    }
}

#[test]
fn what_was_signed_verifies_with_its_key_over_its_bytes() {
    let case = Case::new();
    let verified = case.verify(&case.text).unwrap();
    assert_eq!(
        (verified.digest(), verified.key()),
        (case.artifact.digest(), case.key.public().unwrap().id())
    );
    assert!(case.verify(&case.edited(|_| {})).is_ok(), "white space is free");
    assert!(
        case.verify(&case.resigned(&case.statement())).is_ok(),
        "the helper of the tests below signs as it should"
    );
    let with_empty = case.edited(|bundle| {
        bundle["verificationMaterial"]["tlogEntries"] = json!([]);
        bundle["verificationMaterial"]["timestampVerificationData"] = json!({ "rfc3161Timestamps": [] });
    });
    assert!(case.verify(&with_empty).is_ok(), "other tools write empty lists");
}

#[test]
fn a_signature_over_other_bytes_does_not_verify() {
    let case = Case::new();
    let other = Artifact::of(b"another component".to_vec());
    assert!(matches!(case.verify_with(&case.text, &other, &case.key), Err(SignatureError::OtherBytes(_))));
}

#[test]
fn a_signature_by_another_key_does_not_verify() {
    let case = Case::new();
    let other = PrivateKey::generate().unwrap();
    assert!(matches!(case.verify_with(&case.text, &case.artifact, &other), Err(SignatureError::Forged(_))));
    let hint = other.public().unwrap().id().hex();
    let renamed = case.edited(|bundle| {
        bundle["verificationMaterial"]["publicKey"]["hint"] = json!(hint);
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = json!("");
    });
    assert!(matches!(case.verify_with(&renamed, &case.artifact, &other), Err(SignatureError::Forged(_))));
}

#[test]
fn no_bit_of_a_bundle_can_be_turned() {
    let case = Case::new();
    let minimal = case.edited(|_| {});
    for (bytes, what) in turned(&minimal) {
        let file = SignatureFile { name: "x".into(), bytes };
        let verdict =
            read(&file).and_then(|b| b.verify(&case.artifact, &Anchor::Key(case.key.public().unwrap())));
        assert!(verdict.is_err(), "{what}");
    }
}

#[test]
fn no_bundle_can_be_cut_short() {
    let case = Case::new();
    let text = case.text.trim_end();
    for end in 0..text.len() {
        let cut: String = text.chars().take(end).collect();
        assert!(case.verify(&cut).is_err(), "cut at {end}");
    }
}

#[test]
fn everything_unknown_doubled_or_not_canonical_is_refused() {
    let case = Case::new();
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 12] = [
        ("unknown key", |b| b["extra"] = json!(1)),
        ("unknown key in material", |b| b["verificationMaterial"]["extra"] = json!(1)),
        ("older media type", |b| {
            b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3")
        }),
        ("no payload type", |b| b["dsseEnvelope"]["payloadType"] = json!(null)),
        ("no signature", |b| b["dsseEnvelope"]["signatures"] = json!([])),
        ("two signatures", |b| {
            let one = b["dsseEnvelope"]["signatures"][0].clone();
            b["dsseEnvelope"]["signatures"] = json!([one.clone(), one]);
        }),
        ("another keyid", |b| b["dsseEnvelope"]["signatures"][0]["keyid"] = json!("0".repeat(64))),
        ("upper-case hint", |b| {
            let hint = b["verificationMaterial"]["publicKey"]["hint"].as_str().unwrap().to_uppercase();
            b["verificationMaterial"]["publicKey"]["hint"] = json!(hint);
        }),
        ("unpadded base64", |b| {
            let payload =
                b["dsseEnvelope"]["payload"].as_str().unwrap().trim_end_matches('=').to_owned() + " ";
            b["dsseEnvelope"]["payload"] = json!(payload);
        }),
        ("log entries", |b| b["verificationMaterial"]["tlogEntries"] = json!([{}])),
        ("timestamps", |b| {
            b["verificationMaterial"]["timestampVerificationData"] = json!({ "rfc3161Timestamps": [{}] });
        }),
        ("certificate", |b| b["verificationMaterial"] = json!({ "certificate": { "rawBytes": "AA==" } })),
    ];
    for (what, edit) in edits {
        assert!(matches!(case.verify(&case.edited(edit)), Err(SignatureError::Unreadable { .. })), "{what}");
    }
    let doubled = case.text.replacen('{', r#"{"mediaType":"x","#, 1);
    assert!(matches!(case.verify(&doubled), Err(SignatureError::Unreadable { .. })));
}

#[test]
fn a_genuine_signature_over_another_kind_of_statement_is_refused() {
    let case = Case::new();
    let digest = json!({ "sha256": case.artifact.digest().hex() });
    type Edit<'a> = Box<dyn Fn(&mut Value) + 'a>;
    let edits: [(&str, Edit<'_>); 11] = [
        ("no subject", Box::new(|s| s["subject"] = json!([]))),
        ("two subjects", Box::new(|s| s["subject"] = json!([{ "digest": digest }, { "digest": digest }]))),
        (
            "one among several",
            Box::new(|s| {
                s["subject"] = json!([{ "digest": { "sha256": "0".repeat(64) } }, { "digest": digest }]);
            }),
        ),
        ("another algorithm beside", Box::new(|s| s["subject"][0]["digest"]["sha512"] = json!("00"))),
        ("no predicate type", Box::new(|s| s["predicateType"] = json!(null))),
        ("predicate with more", Box::new(|s| s["predicate"] = json!({ "notAfter": "2020-01-01T00:00:00Z" }))),
        ("an empty id", Box::new(|s| s["predicate"] = json!({ "id": "" }))),
        ("an id that is not text", Box::new(|s| s["predicate"] = json!({ "id": ["a"] }))),
        ("an id without end", Box::new(|s| s["predicate"] = json!({ "id": "a".repeat(257) }))),
        ("statement type", Box::new(|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1"))),
        ("unknown key", Box::new(|s| s["more"] = json!(true))),
    ];
    for (what, edit) in edits {
        let mut statement = case.statement();
        edit(&mut statement);
        assert!(
            matches!(case.verify(&case.resigned(&statement)), Err(SignatureError::Unreadable { .. })),
            "{what}"
        );
    }
}

#[test]
fn a_huge_bundle_is_refused_before_it_is_parsed() {
    let file = SignatureFile { name: "x".into(), bytes: vec![b' '; size(2 * SIGNATURE_BYTES_MAX)] };
    assert!(matches!(read(&file).map(drop), Err(SignatureError::Unreadable { .. })));
}

#[test]
fn what_is_about_something_else_is_told_from_a_signature_that_is_not_as_it_should_be() {
    let case = Case::new();
    let about = |kind: &str| {
        let mut statement = case.statement();
        statement["predicateType"] = json!(kind);
        // Our format applies to signatures of plugins only; the rest of this statement is arbitrary.
        statement["subject"] = json!([{ "digest": { "sha512": "00" } }, { "name": "b" }]);
        statement["predicate"] = json!({ "materials": [1, 2, { "any": "thing" }] });
        case.resigned(&statement)
    };
    let older = |text: String| {
        let mut bundle: Value = serde_json::from_str(&text).unwrap();
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
        bundle["verificationMaterial"] =
            json!({ "x509CertificateChain": { "certificates": [] }, "tlogEntries": [{}, {}] });
        bundle["dsseEnvelope"]["signatures"] = json!([{ "sig": "AA==", "keyid": "x" }, { "sig": "AA==" }]);
        bundle.to_string()
    };
    let provenance = "https://slsa.dev/provenance/v1";
    let other_payload =
        case.edited(|b| b["dsseEnvelope"]["payloadType"] = json!("application/vnd.acme+json"));
    let over_bytes = case.edited(|b| {
        b.as_object_mut().unwrap().remove("dsseEnvelope");
        b["messageSignature"] = json!({ "signature": "AA==" });
    });
    for (text, word) in [
        (about(provenance), provenance),
        (about("https://spdx.dev/Document"), "https://spdx.dev/Document"),
        (about("https://sigstore.dev/cosign/sign/v1"), "cosign/sign/v1"),
        (about("urn:toolgate:plugin:v2"), "urn:toolgate:plugin:v2"),
        (older(about(provenance)), provenance),
        (other_payload, "application/vnd.acme+json"),
        (over_bytes, "messageSignature"),
    ] {
        match case.verify(&text) {
            Err(SignatureError::Other { what, .. }) => assert!(what.contains(word), "{what}"),
            other => panic!("{word}: {other:?}"),
        }
    }
    assert!(matches!(case.verify(&older(case.text.clone())), Err(SignatureError::Unreadable { .. })));
}

#[test]
fn a_statement_says_which_plugin_it_is_for_and_that_is_signed() {
    let case = Case::new();
    let signed = sign(&case.artifact, "c.wasm", Some("acme:files"), &case.key).unwrap();
    assert_eq!(case.verify(&signed.text).unwrap().plugin(), Some("acme:files"));
    assert_eq!(case.verify(&case.text).unwrap().plugin(), None);
    let mut statement = case.statement();
    statement["predicate"] = json!({ "id": "other" });
    let payload = STANDARD.encode(statement.to_string());
    let mut bundle: Value = serde_json::from_str(&signed.text).unwrap();
    bundle["dsseEnvelope"]["payload"] = json!(payload);
    assert!(matches!(case.verify(&bundle.to_string()), Err(SignatureError::Forged(_))));
}
