//! Tests of whole requests: remembering, replacing, floods, time, explaining.

use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::apikey::generate;
use crate::issuer::{IssuerSpec, IssuerText, TenantRule};
use crate::scope::ScopeHierarchy;
use crate::testing::{
    ISSUER, JWKS, NOW, TestKey, World, bearer, claims, claims_with, issuer, jwks, keys, row,
};

const SOURCE: &str = "192.0.2.1";

fn source() -> IpAddr {
    SOURCE.parse().unwrap()
}

fn settings(change: impl FnOnce(&mut IssuerText)) -> AuthSettings {
    let mut text = issuer();
    change(&mut text);
    AuthSettings { issuers: vec![IssuerSpec::new(text).unwrap()], ..AuthSettings::default() }
}

#[tokio::test]
async fn row_46_a_credential_ends_at_its_time_and_when_anything_behind_it_changes() {
    let world = World::new();
    let holder = world.ask(&world.key.token(&claims())).await.unwrap();
    assert_eq!(
        holder.expires_at,
        UNIX_EPOCH + Duration::from_secs(NOW + 330),
        "with the difference of clocks"
    );
    assert_eq!(world.auth.is_current(&holder), Ok(()));
    world.set_time(NOW + 329);
    assert_eq!(world.auth.is_current(&holder), Ok(()));
    world.set_time(NOW + 330);
    assert_eq!(world.auth.is_current(&holder), Err(CredentialEnd::Expired));
    let world = World::new();
    let holder = world.ask(&world.key.token(&claims())).await.unwrap();
    let mut changes = world.auth.changes();
    changes.mark_unchanged();
    world.auth.replace(settings(|_| {})).unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(world.auth.is_current(&holder), Ok(()), "nothing is different");
    world.auth.replace(settings(|issuer| issuer.audiences = vec!["other".to_owned()])).unwrap();
    assert_eq!(world.auth.is_current(&holder), Err(CredentialEnd::Changed));
    let implies = [("a".to_owned(), ["b".to_owned()].into())].into();
    let hierarchy = ScopeHierarchy::new(implies).unwrap();
    world.auth.replace(AuthSettings { hierarchy, ..settings(|_| {}) }).unwrap();
    assert_eq!(world.auth.is_current(&holder), Err(CredentialEnd::Changed), "other scopes");
    world.auth.replace(AuthSettings::default()).unwrap();
    assert_eq!(world.auth.is_current(&holder), Err(CredentialEnd::Changed));
}

#[tokio::test]
async fn row_46_a_revoked_key_ends_what_it_opened() {
    let new = generate().unwrap();
    let of = |rows| AuthSettings { keys: keys(rows), ..AuthSettings::default() };
    let world = World::under(of(vec![row(&new)]));
    let holder = world.ask(&new.text).await.unwrap();
    assert_eq!(holder.credential.key_id.as_deref(), Some(new.id.as_str()));
    assert_eq!(world.auth.is_current(&holder), Ok(()));
    let revoked =
        |row: crate::apikey::ApiKeyRow| crate::apikey::ApiKeyRow { revoked: Some(UNIX_EPOCH), ..row };
    world.auth.replace(of(vec![revoked(row(&new))])).unwrap();
    assert_eq!(world.auth.is_current(&holder), Err(CredentialEnd::Revoked));
    assert_eq!(world.refusal(&new.text).await, Err((401, AuthStep::ApiKey)));
    let mut other = row(&new);
    other.tenant = "acme".parse().unwrap();
    world.auth.replace(of(vec![other])).unwrap();
    assert_eq!(world.auth.is_current(&holder), Err(CredentialEnd::Changed), "of another tenant now");
}

#[tokio::test]
async fn a_verified_token_is_remembered_until_settings_change() {
    let world = World::new();
    let token = world.key.token(&claims());
    // The first brings the keys, and what was before them is not remembered.
    for _ in 0..2 {
        world.ask(&token).await.unwrap();
    }
    assert!(lock(&world.auth.tokens).get(world.generation(), &Digest::of(token.as_bytes()), NOW).is_some());
    world.auth.replace(settings(|issuer| issuer.audiences = vec!["other".to_owned()])).unwrap();
    assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Audience)));
    world.auth.replace(settings(|_| {})).unwrap();
    world.ask(&token).await.unwrap();
    assert_eq!(world.published.addresses().iter().filter(|address| *address == JWKS).count(), 1, "keys stay");
}

#[tokio::test]
async fn a_token_of_a_changed_tenant_or_hierarchy_is_judged_anew() {
    let world = World::new();
    let token = world.key.token(&claims_with(json!({ "tid": "one" })));
    let before = world.ask(&token).await.unwrap();
    let tenants = [("one".to_owned(), "acme".parse().unwrap())].into();
    let rule = TenantRule::Claim { claim: "tid".to_owned(), tenants };
    let mut changed = settings(|issuer| issuer.tenant = rule);
    let implies = [("tools:read".to_owned(), ["tools:list".to_owned()].into())].into();
    changed.hierarchy = ScopeHierarchy::new(implies).unwrap();
    world.auth.replace(changed).unwrap();
    let after = world.ask(&token).await.unwrap().principal;
    assert_eq!(after.tenant().as_str(), "acme");
    assert!(after.identity().unwrap().scopes.contains("tools:list"));
    assert!(!after.is_same_party(&before.principal));
    for claims in [
        claims_with(json!({ "tid": "two" })),
        claims(),
        claims_with(json!({ "tid": 1 })),
        claims_with(json!({ "tid": ["one"] })),
    ] {
        assert_eq!(world.refusal(&world.key.token(&claims)).await, Err((401, AuthStep::Tenant)));
    }
}

#[tokio::test]
async fn after_twenty_failures_a_source_is_refused_before_anything_is_verified() {
    let world = World::new();
    let good = world.key.token(&claims());
    let remembered = world.key.token(&claims_with(json!({ "sub": "bob" })));
    for _ in 0..2 {
        world.ask_from(&remembered, source()).await.unwrap();
    }
    for number in 0..20 {
        let error = world.ask_from("opaque", source()).await.unwrap_err();
        assert_eq!((error.failure.status(), error.is_first), (401, number == 0));
    }
    let error = world.ask_from(&good, source()).await.unwrap_err();
    assert_eq!((error.failure, error.step), (AuthFailure::TooMany { retry_after_s: 60 }, AuthStep::Flood));
    assert!(!error.is_first);
    world.ask_from(&remembered, source()).await.unwrap();
    let new = generate().unwrap();
    assert_eq!(world.ask_from(&new.text, source()).await.unwrap_err().step, AuthStep::Flood);
    world.ask(&good).await.unwrap();
    world.pass(60);
    world.ask_from(&good, source()).await.unwrap();
}

#[tokio::test]
async fn requests_without_credentials_and_outages_are_no_failures() {
    let world = World::new();
    world.published.fail(JWKS, crate::fetch::KeyFetchError::Status(500));
    for _ in 0..25 {
        let error = world.auth.authenticate(&HeaderMap::new(), None, source()).await.unwrap_err();
        assert_eq!(error.failure, AuthFailure::NoCredentials);
        let error = world.ask_from(&world.key.token(&claims()), source()).await.unwrap_err();
        assert_eq!(error.failure, AuthFailure::Unavailable);
    }
}

#[tokio::test]
async fn row_18_a_clock_that_is_turned_back_revives_nothing() {
    let world = World::new();
    let token = world.key.token(&claims());
    world.set_time(NOW + 331);
    assert_eq!(world.ask(&token).await.unwrap_err().failure, AuthFailure::Expired);
    world.set_time(NOW - 3_600);
    assert_eq!(world.ask(&token).await.unwrap_err().failure, AuthFailure::Expired);
    let before_1970 = Authenticator::new(
        settings(|_| {}),
        Arc::new(crate::testing::Fetching(Arc::clone(&world.published))),
        Arc::new(|| UNIX_EPOCH - Duration::from_secs(1)),
    )
    .unwrap();
    for exp in [NOW + 300, 253_402_300_799] {
        let token = world.key.token(&claims_with(json!({ "exp": exp })));
        let error = before_1970.authenticate(&bearer(&token), None, source()).await.unwrap_err();
        assert_eq!(error.failure, AuthFailure::Expired);
    }
}

#[tokio::test]
async fn two_issuers_with_one_key_id_do_not_meet() {
    let second = IssuerText::new("other", "https://other.example", vec!["a".to_owned()]);
    let second = IssuerText {
        keys: crate::issuer::KeySource::Url("https://other.example/keys".parse().unwrap()),
        ..second
    };
    let mut both = settings(|_| {});
    both.issuers.push(IssuerSpec::new(second).unwrap());
    let world = World::under(both);
    let theirs = TestKey::new("k1");
    world.published.put("https://other.example/keys", jwks(&[theirs.jwk()]));
    let claimed = claims_with(json!({ "iss": "https://other.example", "aud": "a" }));
    assert_eq!(world.refusal(&theirs.token(&claimed)).await, Ok("user:other/alice".to_owned()));
    assert_eq!(world.refusal(&world.key.token(&claimed)).await, Err((401, AuthStep::Signature)));
    assert_eq!(world.refusal(&theirs.token(&claims())).await, Err((401, AuthStep::Signature)));
    assert_eq!(world.refusal(&world.key.token(&claims())).await, Ok("user:corp/alice".to_owned()));
}

#[tokio::test]
async fn issuers_that_cannot_be_told_apart_are_refused_and_the_former_stay() {
    let world = World::new();
    for (id, name) in [("corp", "https://other.example"), ("other", ISSUER)] {
        let mut both = settings(|_| {});
        both.issuers.push(IssuerSpec::new(IssuerText::new(id, name, vec!["a".to_owned()])).unwrap());
        assert!(world.auth.replace(both).is_err());
    }
    world.ask(&world.key.token(&claims())).await.unwrap();
}

#[tokio::test]
async fn an_explanation_has_each_step_the_failed_one_and_a_remedy_and_never_the_token() {
    let world = World::new();
    let token = world.key.token(&claims());
    let explanation = world.auth.explain(&token, source()).await;
    assert!(explanation.result.is_ok());
    let steps: Vec<AuthStep> = explanation.steps.iter().map(|(step, _)| *step).collect();
    use AuthStep::{
        Algorithm, Audience, Confirmation, Form, Header, Identity, Issuer, Key, Signature, Tenant, Time,
        TokenType,
    };
    assert_eq!(
        steps,
        [
            Form,
            Header,
            Issuer,
            Algorithm,
            TokenType,
            Key,
            Signature,
            Audience,
            Time,
            Identity,
            Confirmation,
            Tenant
        ]
    );
    let token = world.key.token(&claims_with(json!({ "aud": "https://other.example" })));
    let explanation = world.auth.explain(&token, source()).await;
    let error = explanation.result.unwrap_err();
    assert_eq!((error.step, error.issuer.as_deref()), (Audience, Some("corp")));
    assert!(error.remedy.unwrap().contains("audiences") && error.detail.contains("https://other.example"));
    assert_eq!(explanation.steps.last().unwrap().0, Signature);
    for (_, found) in &explanation.steps {
        assert!(token.split('.').all(|part| !found.contains(part)), "{found}");
    }
    assert!(lock(&world.auth.tokens).get(world.generation(), &Digest::of(token.as_bytes()), NOW).is_none());
}

#[tokio::test]
async fn a_check_of_an_issuer_says_what_will_not_work() {
    let world = World::new();
    let check = world.auth.check_issuer("corp").await.unwrap();
    assert_eq!(check.without_key, ["RS256"]);
    assert!(check.error.is_none() && check.keys.unwrap().iter().count() == 1);
    assert!(world.auth.check_issuer("nobody").await.is_none());
}

impl World {
    fn generation(&self) -> u64 {
        *self.auth.generation.borrow()
    }
}
