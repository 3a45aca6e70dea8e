//! Attacks on tokens, each with the answer that it must get. The numbers are those of the table of attacks in the design.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use toolgate_policy::principal::PrincipalKind;
use toolgate_signature::jws::JwsAlgorithm;

use crate::testing::{
    AUDIENCE, ISSUER, JWKS, METADATA, NOW, TestKey, World, base64url, claims, claims_with, jwks,
};
use crate::{AuthFailure, AuthStep};

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
    assert!(holder.credential.token_id.is_some() && holder.tools.is_none());
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

#[tokio::test]
async fn row_12_a_token_ends_at_its_time_and_a_little_later() {
    let world = World::new();
    assert_eq!(with_claims(&world, json!({ "exp": NOW - 29 })).await, Ok(ALICE.into()));
    for (exp, is_expired) in
        [(json!(NOW - 30), true), (json!(NOW - 31), true), (json!(0), true), (json!(0.5), true)]
    {
        let error = world.ask(&world.key.token(&claims_with(json!({ "exp": exp })))).await.unwrap_err();
        assert_eq!(error.failure == AuthFailure::Expired, is_expired, "{exp}");
        assert_eq!(error.failure.public_text(), "the token has expired");
    }
    for exp in [
        json!((NOW + 300).to_string()),
        json!(1e300),
        json!(-1),
        json!(true),
        json!([NOW + 300]),
        Value::Null,
    ] {
        assert_eq!(with_claims(&world, json!({ "exp": exp })).await, Err((401, AuthStep::Time)), "{exp}");
    }
    let null = world.key.sign(
        &world.key.header().to_string(),
        &claims().to_string().replace(&(NOW + 300).to_string(), "null"),
    );
    assert_eq!(
        world.refusal(&null).await,
        Err((401, AuthStep::Time)),
        "a null is not absent, and not a date"
    );
}

#[tokio::test]
async fn row_13_a_token_of_the_future_does_not_count_yet() {
    let world = World::new();
    for name in ["nbf", "iat"] {
        assert_eq!(with_claims(&world, json!({ name: NOW + 30 })).await, Ok(ALICE.into()));
        for value in [json!(NOW + 31), json!(NOW + 86_400), json!("0"), json!(1e300), json!(-1), json!([0])] {
            assert_eq!(
                with_claims(&world, json!({ name: value })).await,
                Err((401, AuthStep::Time)),
                "{name} {value}"
            );
        }
    }
    assert_eq!(with_claims(&world, json!({ "iat": null })).await, Ok(ALICE.into()));
}

#[tokio::test]
async fn row_14_claims_that_stand_twice_or_hide_something_are_refused() {
    let world = World::new();
    let text = claims().to_string();
    for twice in [r#""sub":"alice","sub":"root""#, r#""sub":"root","s\u0075b":"alice""#] {
        let token = world.key.sign(&world.key.header().to_string(), &text.replace(r#""sub":"alice""#, twice));
        assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Form)), "{twice}");
    }
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","kid":"k2"}"#;
    assert_eq!(world.refusal(&world.key.sign(header, &text)).await, Err((401, AuthStep::Form)));
    for name in ["", "a\0", "\u{202e}alice", "ali\u{200b}ce", "a\r\nb", &"a".repeat(257)] {
        assert_eq!(
            with_claims(&world, json!({ "sub": name })).await,
            Err((401, AuthStep::Identity)),
            "{name:?}"
        );
        assert_eq!(
            with_claims(&world, json!({ "groups": [name] })).await,
            Err((401, AuthStep::Identity)),
            "{name:?}"
        );
        assert_eq!(
            with_claims(&world, json!({ "client_id": name })).await,
            Err((401, AuthStep::Identity)),
            "{name:?}"
        );
    }
    for value in [json!(1), json!(["alice"]), json!({ "sub": "alice" }), json!(false), Value::Null] {
        assert_eq!(
            with_claims(&world, json!({ "sub": value })).await,
            Err((401, AuthStep::Identity)),
            "{value}"
        );
    }
}

#[tokio::test]
async fn a_claim_of_the_wrong_type_is_never_absent() {
    let world = World::new();
    for (name, values) in [
        ("scope", vec![json!(1), json!(["a"]), json!({}), json!("a\"b"), json!("a\nb")]),
        (
            "groups",
            vec![json!("staff"), json!({ "0": "staff" }), json!([1]), json!([["staff"]]), json!(true)],
        ),
        ("client_id", vec![json!(1), json!(["editor"]), Value::Null]),
        ("jti", vec![json!(1), json!([])]),
        ("_claim_names", vec![json!(1), json!([])]),
    ] {
        for value in values {
            let answer = with_claims(&world, json!({ name: value })).await;
            assert_eq!(answer, Err((401, AuthStep::Identity)), "{name} {value}");
        }
    }
    for name in ["scope", "groups"] {
        assert_eq!(with_claims(&world, json!({ name: null })).await, Ok(ALICE.into()), "{name}");
        let token = world.key.sign(
            &world.key.header().to_string(),
            &claims_with(json!({ name: "-" })).to_string().replace("\"-\"", "null"),
        );
        assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Identity)), "{name}: null");
    }
}

#[tokio::test]
async fn row_15_deep_wide_and_long_tokens_are_refused_at_once() {
    let world = World::new();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(5_000));
    for payload in [deep, wide] {
        let token = world.key.sign(&world.key.header().to_string(), &payload);
        assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Form)));
    }
    let long = world.key.token(&claims_with(json!({ "x": "y".repeat(16 << 10) })));
    assert_eq!(world.refusal(&long).await, Err((401, AuthStep::Presentation)));
    assert!(world.published.asked().is_empty());
}

#[tokio::test]
async fn row_22_a_token_that_is_bound_to_anything_is_no_bearer_token() {
    let world = World::new();
    for bound in [json!({ "jkt": "x" }), json!({ "x5t#S256": "x" }), json!({ "new": 1 }), json!({}), json!(1)]
    {
        let answer = with_claims(&world, json!({ "cnf": bound })).await;
        assert_eq!(answer, Err((401, AuthStep::Confirmation)), "{bound}");
    }
}

#[tokio::test]
async fn row_42_actors_are_named_and_give_no_rights() {
    let world = World::new();
    let nested = |depth: usize| {
        (1..depth).fold(json!({ "sub": "admin" }), |inner, _| json!({ "sub": "a", "act": inner }))
    };
    let holder = world.ask(&world.key.token(&claims_with(json!({ "act": nested(4) })))).await.unwrap();
    assert_eq!(holder.principal.to_string(), ALICE);
    assert_eq!(holder.principal.identity().unwrap().actors, ["a", "a", "a", "admin"]);
    for actor in [
        nested(5),
        json!("admin"),
        json!({}),
        json!({ "sub": 1 }),
        json!([]),
        json!({ "sub": "a", "act": 1 }),
        json!({ "sub": "a\0" }),
    ] {
        assert_eq!(
            with_claims(&world, json!({ "act": actor })).await,
            Err((401, AuthStep::Identity)),
            "{actor}"
        );
    }
    let holder =
        world.ask(&world.key.token(&claims_with(json!({ "may_act": { "sub": "admin" } })))).await.unwrap();
    assert!(holder.principal.identity().unwrap().actors.is_empty());
}

#[tokio::test]
async fn row_43_groups_that_were_left_out_or_are_too_many_are_refused_and_none_is_anothers() {
    let world = World::new();
    let many: Vec<String> = (0..513).map(|number| format!("g{number}")).collect();
    for changes in [
        json!({ "groups": null, "_claim_names": { "groups": "src1" } }),
        json!({ "groups": null, "hasgroups": true }),
        json!({ "groups": many }),
    ] {
        let error = world.ask(&world.key.token(&claims_with(changes))).await.unwrap_err();
        assert_eq!((error.failure.status(), error.reason), (401, "group-overage"));
        assert!(error.remedy.is_some());
    }
    let token = world.key.token(&claims_with(json!({ "groups": ["apikey/build", "other/staff"] })));
    let holder = world.ask(&token).await.unwrap();
    assert!(holder.principal.identity().unwrap().groups.iter().eq(["corp/apikey/build", "corp/other/staff"]));
}

#[tokio::test]
async fn row_44_a_client_that_is_named_like_a_person_is_another_principal() {
    let world = World::new();
    let person = world.ask(&world.key.token(&claims())).await.unwrap().principal;
    let token = world.key.token(&claims_with(json!({ "client_id": "alice" })));
    let client = world.ask(&token).await.unwrap().principal;
    assert_eq!((person.kind(), client.kind()), (PrincipalKind::User, PrincipalKind::Service));
    assert!(!person.is_same_party(&client) && person.digest() != client.digest());
    assert_eq!(with_claims(&world, json!({ "client_id": null })).await, Err((401, AuthStep::Identity)));
}

#[tokio::test]
async fn every_refusal_of_a_token_looks_the_same_to_a_client() {
    let world = World::new();
    let other = TestKey::new("k1");
    let refusals = [
        other.token(&claims()),
        world.key.token(&claims_with(json!({ "iss": "https://evil.example" }))),
        world.key.token(&claims_with(json!({ "aud": "https://other.example" }))),
        world.key.token(&claims_with(json!({ "cnf": {} }))),
        "opaque".to_owned(),
        "tgk_a2345678_".to_owned(),
    ];
    for token in refusals {
        let error = world.ask(&token).await.unwrap_err();
        assert_eq!(error.failure, AuthFailure::InvalidToken, "{error}");
        assert_eq!(error.failure.public_text(), "the token is not valid here");
        for part in token.split('.').filter(|part| part.len() > 12) {
            assert!(!error.to_string().contains(part), "a part of the token is in {error}");
        }
    }
}
