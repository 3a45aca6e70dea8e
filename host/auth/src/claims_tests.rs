//! Attacks by claims of tokens that are signed as they should be, each with the answer that it must get. The numbers are those
//! of the table of attacks in the design.

use serde_json::{Value, json};
use toolgate_policy::principal::PrincipalKind;

use crate::testing::{NOW, TestKey, World, claims, claims_with};
use crate::{AuthFailure, AuthStep};

const ALICE: &str = "user:corp/alice";

async fn with_claims(world: &World, changes: Value) -> Result<String, (u16, AuthStep)> {
    world.refusal(&world.key.token(&claims_with(changes))).await
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
async fn a_token_has_a_limited_number_of_scopes() {
    let world = World::new();
    let scopes = |count: usize| (0..count).map(|number| format!("s{number}")).collect::<Vec<_>>().join(" ");
    assert_eq!(with_claims(&world, json!({ "scope": scopes(128) })).await, Ok(ALICE.into()));
    assert_eq!(with_claims(&world, json!({ "scope": scopes(129) })).await, Err((401, AuthStep::Identity)));
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
    let roles = World::with(|issuer| issuer.groups = Some("roles".to_owned()));
    for name in ["roles", "groups"] {
        let error = with_claims(&roles, json!({ "_claim_names": { name: "src1" } })).await;
        assert_eq!(error, Err((401, AuthStep::Identity)), "{name}");
    }
    assert_eq!(with_claims(&roles, json!({ "_claim_names": { "address": "src1" } })).await, Ok(ALICE.into()));
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
