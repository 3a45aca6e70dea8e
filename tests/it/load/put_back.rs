//! Earlier files that are restored: a revocation by `plugin revoke` is remembered at once, even if no server or call
//! has read it yet.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use serde_json::json;
use toolgate_policy::Digest;
use toolgate_policy::load::Grants;
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::trust::Parts;
use toolgate_runtime::spec::Spec;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::StateDir;
use toolgate_state::rollback::RollbackGuard;
use toolgate_tests::process::wait_until;
use toolgate_tests::world::TRUST;
use toolgate_tests::{Transport, World, guest, inside};

use super::lock::{locked, seven};
use super::writers::{entry, revoked, trust};

const FILES: [&str; 3] = ["toolgate.toml", "trust.toml", "toolgate.lock"];

fn files(world: &World) -> Vec<(&'static str, Option<Vec<u8>>)> {
    FILES.map(|file| (file, std::fs::read(world.path(file)).ok())).to_vec()
}

fn put(world: &World, files: &[(&'static str, Option<Vec<u8>>)]) {
    for (file, bytes) in files {
        if let Some(bytes) = bytes {
            world.put(file, bytes, 0o644);
        }
    }
}

fn revoke(world: &World, what: &str) {
    let ended = world.run_as_is(&["plugin", "revoke", what, "--reason", "a backdoor"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.said());
}

#[test]
fn a_revocation_is_remembered_before_anything_has_loaded_it() {
    let unlocked = World::new().plugin("p", &seven("Gives seven."));
    unlocked.write();
    for (world, what) in
        [(locked("Gives seven."), "p".to_owned()), (unlocked, Digest::of(&seven("Gives seven.")).to_string())]
    {
        let before = files(&world);
        revoke(&world, &what);
        let after = files(&world);
        put(&world, &before);
        for command in [
            &["call", "p_seven"][..],
            &["check"],
            &["tools"],
            &["serve", "--stdio"],
            &["explain", "p"],
            &["learn", "p", "p_seven"],
            &["plugin", "list"],
        ] {
            let refused = world.run_as_is(command);
            assert_eq!(refused.code, 3, "{command:?}: {}", refused.said());
            let words = "trust.toml has version 1, and version 2 was in force already";
            assert!(refused.stderr.contains(words), "{command:?}: {}", refused.said());
        }
        put(&world, &after);
        let refused = world.run_as_is(&["call", "p_seven"]);
        assert!(refused.code == 3 && refused.stderr.contains("a backdoor"), "{}", refused.said());
    }
}

#[test]
fn no_command_goes_on_from_a_policy_that_was_put_back() {
    let world = locked("Gives seven.").plugin("q", &seven("Gives seven, too."));
    world.install("r", &seven("Gives more."));
    world.write();
    let old = std::fs::read(world.path("trust.toml")).unwrap();
    let other = Digest::of(b"others").to_string();
    revoke(&world, "p");
    let now = std::fs::read_to_string(world.path("trust.toml")).unwrap();
    let same = TRUST.replace("version = 1", "version = 2");
    for (trust, words) in [
        (old, "has version 1, and version 2 was in force already"),
        (same.into_bytes(), "is not what it was when version 2 was in force"),
    ] {
        world.put("trust.toml", &trust, 0o644);
        let before = files(&world);
        for command in [
            &["plugin", "revoke", &other, "--reason", "a flaw"][..],
            &["plugin", "approve", "q", "--yes"],
            &["plugin", "add", "plugins/r.wasm", "--yes"],
        ] {
            let refused = world.run_as_is(command);
            assert!(refused.code == 3 && refused.stderr.contains(words), "{command:?}: {}", refused.said());
            assert_eq!(files(&world), before, "{command:?}: nothing was written");
        }
        let told = world.run_as_is(&["plugin", "revoke", &other, "--reason", "a flaw"]).stderr;
        assert!(told.contains("nothing was written") && told.contains("run the command again"), "{told}");
    }
    // The remedy in the message.
    world.put("trust.toml", now.as_bytes(), 0o644);
    revoke(&world, &other);
    assert_eq!(revoked(&world).len(), 2);
    assert_eq!(trust(&world)["version"].as_integer(), Some(3));
}

#[test]
fn a_revocation_by_hand_is_remembered_once_it_is_asked_for() {
    let world = locked("Gives seven.");
    let old = std::fs::read(world.path("trust.toml")).unwrap();
    let digest = entry(&world, "p").unwrap().pin.digest;
    let by_hand = TRUST.replace("version = 1", "version = 2");
    let by_hand = format!("{by_hand}[[revoke]]\ndigest = \"{digest}\"\nreason = \"by hand\"\n");
    world.put("trust.toml", by_hand.as_bytes(), 0o644);
    revoke(&world, &digest.to_string());
    world.put("trust.toml", &old, 0o644);
    let refused = world.run_as_is(&["call", "p_seven"]);
    assert!(refused.code == 3 && refused.stderr.contains("version 2 was in force"), "{}", refused.said());
}

#[test]
fn a_revocation_is_written_although_it_cannot_be_remembered() {
    type Spoil = fn(&World);
    let spoils: [(&str, Spoil); 5] = [
        ("others can write to it", |world| {
            std::fs::set_permissions(world.path("state"), std::fs::Permissions::from_mode(0o777)).unwrap();
        }),
        ("open the state directory", |world| {
            std::fs::remove_dir_all(world.path("state")).unwrap();
            world.put("state", b"", 0o600);
        }),
        ("it is not what was written", |world| world.put("state/trust.seen", b"{}\n00\n", 0o600)),
        ("trust.key in the state directory is gone", |world| {
            std::fs::remove_file(world.path("state/keys/trust.key")).unwrap();
        }),
        ("[state] of the configuration cannot be read", |world| {
            let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
            world.put("toolgate.toml", format!("{text}\n[state]\ndir = 5\n").as_bytes(), 0o644);
        }),
    ];
    for (words, spoil) in spoils {
        let world = locked("Gives seven.");
        spoil(&world);
        let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
        assert_eq!(ended.code, 0, "{words}: {}", ended.said());
        assert!(ended.stderr.starts_with("warning: "), "{words}: {}", ended.said());
        let told = [words, "until a server has taken it, nobody notices if the old file is put back"];
        assert!(told.iter().all(|words| ended.stderr.contains(words)), "{words}: {}", ended.said());
        assert_eq!(revoked(&world).len(), 1, "{words}");
        assert!(entry(&world, "p").unwrap().pin.revoked.is_some(), "{words}");
    }
}

#[test]
fn a_revocation_is_remembered_although_the_rest_of_the_configuration_is_wrong() {
    let world = locked("Gives seven.");
    let before = files(&world);
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put("toolgate.toml", format!("{text}\n[[plugin]]\nname = 5\n").as_bytes(), 0o644);
    revoke(&world, "p");
    put(&world, &before);
    let refused = world.run_as_is(&["call", "p_seven"]);
    assert!(refused.code == 3 && refused.stderr.contains("version 2 was in force"), "{}", refused.said());
}

#[test]
fn a_server_that_takes_no_changes_serves_on_what_is_not_revoked() {
    let world = locked("Gives seven.").plugin("q", &seven("Gives seven, too."));
    super::lock::approve(&world);
    let server = world.serve_with(Transport::Http, &["--frozen"]);
    revoke(&world, "p");
    server.wait_for_log("revoked: it serves no more");
    wait_until("it is not listed", || server.tools() == ["q_seven"]);
    assert_eq!(server.call("q_seven", json!({})).text(), "7");
    // Restoring the old file does not undo the revocation.
    world.put("trust.toml", TRUST.as_bytes(), 0o644);
    assert_eq!(server.call("p_seven", json!({})).code(), -32602);
    assert_eq!(server.tools(), ["q_seven"]);
}

#[test]
fn what_serves_is_judged_by_its_dates_though_a_newer_policy_was_remembered() {
    // The years 2090 and 2100.
    const UNTIL: UnixTime = UnixTime(3_786_912_000);
    const LATER: UnixTime = UnixTime(4_102_444_800);
    let world = World::new().plugin("p", &guest::seven());
    let spec = inside::spec(&world, &[("p", Grants::default())]);
    let with = |version: u64| {
        let mut parts = Parts { version, grace_days: 0, ..spec.trust.policy.parts().clone() };
        parts.signers.iter_mut().for_each(|signer| signer.valid_until = Some(UNTIL));
        let policy = TrustPolicy::new(parts).unwrap();
        TrustSpec { policy, anchors: spec.trust.anchors.clone(), sha256: spec.trust.sha256 }
    };
    let gate = inside::gate(&world, "state-within");
    assert!(gate.start(&Spec { trust: Arc::new(with(1)), ..spec.clone() }).serves);
    let seen = RollbackGuard::open(&StateDir::open(&world.path("state-within")).unwrap()).unwrap();
    seen.admit(&with(2), LATER).unwrap();
    assert_eq!(gate.now().plugins().len(), 1);
    gate.look_after();
    assert!(gate.now().plugins().is_empty(), "its signer's time is over");
}

/// Revokes `p` and restores the old files before the server reads them.
fn revoke_and_put_back(world: &World) {
    let before = files(world);
    revoke(world, "p");
    put(world, &before);
}

#[test]
fn what_is_revoked_serves_no_more_though_the_old_files_are_put_back_at_once() {
    for (transport, args) in
        [(Transport::Http, &[][..]), (Transport::Http, &["--frozen"]), (Transport::Stdio, &[])]
    {
        let world = locked("Gives seven.").plugin("q", &seven("Gives seven, too."));
        super::lock::approve(&world);
        let server = world.serve_with(transport, args);
        assert_eq!(server.call("p_seven", json!({})).text(), "7");
        revoke_and_put_back(&world);
        server.wait_for_log("revoked: it serves no more");
        server.wait_for_log("ALARM: ");
        let words = "trust.toml has version 1, and version 2 was in force already";
        assert!(server.wait_for_log(words).contains("Put the newer file back"), "{}", server.log());
        wait_until("it is not listed", || server.tools() == ["q_seven"]);
        // The old policy does not undo it.
        server.signal("HUP");
        server.wait_for_log(if args.is_empty() { "reloading" } else { "serving --frozen" });
        assert_eq!(server.call("p_seven", json!({})).code(), -32602);
        assert_eq!(server.call("q_seven", json!({})).text(), "7");
        let records = world.records();
        let is_revoked = |record: &&serde_json::Value| record["event"] == "revoke" && record["plugin"] == "p";
        assert_eq!(records.iter().filter(is_revoked).count(), 1, "{transport:?} {args:?}");
        assert_eq!(server.log().matches("ALARM: ").count(), 1, "once a minute: {}", server.log());
    }
}

#[test]
fn a_newer_policy_that_revokes_it_no_more_lets_it_serve_again() {
    let world = locked("Gives seven.");
    let server = world.serve(Transport::Http);
    let lock = std::fs::read(world.path("toolgate.lock")).unwrap();
    revoke_and_put_back(&world);
    server.wait_for_log("revoked: it serves no more");
    world.put("trust.toml", TRUST.replace("version = 1", "version = 3").as_bytes(), 0o644);
    world.put("toolgate.lock", &lock, 0o644);
    server.signal("HUP");
    wait_until("it is listed", || server.tools() == ["p_seven"]);
    assert_eq!(server.call("p_seven", json!({})).text(), "7");
}

#[test]
fn what_is_remembered_as_revoked_is_taken_out_and_the_old_policy_brings_nothing_back() {
    let world = World::new().plugin("p", &guest::seven());
    let spec = inside::spec(&world, &[("p", Grants::default())]);
    let gate = inside::gate(&world, "state-within");
    assert!(gate.start(&spec).serves);
    assert_eq!(gate.reconciler.revoke_remembered(), None, "nothing newer");
    let version = spec.trust.policy.version() + 1;
    let revoked = [(Digest::of(&guest::seven()), "a backdoor".to_owned())].into();
    let parts = Parts { version, revoked, ..spec.trust.policy.parts().clone() };
    let newer = TrustSpec {
        policy: TrustPolicy::new(parts).unwrap(),
        anchors: spec.trust.anchors.clone(),
        sha256: spec.trust.sha256,
    };
    let seen = RollbackGuard::open(&StateDir::open(&world.path("state-within")).unwrap()).unwrap();
    seen.admit(&newer, UnixTime(0)).unwrap();
    for _ in 0..2 {
        assert_eq!(gate.reconciler.revoke_remembered(), Some(version));
        assert!(gate.now().plugins().is_empty());
    }
    assert!(gate.reconciler.refuses(&spec.trust).is_some() && gate.reconciler.refuses(&newer).is_none());
    gate.reload(&spec);
    assert!(gate.now().plugins().is_empty(), "the old policy is not taken");
    gate.reconciler.retrust(&Arc::new(newer)).unwrap();
    assert_eq!(gate.reconciler.revoke_remembered(), None, "it is the one that was taken");
}
