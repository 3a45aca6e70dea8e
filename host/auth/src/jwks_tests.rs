//! Tests of key sets: which keys are used, and why others are not.

use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::KeyPair as _;
use serde_json::{Value, json};

use super::*;
use crate::testing::{TestKey, base64url, jwks};

fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

fn why(jwk: &Value) -> String {
    match KeySet::parse(jwks(std::slice::from_ref(jwk)).as_bytes()) {
        Err(JwksError::Empty(skipped)) => skipped[0].why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_that_cannot_be_used_are_skipped_with_their_reason_and_the_others_count() {
    let good = TestKey::new("k1").jwk();
    let enc = with(&good, "use", json!("enc"));
    let text = jwks(&[enc, json!(1), json!({ "kty": "oct", "k": "c2VjcmV0" }), good.clone(), json!({})]);
    let set = KeySet::parse(text.as_bytes()).unwrap();
    assert_eq!(set.iter().map(IssuerKey::id).collect::<Vec<_>>(), [Some("k1")]);
    assert_eq!(
        set.skipped().iter().map(|key| key.name.as_str()).collect::<Vec<_>>(),
        ["k1", "key 2", "key 3", "key 5"]
    );
    assert!(set.has("k1") && !set.has("K1"));
    for (jwk, reason) in [
        (with(&good, "use", json!("enc")), "use"),
        (with(&good, "use", json!(1)), "use"),
        (with(&good, "key_ops", json!(["sign"])), "key_ops"),
        (with(&good, "key_ops", json!("verify")), "key_ops"),
        (with(&good, "d", json!("AAAA")), "private"),
        (with(&good, "kid", json!("a b")), "kid"),
        (with(&good, "kid", json!(1)), "kid"),
        (with(&good, "kty", json!("RSA")), "`n`"),
        (with(&good, "kty", json!("oct")), "kty"),
        (with(&good, "crv", json!("P-521")), "curve"),
        (with(&good, "crv", json!("P-384")), "point"),
        (with(&good, "x", good["y"].clone()), "point"),
        (with(&good, "x", json!("AA==")), "base64url"),
        (with(&good, "alg", json!("RS256")), "alg"),
        (with(&good, "alg", json!("none")), "alg"),
    ] {
        assert!(why(&jwk).contains(reason), "{jwk}: {}", why(&jwk));
    }
    for fine in [
        with(&good, "key_ops", json!(["verify"])),
        with(&good, "alg", json!("ES256")),
        with(&good, "x5c", json!(["x"])),
    ] {
        assert!(KeySet::parse(jwks(&[fine]).as_bytes()).is_ok());
    }
}

#[test]
fn a_key_is_for_the_algorithm_that_it_names_alone() {
    let parts: PublicKeyComponents<Vec<u8>> =
        KeyPair::generate(KeySize::Rsa2048).unwrap().public_key().into();
    let jwk = json!({ "kty": "RSA", "n": base64url(&parts.n), "e": base64url(&parts.e) });
    let set = KeySet::parse(jwks(&[jwk.clone(), with(&jwk, "alg", json!("PS256"))]).as_bytes()).unwrap();
    let [any, one] = &set.keys[..] else { panic!() };
    assert!(any.fits(JwsAlgorithm::Rs256) && any.fits(JwsAlgorithm::Ps256) && !any.fits(JwsAlgorithm::Es256));
    assert!(!one.fits(JwsAlgorithm::Rs256) && one.fits(JwsAlgorithm::Ps256));
    let short = json!({ "kty": "RSA", "n": base64url(&parts.n[128..]), "e": "AQAB" });
    assert!(!why(&short).is_empty(), "1024 bits");
}

#[test]
fn sets_are_the_same_only_with_the_same_ids_algorithms_and_keys() {
    let (one, other) = (TestKey::new("k1").jwk(), TestKey::new("k1").jwk());
    let set = |keys: &[Value]| KeySet::parse(jwks(keys).as_bytes()).unwrap();
    let first = set(std::slice::from_ref(&one));
    assert!(first.is_same(&set(&[with(&one, "x5t", json!("x"))])));
    for changed in [
        vec![other.clone()],
        vec![one.clone(), other],
        vec![with(&one, "kid", json!("k2"))],
        vec![with(&one, "alg", json!("ES256"))],
    ] {
        assert!(!first.is_same(&set(&changed)));
    }
}
