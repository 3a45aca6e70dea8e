//! Stored copies of approved versions: kept while a lock names them, valid by any signature found beside them.

use std::fs::File;
use std::time::{Duration, SystemTime};

use serde_json::json;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::KEPT_BYTES_MAX;
use toolgate_tests::world::{TRUST, names};
use toolgate_tests::{Transport, World};

use super::lock::{approve, locked, seven};

const BLOBS: &str = "state/blobs/sha256";

/// Sets the time at which a stored file was last used, in seconds after 1970.
fn used(world: &World, name: &str, seconds: u64) {
    let file = File::options().write(true).open(world.path(BLOBS).join(name)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[test]
fn what_a_lock_names_makes_no_room_for_what_another_process_adds() {
    let world = locked("Gives seven.");
    let server = world.serve(Transport::Http);
    let approved = names(&world.path(BLOBS));
    assert_eq!(approved.len(), 3, "a component, its signature, what a model reads of it: {approved:?}");
    approved.iter().for_each(|name| used(&world, name, 1));
    // A sparse file as large as the whole store, used later and referenced by no lock.
    let loose = Digest::of(b"what nobody needs").hex();
    world.put(&format!("{BLOBS}/{loose}"), b"", 0o600);
    File::options()
        .write(true)
        .open(world.path(BLOBS).join(&loose))
        .unwrap()
        .set_len(KEPT_BYTES_MAX)
        .unwrap();
    used(&world, &loose, 2);

    world.install("q", &seven("Gives seven, too."));
    let added = world.run_as_is(&["plugin", "add", "plugins/q.wasm", "--yes", "--by", "a tester"]);
    assert_eq!(added.code, 0, "{}", added.said());
    let kept = names(&world.path(BLOBS));
    assert!(
        !kept.contains(&loose) && kept.contains(&Digest::of(&seven("Gives seven, too.")).hex()),
        "{kept:?}"
    );
    assert!(approved.iter().all(|name| kept.contains(name)), "{approved:?}, {kept:?}");

    drop(server);
    world.install("p", &seven("Gives eight."));
    let server = world.serve(Transport::Http);
    assert!(server.log().contains("the version before goes on serving"), "{}", server.log());
    assert_eq!(server.call("p_seven", json!({})).text(), "7");
}

#[test]
fn where_all_room_is_taken_by_what_is_approved_no_more_is_kept_and_that_is_said() {
    let world = locked("Gives seven.");
    let approved = names(&world.path(BLOBS));
    let ours = world.path(BLOBS).join(Digest::of(&seven("Gives seven.")).hex());
    File::options().write(true).open(&ours).unwrap().set_len(KEPT_BYTES_MAX).unwrap();
    world.install("q", &seven("Gives seven, too."));
    let added = world.run_as_is(&["plugin", "add", "plugins/q.wasm", "--yes", "--by", "a tester"]);
    assert_eq!(added.code, 0, "it serves all the same: {}", added.said());
    let words = format!(
        "`blobs` in the state directory may hold {KEPT_BYTES_MAX} bytes, and what is approved or serves"
    );
    assert!(added.stderr.contains(&words), "{}", added.said());
    assert_eq!(names(&world.path(BLOBS)), approved);
    assert_eq!(world.run_as_is(&["call", "q_seven"]).stdout.trim(), "7");
}

/// Trusts `vendor` with this expiry, and `second`.
fn policy(version: u32, until: &str) -> String {
    let vendor = format!("key = \"keys/vendor.pub\"\n{until}");
    TRUST
        .replace("version = 1", &format!("version = {version}"))
        .replace("key = \"keys/vendor.pub\"", &vendor)
        .replace("signers = [\"vendor\"]", "signers = [\"vendor\", \"second\"]")
        + "[[signer]]\nid = \"second\"\nkey = \"keys/second.pub\"\n"
}

/// Second signature of an approved version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anew {
    Beside,
    InPlace,
    Never,
}

/// Signs `p` with `second`; the bundle is beside the first signer's or replaces it.
fn sign(world: &World, anew: Anew) {
    let first = world.path("plugins/p.wasm.sigstore.json");
    let further =
        format!("plugins/p.wasm.{}.sigstore.json", &world.key("second").public().unwrap().id().hex()[..8]);
    match anew {
        Anew::Never => {}
        Anew::Beside => world.sign("p", "second"),
        Anew::InPlace => {
            world.sign("p", "second");
            std::fs::rename(world.path(&further), first).unwrap();
        }
    }
}

#[test]
fn what_is_kept_counts_by_a_signature_that_came_later_when_the_first_is_past_its_time() {
    for anew in [Anew::Beside, Anew::InPlace, Anew::Never] {
        let world =
            World::with_own_cache().plugin("p", &seven("Gives seven.")).locked().trust(&policy(1, ""));
        let world = world.env("TOOLGATE_LOG", "info");
        world.key("second");
        approve(&world);
        let server = world.serve(Transport::Http);
        let reload = |times: usize| {
            server.signal("HUP");
            server.wait_until("it reloads", || server.log().matches(" reloaded").count() == times);
        };
        sign(&world, anew);
        reload(1);
        let signatures =
            names(&world.path(BLOBS)).iter().filter(|name| name.ends_with(".sigstore.json")).count();
        assert_eq!(signatures, if anew == Anew::Never { 1 } else { 2 }, "{anew:?}");

        // An unapproved next version is installed; afterwards the first key and its grace period expire.
        world.install("p", &seven("Gives eight."));
        sign(&world, Anew::InPlace);
        reload(2);
        assert!(server.log().contains("its bytes changed"), "{anew:?}: {}", server.log());
        assert_eq!(server.call("p_seven", json!({})).text(), "7", "{anew:?}");
        let over = policy(2, "valid_until = 2020-01-01T00:00:00Z");
        world.put("trust.toml", over.as_bytes(), 0o644);
        reload(3);
        assert_eq!(server.tools().is_empty(), anew == Anew::Never, "{anew:?}: {}", server.log());
        drop(server);

        let world = world.trust(&over);
        if anew == Anew::Never {
            let refused = world.run(&["serve", "--stdio"]);
            assert!(refused.code == 3 && refused.stderr.contains("its bytes changed"), "{}", refused.said());
            continue;
        }
        let server = world.serve(Transport::Http);
        assert!(server.log().contains("the version before goes on serving"), "{anew:?}: {}", server.log());
        let listed = server.request("tools/list", json!({}))["result"]["tools"][0].clone();
        assert_eq!(listed["description"], "Gives seven.", "{anew:?}: {listed}");
        let signers = &listed["_meta"]["toolgate/provenance"]["signers"];
        assert_eq!(*signers, json!(["publisher: second"]), "{anew:?}");
        assert_eq!(server.call("p_seven", json!({})).text(), "7", "{anew:?}");
    }
}

#[test]
fn copies_of_one_signature_push_no_other_out_of_what_is_kept() {
    let world = World::with_own_cache().plugin("p", &seven("Gives seven.")).locked().trust(&policy(1, ""));
    let world = world.env("TOOLGATE_LOG", "info");
    world.sign("p", "second");
    let second =
        format!("plugins/p.wasm.{}.sigstore.json", &world.key("second").public().unwrap().id().hex()[..8]);
    let genuine = std::fs::read(world.path(&second)).unwrap();
    approve(&world);
    let is_kept = || {
        let kept = names(&world.path(BLOBS));
        kept.iter().any(|name| std::fs::read(world.path(BLOBS).join(name)).unwrap() == genuine)
    };
    let server = world.serve(Transport::Http);
    assert!(is_kept(), "{:?}", names(&world.path(BLOBS)));
    // The second signature is removed, and twenty encodings of the first one are added.
    std::fs::remove_file(world.path(&second)).unwrap();
    let first = std::fs::read_to_string(world.path("plugins/p.wasm.sigstore.json")).unwrap();
    for number in 0..20_usize {
        let copy = format!("{first}{}", " ".repeat(number + 1));
        world.put(&format!("plugins/p.wasm.{number:08x}.sigstore.json"), copy.as_bytes(), 0o644);
    }
    server.signal("HUP");
    server.wait_until("it reloads", || server.log().contains(" reloaded"));
    assert!(is_kept(), "{:?}", names(&world.path(BLOBS)));
    assert_eq!(server.call("p_seven", json!({})).text(), "7");
}
