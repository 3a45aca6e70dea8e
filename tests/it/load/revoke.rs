//! Revoked components stop serving within five seconds of the write, and calls in flight are ended. A changed file is
//! reloaded without a signal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::process::wait_until;
use toolgate_tests::world::TRUST;
use toolgate_tests::{Transport, World, guest, test_guest};

/// Maximum time from the write of a revocation to its effect: four times the promised one, since tests run in parallel.
/// The measured time is printed.
const IN_FORCE: Duration = Duration::from_secs(4 * 5);

fn revoking(version: u32, name: &str, world: &World) -> String {
    let digest = Digest::of(&std::fs::read(world.path(&format!("plugins/{name}.wasm"))).unwrap());
    let trust = TRUST.replace("version = 1", &format!("version = {version}"));
    format!("{trust}[[revoke]]\ndigest = \"{digest}\"\nreason = \"a backdoor\"\n")
}

/// Number of attempts; `TOOLGATE_CASES=100` for the full promise.
fn cases() -> u32 {
    let cases = std::env::var("TOOLGATE_CASES").ok().and_then(|cases| cases.parse().ok());
    cases.unwrap_or(3)
}

#[test]
fn a_revocation_ends_calls_in_flight_and_refuses_new_ones_within_five_seconds() {
    let mut slowest = [Duration::ZERO; 2];
    for case in 0..cases() {
        let world = World::new()
            .plugin("bad", &test_guest("sleeping"))
            .plugin("good", &guest::seven())
            .env("TOOLGATE_LOG", "debug");
        let server = world.serve(Transport::Http);
        let call = server.calling("bad_run", json!({ "ms": 50_000 }));
        server.wait_for_guest();
        let written = Instant::now();
        world.put("trust.toml", revoking(2 + case, "bad", &world).as_bytes(), 0o644);
        let cut = call.join().unwrap();
        slowest[0] = slowest[0].max(written.elapsed());
        assert!(cut.is_error() && cut.text().contains("was revoked"), "{cut:?}");
        server.wait_until("it is not listed", || server.tools() == ["good_seven"]);
        assert_eq!(server.call("bad_run", json!({ "ms": 1 })).code(), -32602);
        slowest[1] = slowest[1].max(written.elapsed());
        assert_eq!(server.call("good_seven", json!({})).text(), "7");
        let is_event = |record: &Value| record["event"] == "revoke" && record["plugin"] == "bad";
        wait_until("it is recorded", || world.records().iter().any(is_event));
        let records = world.records();
        let cut = records.iter().find(|record| record["outcome"]["kind"] == "revoked").unwrap();
        assert_eq!(cut["outcome"]["blame"], "operator");
    }
    println!("slowest of {}: a cut call {:?}, a refused call {:?}", cases(), slowest[0], slowest[1]);
    assert!(slowest.iter().all(|slowest| *slowest < IN_FORCE), "{slowest:?}");
}

#[test]
fn what_is_wrong_with_the_rest_of_a_policy_keeps_no_revoked_plugin_serving() {
    for spoil in [
        |text: String| text.replace("version = 2", "version = 1"),
        |text: String| text.replace("keys/vendor.pub", "keys/nobody.pub"),
        |text: String| format!("{text}[[revoke]]\ndigest = \"sha256:short\"\n"),
    ] {
        let world = World::new().plugin("bad", &guest::seven()).plugin("good", &guest::seven());
        let server = world.serve(Transport::Http);
        world.put("trust.toml", spoil(revoking(2, "bad", &world)).as_bytes(), 0o644);
        server.wait_for_log("revoked: it serves no more");
        // Both have the same bytes.
        assert!(server.tools().is_empty(), "{}", server.log());
    }
}

#[test]
fn a_signer_who_is_trusted_no_more_takes_their_plugins_along() {
    let world = World::new().plugin("p", &guest::seven()).server("watch = true");
    let server = world.serve(Transport::Http);
    world.key("other");
    let trust = TRUST.replace("version = 1", "version = 2").replace("keys/vendor.pub", "keys/other.pub");
    world.put("trust.toml", trust.as_bytes(), 0o644);
    server.wait_for_log("is not a [[signer]]");
    wait_until("they are gone", || server.tools().is_empty());
}

#[test]
fn a_changed_file_is_taken_without_a_signal_where_the_operator_wants_that() {
    let eight = guest::wat(
        r#"(component
            (core module $m (func (export "eight") (result i32) i32.const 8))
            (core instance $i (instantiate $m))
            (func (export "eight") (result u32) (canon lift (core func $i "eight"))))"#,
    );
    let world = World::new().plugin("p", &guest::seven()).server("watch = true");
    let server = world.serve(Transport::Http);
    world.install("p", &eight);
    server.wait_until("it is taken", || server.tools() == ["p_eight"]);
    let config = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put("toolgate.toml", b"[server\n", 0o644);
    server.wait_for_log("the configuration cannot be used; everything is as it was");
    assert_eq!(server.tools(), ["p_eight"]);
    world.put("toolgate.toml", config.replace("name = \"p\"", "name = \"q\"").as_bytes(), 0o644);
    server.wait_until("it is taken", || server.tools() == ["q_eight"]);
}
