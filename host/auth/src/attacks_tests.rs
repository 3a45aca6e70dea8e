//! Attacks on tokens, each with the answer that it must get. The numbers are those of the table of attacks in the design.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use toolgate_signature::jws::JwsAlgorithm;

use crate::AuthStep;
use crate::testing::{
    AUDIENCE, ISSUER, JWKS, METADATA, TestKey, World, base64url, claims, claims_with, jwks,
};

const ALICE: &str = "user:corp/alice";

async fn with_claims(world: &World, changes: Value) -> Result<String, (u16, AuthStep)> {
    world.refusal(&world.key.token(&claims_with(changes))).await
}

#[tokio::test]
async fn a_good_token_names_its_holder() {
    let world = World::new();
    let holder = world.ask(&world.key.token(&claims())).await.unwrap();
    let identity = holder.principal.identity().unwrap();
    assert_eq!(holder.principal.to_string(), ALICE);
    assert_eq!(identity.client.as_deref(), Some("editor"));
    assert!(identity.groups.iter().eq(["corp/finance", "corp/staff"]));
    assert!(identity.scopes.iter().eq(["tools:read", "tools:write"]));
    assert_eq!(identity.tenant.as_str(), "default");
    assert_eq!(holder.credential.issuer, "corp");
    assert_eq!(holder.credential.hash.len(), 32);
    assert!(holder.credential.token_id.is_some() && holder.principal.identity().unwrap().tools.is_none());
}

#[tokio::test]
async fn row_1_no_algorithm_is_none() {
    let world = World::new();
    for name in ["none", "None", "nOnE", "NONE", ""] {
        let header = json!({ "alg": name, "typ": "at+jwt", "kid": "k1" }).to_string();
        let input = format!("{}.{}", base64url(&header), base64url(claims().to_string()));
        assert_eq!(world.refusal(&format!("{input}.")).await, Err((401, AuthStep::Form)), "{name}");
        assert_eq!(world.refusal(&format!("{input}.AA")).await, Err((401, AuthStep::Algorithm)), "{name}");
    }
    let (unsigned, _) =
        world.key.token(&claims()).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.len())).unwrap();
    assert_eq!(world.refusal(&format!("{unsigned}.")).await, Err((401, AuthStep::Form)));
    assert!(world.published.asked().is_empty(), "nothing is asked for such a token");
}

#[tokio::test]
async fn row_2_a_public_key_is_no_shared_secret() {
    let world = World::new();
    let (x, y) = world.key.pair.public_point().unwrap();
    let secrets = [[&[4][..], &x, &y].concat(), world.key.jwk().to_string().into_bytes(), x.to_vec()];
    for name in ["HS256", "HS384", "HS512"] {
        for secret in &secrets {
            let header = json!({ "alg": name, "typ": "at+jwt", "kid": "k1" }).to_string();
            let input = format!("{}.{}", base64url(&header), base64url(claims().to_string()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
            let token = format!("{input}.{}", base64url(tag));
            assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Algorithm)), "{name}");
        }
    }
}

#[tokio::test]
async fn row_3_a_signature_of_another_kind_or_form_is_none() {
    let world = World::with(|issuer| issuer.algorithms.push(JwsAlgorithm::Ps256));
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y), "kid": "der" });
    world.published.put(JWKS, jwks(&[jwk, world.key.jwk()]));
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "der" }).to_string();
    let input = format!("{}.{}", base64url(&header), base64url(claims().to_string()));
    let der = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    for signature in [der.as_ref(), &[0; 64], &[0; 1], &[0xff; 64]] {
        let token = format!("{input}.{}", base64url(signature));
        assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Signature)), "{}", signature.len());
    }
    // Algorithms that the key is not for.
    for name in ["PS256", "RS256"] {
        let token = world
            .key
            .sign(&json!({ "alg": name, "typ": "at+jwt", "kid": "k1" }).to_string(), &claims().to_string());
        assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Key)), "{name}");
    }
}

#[tokio::test]
async fn row_3_an_algorithm_that_the_issuer_does_not_use_is_refused_though_it_has_a_key_for_it() {
    let world = World::with(|issuer| issuer.algorithms = vec![JwsAlgorithm::Rs256, JwsAlgorithm::Es384]);
    assert_eq!(world.refusal(&world.key.token(&claims())).await, Err((401, AuthStep::Algorithm)));
}

#[tokio::test]
async fn row_4_a_token_is_by_the_key_that_it_names_and_not_by_another_of_the_issuer() {
    let (world, other) = (World::new(), TestKey::new("k2"));
    world.published.put(JWKS, jwks(&[world.key.jwk(), other.jwk()]));
    assert_eq!(world.refusal(&other.token(&claims())).await, Ok(ALICE.into()));
    let token = other.sign(&world.key.header().to_string(), &claims().to_string());
    assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Signature)));
}

#[tokio::test]
async fn row_4_a_key_id_is_looked_for_among_the_issuers_keys_and_nowhere_else() {
    let world = World::new();
    for id in [
        "../../dev/null",
        "' OR 1=1 --",
        "k2",
        "https://evil.example/k",
        "k1 ",
        "K1",
        &"k".repeat(10_000),
        "k1\0",
    ] {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": id }).to_string();
        let token = world.key.sign(&header, &claims().to_string());
        let answer = world.refusal(&token).await;
        assert!(matches!(answer, Err((401, AuthStep::Key | AuthStep::Header))), "{id}: {answer:?}");
    }
    assert_eq!(world.published.addresses(), [METADATA, JWKS], "asked once, at the configured places");
}

#[tokio::test]
async fn row_5_and_6_a_header_that_brings_its_own_key_or_rules_is_refused_and_nothing_is_asked() {
    let world = World::new();
    let attacker = TestKey::new("k1");
    for (name, value) in [
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", attacker.jwk()),
        ("x5c", json!(["MII"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        let mut header = attacker.header();
        header[name] = value;
        for key in [&attacker, &world.key] {
            let token = key.sign(&header.to_string(), &claims().to_string());
            assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Header)), "{name}");
        }
    }
    assert!(world.published.asked().is_empty());
}

#[tokio::test]
async fn row_7_and_8_an_issuer_that_is_not_configured_byte_for_byte_is_unknown_and_not_asked() {
    let world = World::new();
    for issuer in [
        "https://id.example/realms/corp/",
        "https://ID.example/realms/corp",
        "https://id.example/realms/Corp",
        "http://id.example/realms/corp",
        "https://id.example/realms/corp#",
        "https://id.example.evil.com#/realms/corp",
        "https://evil.example",
        "corp",
        "",
    ] {
        let answer = with_claims(&world, json!({ "iss": issuer })).await;
        assert_eq!(answer, Err((401, AuthStep::Issuer)), "{issuer}");
    }
    for issuer in [json!([ISSUER]), json!(1), json!({}), json!(true), Value::Null] {
        assert_eq!(with_claims(&world, json!({ "iss": issuer })).await, Err((401, AuthStep::Issuer)));
    }
    let own = TestKey::new("k1");
    let token = own.token(&claims_with(json!({ "iss": "https://evil.example" })));
    assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Issuer)));
    assert!(world.published.asked().is_empty());
    assert_eq!(world.refusal(&own.token(&claims())).await, Err((401, AuthStep::Signature)), "another's key");
}

#[tokio::test]
async fn row_9_and_10_a_token_for_another_server_is_refused() {
    let world = World::new();
    let many: Vec<String> = (0..16).map(|number| format!("a{number}")).chain([AUDIENCE.to_owned()]).collect();
    for audience in [
        Value::Null,
        json!("https://other.example/mcp"),
        json!("https://tools.example/mcp/"),
        json!("https://tools.example"),
        json!("https://TOOLS.example/mcp"),
        json!(["https://other.example/mcp"]),
        json!([]),
        json!(""),
        json!(1),
        json!([1]),
        json!([AUDIENCE, 1]),
        json!({ "0": AUDIENCE }),
        json!([[AUDIENCE]]),
        json!(many),
    ] {
        let answer = with_claims(&world, json!({ "aud": audience })).await;
        assert_eq!(answer, Err((401, AuthStep::Audience)), "{audience}");
    }
    let token = world.key.token(&claims_with(json!({ "aud": ["https://other.example", AUDIENCE] })));
    let holder = world.ask(&token).await.unwrap();
    assert_eq!(holder.credential.other_audiences, 1, "and the record says that there are others");
}

#[tokio::test]
async fn row_11_other_tokens_of_the_issuer_are_no_access_tokens() {
    let world = World::new();
    for kind in [
        json!("JWT"),
        json!("oauth-id-jag+jwt"),
        json!("logout+jwt"),
        json!("dc+sd-jwt"),
        json!("dpop+jwt"),
        Value::Null,
    ] {
        let mut header = world.key.header();
        match &kind {
            Value::Null => drop(header.as_object_mut().unwrap().remove("typ")),
            kind => header["typ"] = kind.clone(),
        }
        let token = world.key.sign(&header.to_string(), &claims().to_string());
        assert_eq!(world.refusal(&token).await, Err((401, AuthStep::TokenType)), "{kind}");
    }
    for kind in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let header = json!({ "alg": "ES256", "typ": kind, "kid": "k1" }).to_string();
        assert_eq!(world.refusal(&world.key.sign(&header, &claims().to_string())).await, Ok(ALICE.into()));
    }
}
