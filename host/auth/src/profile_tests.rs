//! Tests of profiles: for each identity provider an access token of a person, one of a program, and its other tokens, in the
//! forms that their documentation shows.

use serde_json::{Value, json};

use super::*;
use crate::issuer::AudienceFrom;
use crate::testing::{AUDIENCE, ISSUER, NOW, World};

/// Answer to a token of these claims, with this `typ`.
async fn answer(
    profile: Profile,
    media_type: Option<&str>,
    claims: &Value,
) -> Result<String, (u16, AuthStep)> {
    let world = World::with(|issuer| issuer.profile = profile);
    ask(&world, media_type, claims).await
}

async fn ask(world: &World, media_type: Option<&str>, claims: &Value) -> Result<String, (u16, AuthStep)> {
    let mut header = json!({ "alg": "ES256", "kid": "k1" });
    if let Some(media_type) = media_type {
        header["typ"] = json!(media_type);
    }
    let mut all = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW });
    for (name, value) in claims.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    world.refusal(&world.key.sign(&header.to_string(), &all.to_string())).await
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

const OTHER: Result<String, (u16, AuthStep)> = Err((401, AuthStep::TokenType));

fn user(name: &str) -> Result<String, (u16, AuthStep)> {
    Ok(format!("user:corp/{name}"))
}

fn service(name: &str) -> Result<String, (u16, AuthStep)> {
    Ok(format!("service:corp/{name}"))
}

#[test]
fn profiles_are_known_by_their_names() {
    for profile in Profile::ALL {
        assert_eq!(Profile::from_name(profile.name()), Some(profile));
    }
    assert_eq!(Profile::from_name("Okta"), None);
}

#[tokio::test]
async fn what_only_other_tokens_have_is_refused_under_every_relaxed_profile() {
    for profile in Profile::ALL.into_iter().filter(|profile| *profile != Profile::Rfc9068) {
        let good = json!({
            "sub": "alice", "client_id": "c", "azp": "c", "cid": "c", "uid": "u", "username": "alice", "scp": "a",
            "token_use": "access", "typ": "Bearer", "scope": "a",
        });
        let good = if profile == Profile::Okta { with(&good, "scp", json!(["a"])) } else { good };
        for media_type in [None, Some("JWT"), Some("jwt"), Some("at+jwt")] {
            assert_eq!(answer(profile, media_type, &good).await, user("alice"), "{profile:?} {media_type:?}");
        }
        for media_type in ["logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", "secevent+jwt", "", "JWT2"] {
            assert_eq!(answer(profile, Some(media_type), &good).await, OTHER, "{profile:?} {media_type}");
        }
        for name in ["nonce", "at_hash", "c_hash", "events"] {
            assert_eq!(
                answer(profile, None, &with(&good, name, json!("x"))).await,
                OTHER,
                "{profile:?} {name}"
            );
        }
    }
}

#[tokio::test]
async fn entra() {
    let person = json!({
        "sub": "AAAA", "oid": "o-1", "azp": "client-guid", "azpacr": "1", "scp": "Tools.Read", "tid": "t-1", "ver": "2.0",
        "groups": ["11111111-1111-1111-1111-111111111111"],
    });
    assert_eq!(answer(Profile::Entra, Some("JWT"), &person).await, user("AAAA"));
    let app =
        json!({ "sub": "o-2", "oid": "o-2", "azp": "client-guid", "roles": ["Tools.All"], "ver": "2.0" });
    assert_eq!(answer(Profile::Entra, Some("JWT"), &app).await, service("o-2"));
    assert_eq!(
        answer(Profile::Entra, Some("JWT"), &with(&person, "idtyp", json!("app"))).await,
        service("AAAA")
    );
    let id_token = json!({ "sub": "AAAA", "azp": "client-guid", "name": "Alice", "ver": "2.0" });
    assert_eq!(answer(Profile::Entra, Some("JWT"), &id_token).await, OTHER, "neither scp nor roles");
    let overage = json!({ "sub": "AAAA", "azp": "c", "scp": "a", "_claim_names": { "groups": "src1" },
        "_claim_sources": { "src1": { "endpoint": "https://graph.microsoft.com/x" } } });
    assert_eq!(answer(Profile::Entra, Some("JWT"), &overage).await, Err((401, AuthStep::Identity)));
}

#[tokio::test]
async fn keycloak() {
    let person = json!({
        "sub": "f-1", "typ": "Bearer", "azp": "editor", "sid": "s-1", "scope": "openid profile", "preferred_username": "alice",
        "realm_access": { "roles": ["staff"] },
    });
    assert_eq!(answer(Profile::Keycloak, Some("JWT"), &person).await, user("f-1"));
    let program = json!({
        "sub": "f-2", "typ": "Bearer", "azp": "Robot", "client_id": "Robot", "scope": "profile",
        "preferred_username": "service-account-robot",
    });
    assert_eq!(answer(Profile::Keycloak, Some("JWT"), &program).await, service("f-2"));
    assert_eq!(answer(Profile::Keycloak, Some("JWT"), &with(&program, "sid", json!("s"))).await, user("f-2"));
    assert_eq!(
        answer(Profile::Keycloak, Some("JWT"), &with(&program, "azp", json!("editor"))).await,
        user("f-2")
    );
    for kind in [
        json!("ID"),
        json!("Refresh"),
        json!("Offline"),
        json!("Logout"),
        json!("bearer"),
        json!(""),
        Value::Null,
    ] {
        assert_eq!(
            answer(Profile::Keycloak, Some("JWT"), &with(&person, "typ", kind.clone())).await,
            OTHER,
            "{kind}"
        );
    }
    let world = World::with(|issuer| {
        issuer.profile = Profile::Keycloak;
        issuer.groups = Some("realm_access.roles".to_owned());
    });
    assert_eq!(ask(&world, Some("JWT"), &person).await, user("f-1"));
    let wrong = with(&person, "realm_access", json!("staff"));
    assert_eq!(ask(&world, Some("JWT"), &wrong).await, Err((401, AuthStep::Identity)));
}

#[tokio::test]
async fn okta() {
    let person = json!({ "ver": 1, "jti": "AT.x", "sub": "alice@corp.example", "cid": "0oa1", "uid": "00u1", "scp": ["openid", "a"] });
    assert_eq!(answer(Profile::Okta, None, &person).await, user("alice@corp.example"));
    let program = json!({ "ver": 1, "sub": "0oa1", "cid": "0oa1", "scp": ["a"] });
    assert_eq!(answer(Profile::Okta, None, &program).await, service("0oa1"));
    // A client that somebody named like a person.
    assert_eq!(
        answer(Profile::Okta, None, &json!({ "sub": "alice", "cid": "0oa1", "scp": [] })).await,
        service("alice")
    );
    let broken = with(&person, "scp", json!(["a b"]));
    assert_eq!(answer(Profile::Okta, None, &broken).await, Err((401, AuthStep::Identity)));
}

#[tokio::test]
async fn auth0() {
    let person = json!({ "sub": "auth0|1", "azp": "c1", "scope": "openid a", "permissions": ["a"] });
    let person = with(&person, "aud", json!([AUDIENCE, "https://corp.eu.auth0.com/userinfo"]));
    assert_eq!(answer(Profile::Auth0, Some("JWT"), &person).await, user("auth0|1"));
    let program = json!({ "sub": "c1@clients", "azp": "c1", "gty": "client-credentials", "scope": "a" });
    assert_eq!(answer(Profile::Auth0, Some("JWT"), &program).await, service("c1@clients"));
    assert_eq!(answer(Profile::Auth0, Some("JWT"), &with(&program, "sub", json!("x"))).await, service("x"));
    let quiet = json!({ "sub": "c1@clients", "azp": "c1" });
    assert_eq!(answer(Profile::Auth0, Some("JWT"), &quiet).await, service("c1@clients"));
    let world = World::with(|issuer| {
        issuer.profile = Profile::Auth0;
        issuer.groups = Some("https://corp.example/groups".to_owned());
    });
    let grouped = with(&person, "https://corp.example/groups", json!(["staff"]));
    assert_eq!(ask(&world, Some("JWT"), &grouped).await, user("auth0|1"));
}

#[tokio::test]
async fn cognito() {
    let person = json!({
        "sub": "u-1", "client_id": "c1", "username": "alice", "token_use": "access", "scope": "a", "version": 2,
        "cognito:groups": ["staff"], "aud": null,
    });
    assert_eq!(answer(Profile::Cognito, None, &person).await, Err((401, AuthStep::Audience)), "no audience");
    let world = World::with(|issuer| {
        issuer.profile = Profile::Cognito;
        issuer.audience_from = AudienceFrom::Client;
        issuer.audiences = vec!["c1".to_owned()];
    });
    assert_eq!(ask(&world, None, &person).await, user("u-1"));
    let other = with(&person, "client_id", json!("c2"));
    assert_eq!(ask(&world, None, &other).await, Err((401, AuthStep::Audience)));
    let both = with(&person, "aud", json!("c1"));
    assert_eq!(ask(&world, None, &both).await, Err((401, AuthStep::Audience)));
    let program = json!({ "sub": "c1", "client_id": "c1", "token_use": "access", "aud": null });
    assert_eq!(ask(&world, None, &program).await, service("c1"));
    assert_eq!(
        ask(&world, None, &with(&person, "username", Value::Null)).await,
        service("u-1"),
        "nobody is named"
    );
    let id_token = json!({ "sub": "u-1", "aud": "c1", "token_use": "id", "client_id": "c1" });
    assert_eq!(ask(&world, None, &id_token).await, OTHER);
}

#[tokio::test]
async fn generic() {
    for client in ["client_id", "azp", "cid"] {
        for scopes in
            [json!({ "scope": "a b" }), json!({ "scp": ["a", "b"] }), json!({ "scp": "a b" }), json!({})]
        {
            let person = with(&with(&scopes, "sub", json!("alice")), client, json!("c1"));
            assert_eq!(answer(Profile::Generic, None, &person).await, user("alice"));
            assert_eq!(
                answer(Profile::Generic, None, &with(&person, "sub", json!("c1"))).await,
                service("c1")
            );
        }
    }
    assert_eq!(
        answer(Profile::Generic, None, &json!({ "sub": "alice" })).await,
        Err((401, AuthStep::Identity))
    );
}
