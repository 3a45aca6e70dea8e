//! `auth check`: what an issuer publishes, and each step of a token's verification.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use toolgate_signature::jws::JwsSigningKey;
use toolgate_tests::{Ended, World, guest, process};

const ISSUER: &str = "https://login.example.com/realms/corp";

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn world(key: &JwsSigningKey, more: &str) -> World {
    let (x, y) = key.public_point().unwrap();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y), "kid": "k1", "use": "sig" });
    World::new()
        .plugin("hello", &guest::plugin("hello"))
        .server("public_url = \"https://tools.example.com\"")
        .more(&format!(
            "\n[auth]\nkeys = \"keys.toml\"\n[[auth.issuer]]\nid = \"corp\"\nissuer = \"{ISSUER}\"\n{more}"
        ))
        .file("keys.json", &json!({ "keys": [jwk] }).to_string())
}

const KEYS: &str = "jwks = \"file:keys.json\"\n";

fn token(key: &JwsSigningKey, audience: &str) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" });
    let claims = json!({
        "iss": ISSUER, "aud": audience, "sub": "alice", "client_id": "cli", "iat": now_s, "exp": now_s + 600,
        "jti": "1", "scope": "tools:read",
    });
    let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    format!("{input}.{}", base64url(key.sign(input.as_bytes()).unwrap()))
}

fn check(world: &World, stdin: &str, more: &[&str]) -> Ended {
    world.write();
    let mut command = world.command();
    command.args(["auth", "check"]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that ends before it reads is no failure of the test.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    let output = process::ended(child);
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{}", ended.said());
    for word in words {
        assert!(ended.said().contains(word), "{word}: {}", ended.said());
    }
}

#[test]
fn an_issuers_keys_are_named_with_the_algorithms_that_have_none() {
    let key = JwsSigningKey::generate().unwrap();
    let world = world(&key, KEYS);
    assert_says(
        &check(&world, "", &[]),
        0,
        &["issuer corp: ok: 1 usable keys: k1", "it has no key for RS256"],
    );
    let unknown = check(&world, "", &["--issuer", "crop"]);
    assert_says(&unknown, 2, &["there is no [[auth.issuer]] `crop`; there are: corp"]);
}

#[test]
fn a_token_is_explained_step_by_step_and_never_printed() {
    let key = JwsSigningKey::generate().unwrap();
    let world = world(&key, KEYS);
    let good = token(&key, "https://tools.example.com/mcp");
    let told = check(&world, &format!("Bearer {good}\n"), &[]);
    assert_says(&told, 0, &["signature: ok", "audience: ok", "good: user:corp/alice"]);
    let wrong = token(&key, "https://other.example.com/mcp");
    let refused = check(&world, &wrong, &[]);
    assert_says(&refused, 1, &["signature: ok", "audience: refused: ", "a client is answered 401"]);
    let forged = token(&JwsSigningKey::generate().unwrap(), "https://tools.example.com/mcp");
    let json = check(&world, &forged, &["--json"]);
    assert_eq!(json.code, 1, "{}", json.said());
    let credential: &Value = &json.json()["credential"];
    assert_eq!((&credential["good"], &credential["refusedAt"]), (&false.into(), &"signature".into()));
    for (text, told) in [(&good, &told), (&wrong, &refused), (&forged, &json)] {
        for part in text.split('.') {
            assert!(!told.said().contains(part), "{}", told.said());
        }
    }
    assert_says(&check(&world, &"a".repeat(20_000), &[]), 2, &["stdin has more than a credential"]);
}

#[test]
fn an_api_key_is_good_until_it_is_revoked_and_only_from_its_networks() {
    let world = world(&JwsSigningKey::generate().unwrap(), KEYS);
    let made = world.run(&["apikey", "create", "--name", "ci", "--by", "me", "--from", "10.20.0.0/16"]);
    assert_eq!(made.code, 0, "{}", made.said());
    let key = made.stdout.trim();
    let told = check(&world, key, &["--from", "10.20.0.7"]);
    assert_says(&told, 0, &["good: service:apikey/ci"]);
    let elsewhere = check(&world, key, &[]);
    assert_says(&elsewhere, 1, &["API key: refused"]);
    assert!(![&told, &elsewhere].iter().any(|told| told.said().contains(key)));
}

#[test]
fn an_issuer_that_is_not_there_or_private_is_said_with_the_key_to_set() {
    let key = JwsSigningKey::generate().unwrap();
    let absent = world(&key, "jwks = \"file:absent.json\"\n");
    assert_says(&check(&absent, "", &[]), 4, &["issuer corp: not ok: ", "absent.json"]);
    let private = world(&key, "jwks = \"https://10.255.0.1:1/keys\"\ntimeout_ms = 1000\n");
    assert_says(&check(&private, "", &[]), 4, &["write private = true into this [[auth.issuer]]"]);
    let none = World::new().plugin("hello", &guest::plugin("hello"));
    assert_says(&check(&none, "", &[]), 2, &["there is no [auth]"]);
}
