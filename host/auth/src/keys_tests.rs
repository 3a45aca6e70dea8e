//! Tests of fetching keys: when, how often, from where, and which keys count meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::fetch::{KeyFetchError, KeyPlace};
use crate::issuer::KeySource;
use crate::testing::{ISSUER, JWKS, METADATA, NOW, TestKey, World, claims, claims_with, jwks};
use crate::{AuthFailure, AuthStep};

const GONE: KeyFetchError = KeyFetchError::Status(500);

fn later(world: &World, seconds: u64) -> String {
    world.pass(seconds);
    world.key.token(&claims_with(json!({ "exp": NOW + 1_000_000 })))
}

/// Requests for keys, without those for metadata.
fn fetches(world: &World) -> usize {
    world.published.addresses().iter().filter(|address| *address == JWKS).count()
}

#[tokio::test]
async fn keys_are_fetched_for_the_first_token_and_then_every_ten_minutes() {
    let world = World::new();
    assert!(world.published.asked().is_empty(), "a server starts without its issuers");
    world.ask(&later(&world, 0)).await.unwrap();
    assert_eq!(world.published.addresses(), [METADATA, JWKS]);
    world.ask(&later(&world, 599)).await.unwrap();
    assert_eq!(fetches(&world), 1);
    world.ask(&later(&world, 1)).await.unwrap();
    assert_eq!(fetches(&world), 2);
    assert_eq!(world.published.addresses(), [METADATA, JWKS, JWKS], "the metadata is known");
    world.ask(&later(&world, 3_600)).await.unwrap();
    assert_eq!(world.published.addresses()[3..], [METADATA, JWKS], "for an hour");
    world.ask(&later(&world, 600)).await.unwrap();
    assert_eq!(world.published.addresses()[5..], [JWKS], "and then anew");
}

#[tokio::test]
async fn what_an_issuer_says_of_their_age_counts_between_a_minute_and_an_hour() {
    for (max_age_s, wanted_s) in [(0, 60), (59, 60), (120, 120), (3_600, 3_600), (u64::MAX, 3_600)] {
        let world = World::new();
        world.published.put_for(JWKS, jwks(&[world.key.jwk()]), Some(max_age_s));
        world.ask(&later(&world, 0)).await.unwrap();
        world.ask(&later(&world, wanted_s - 1)).await.unwrap();
        assert_eq!(fetches(&world), 1, "{max_age_s}");
        world.ask(&later(&world, 1)).await.unwrap();
        assert_eq!(fetches(&world), 2, "{max_age_s}");
    }
}

#[tokio::test]
async fn row_16_a_flood_of_unknown_keys_makes_one_request_in_ten_seconds() {
    let world = World::new();
    world.ask(&later(&world, 0)).await.unwrap();
    let mut begun = Vec::new();
    for second in 0..25 {
        let before = fetches(&world);
        for number in 0..40 {
            let unknown = TestKey::new(&format!("u{second}-{number}"));
            let token = unknown.token(&claims());
            assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Key)));
        }
        begun.extend((before..fetches(&world)).map(|_| second));
        world.pass(1);
    }
    assert_eq!(begun, [10, 20], "seconds after the first");
}

#[tokio::test]
async fn a_new_key_counts_as_soon_as_a_token_names_it() {
    let world = World::new();
    world.ask(&later(&world, 0)).await.unwrap();
    let new = TestKey::new("k2");
    world.published.put(JWKS, jwks(&[world.key.jwk(), new.jwk()]));
    world.pass(10);
    world.ask(&new.token(&claims())).await.unwrap();
    assert_eq!(fetches(&world), 2);
}

#[tokio::test]
async fn many_that_wait_for_the_keys_make_one_request() {
    let world = Arc::new(World::new());
    let token = Arc::new(later(&world, 0));
    let closed = world.published.gate.write().await;
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (world, token) = (Arc::clone(&world), Arc::clone(&token));
            tokio::spawn(async move { world.ask(&token).await.is_ok() })
        })
        .collect();
    while world.published.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(closed);
    for request in requests {
        assert!(request.await.unwrap());
    }
    assert_eq!(fetches(&world), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_the_request_for_keys() {
    let world = Arc::new(World::new());
    let token = later(&world, 0);
    let closed = world.published.gate.write().await;
    let request = {
        let (world, token) = (Arc::clone(&world), token.clone());
        tokio::spawn(async move { world.ask(&token).await.is_ok() })
    };
    while world.published.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    drop(closed);
    // No second may begin within ten seconds: it is the first that is waited for.
    world.ask(&token).await.unwrap();
    assert_eq!(fetches(&world), 1);
}

#[tokio::test]
async fn row_18_a_key_that_is_no_longer_published_is_refused_at_once() {
    let world = World::new();
    let token = later(&world, 0);
    let holder = world.ask(&token).await.unwrap();
    let new = TestKey::new("k2");
    world.published.put(JWKS, jwks(&[new.jwk()]));
    world.ask(&token).await.unwrap();
    let mut changes = world.auth.changes();
    changes.mark_unchanged();
    world.pass(600);
    world.auth.refresh().await;
    assert!(changes.has_changed().unwrap());
    assert_eq!(world.auth.is_current(&holder), Err(crate::authenticator::CredentialEnd::Changed));
    assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Key)), "though it was remembered");
    // The same id with another key is another key.
    let token = new.token(&claims_with(json!({ "exp": NOW + 1_000_000 })));
    world.ask(&token).await.unwrap();
    world.published.put(JWKS, jwks(&[TestKey::new("k2").jwk()]));
    world.pass(600);
    world.auth.refresh().await;
    assert_eq!(world.refusal(&token).await, Err((401, AuthStep::Signature)));
}

#[tokio::test]
async fn row_18_keys_count_for_an_hour_while_their_issuer_is_down_and_then_nothing_is_decided() {
    let world = World::new();
    world.ask(&later(&world, 0)).await.unwrap();
    world.published.fail(JWKS, GONE);
    for _ in 0..6 {
        world.ask(&later(&world, 600)).await.unwrap();
    }
    assert!(world.auth.unready().is_empty());
    let token = later(&world, 1);
    let error = world.ask(&token).await.unwrap_err();
    assert_eq!((error.failure, error.failure.status()), (AuthFailure::Unavailable, 503));
    assert_eq!(error.failure.retry_after_s(), Some(10));
    assert_eq!(world.auth.unready()[0].0, "corp");
    world.published.put(JWKS, jwks(&[world.key.jwk()]));
    world.pass(10);
    world.ask(&token).await.unwrap();
    assert!(world.auth.unready().is_empty());
}

#[tokio::test]
async fn an_unknown_key_of_an_issuer_that_is_down_may_be_a_new_one() {
    let world = World::new();
    world.ask(&later(&world, 0)).await.unwrap();
    world.published.fail(JWKS, GONE);
    world.pass(10);
    let new = TestKey::new("k2");
    let error = world.ask(&new.token(&claims())).await.unwrap_err();
    assert_eq!(error.failure, AuthFailure::Unavailable);
    world.ask(&later(&world, 0)).await.unwrap();
}

#[tokio::test]
async fn during_an_outage_nobody_waits() {
    let world = World::new();
    world.ask(&later(&world, 0)).await.unwrap();
    world.published.fail(JWKS, GONE);
    world.ask(&later(&world, 600)).await.unwrap();
    let closed = world.published.gate.write().await;
    let before = world.published.asked().len();
    world.ask(&later(&world, 10)).await.unwrap();
    // The request is on its way, and the answer was there before it.
    while world.published.asked().len() == before {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        world.ask(&later(&world, 0)).await.unwrap();
    }
    assert_eq!(world.published.asked().len(), before + 1);
    drop(closed);
}

#[tokio::test]
async fn a_server_that_starts_while_its_issuer_is_down_says_so_and_recovers() {
    let world = World::new();
    world.published.fail(METADATA, KeyFetchError::Failed("no connection".to_owned()));
    let token = later(&world, 0);
    let error = world.ask(&token).await.unwrap_err();
    assert_eq!((error.failure.status(), error.reason), (503, "issuer-unreachable"));
    assert!(error.detail.contains("no connection"), "{}", error.detail);
    assert_eq!(world.published.addresses(), [METADATA], "who does not answer is not asked elsewhere");
    world.published.put(METADATA, json!({ "issuer": ISSUER, "jwks_uri": JWKS }).to_string());
    assert_eq!(
        world.ask(&token).await.unwrap_err().failure,
        AuthFailure::Unavailable,
        "not before ten seconds"
    );
    world.pass(10);
    world.ask(&token).await.unwrap();
}

#[tokio::test]
async fn metadata_may_be_at_any_of_its_places_but_not_of_another_issuer() {
    let world = World::new();
    let openid = "https://id.example/realms/corp/.well-known/openid-configuration";
    world.published.put(
        METADATA,
        json!({ "issuer": "https://id.example", "jwks_uri": "https://evil.example" }).to_string(),
    );
    world.published.put(openid, json!({ "issuer": ISSUER, "jwks_uri": JWKS }).to_string());
    world.ask(&later(&world, 0)).await.unwrap();
    assert_eq!(world.published.addresses().len(), 4, "three places, and the keys");
    let world = World::new();
    world.published.put(METADATA, json!({ "issuer": format!("{ISSUER}/"), "jwks_uri": JWKS }).to_string());
    let error = world.ask(&later(&world, 0)).await.unwrap_err();
    assert_eq!(error.failure, AuthFailure::Unavailable);
    assert_eq!(fetches(&world), 0);
}

#[tokio::test]
async fn row_17_an_answer_that_is_no_key_set_leaves_the_last_good_one() {
    let good = World::new().key.jwk();
    let many: Vec<_> = (0..65).map(|_| good.clone()).collect();
    let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "y".repeat(300 << 10));
    let bad = [
        "".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        jwks(&[]),
        jwks(&many),
        long,
        "<html>".to_owned(),
        r#"{"keys":[],"keys":[]}"#.to_owned(),
        jwks(&[json!({ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" })]),
        format!("{{\"keys\":{}1{}}}", "[".repeat(200), "]".repeat(200)),
    ];
    for text in bad {
        let world = World::new();
        world.ask(&later(&world, 0)).await.unwrap();
        world.published.put(JWKS, text.clone());
        world.ask(&later(&world, 600)).await.unwrap();
        assert_eq!(fetches(&world), 2);
        assert!(world.auth.check_issuer("corp").await.unwrap().error.is_some(), "{text:.60}");
        world.ask(&later(&world, 3_000)).await.unwrap();
        assert_eq!(world.ask(&later(&world, 1)).await.unwrap_err().failure, AuthFailure::Unavailable);
    }
}

#[tokio::test(start_paused = true)]
async fn row_17_an_answer_that_does_not_end_is_given_up() {
    let world = World::new();
    let _closed = world.published.gate.write().await;
    let token = later(&world, 0);
    let started = tokio::time::Instant::now();
    let error = world.ask(&token).await.unwrap_err();
    assert_eq!(error.failure, AuthFailure::Unavailable);
    assert_eq!(started.elapsed(), Duration::from_secs(5), "of a clock that goes when nothing else does");
}

#[tokio::test]
async fn requests_say_what_the_configuration_says_of_their_issuer() {
    let world = World::with(|issuer| {
        issuer.keys = KeySource::File("/etc/keys.json".into());
        issuer.private = true;
        issuer.ca = Some("/etc/ca.pem".into());
        issuer.timeout = Duration::from_millis(7);
    });
    world.published.put_for("/etc/keys.json", jwks(&[world.key.jwk()]), Some(3_600));
    world.ask(&later(&world, 0)).await.unwrap();
    let [request] = &world.published.asked()[..] else { panic!("a file is asked for alone") };
    assert_eq!(request.place, KeyPlace::File("/etc/keys.json".into()));
    assert!(request.private && request.ca.is_some() && request.bytes_max == 256 << 10);
    assert_eq!(request.timeout, Duration::from_millis(7));
    world.ask(&later(&world, 60)).await.unwrap();
    assert_eq!(world.published.asked().len(), 2, "a file is read each minute");
    let world = World::with(|issuer| issuer.keys = KeySource::Url(Url::parse(JWKS).unwrap()));
    world.ask(&later(&world, 0)).await.unwrap();
    assert_eq!(world.published.addresses(), [JWKS], "without metadata");
}

#[tokio::test]
async fn a_token_without_a_key_id_is_tried_with_four_keys_and_not_more() {
    let world = World::new();
    let header = r#"{"alg":"ES256","typ":"at+jwt"}"#;
    let others: Vec<_> = (0..4).map(|number| TestKey::new(&format!("o{number}")).jwk()).collect();
    for (before, wanted) in [
        (0, Ok("user:corp/alice".to_owned())),
        (3, Ok("user:corp/alice".to_owned())),
        (4, Err((401, AuthStep::Signature))),
    ] {
        let mut keys = others[..before].to_vec();
        keys.push(world.key.jwk());
        world.published.put(JWKS, jwks(&keys));
        world.pass(600);
        world.auth.refresh().await;
        let token = world.key.sign(header, &claims_with(json!({ "exp": NOW + 9_000 })).to_string());
        assert_eq!(world.refusal(&token).await, wanted, "{before}");
    }
}
