//! Independent programs: Debian's `docker-registry`, and Debian's `skopeo`, which copies from and to it.

use std::process::Command;

use serde_json::json;
use toolgate_tests::attest::{BUNDLE, INDEX, index, referring, shelve, shelve_blob};
use toolgate_tests::process::{self, wait_until};
use toolgate_tests::registry::{Registry, peer};
use toolgate_tests::{Transport, World, plugin};

use super::formats::foreign;
use super::referrers::{fallback_tag, unlisted};
use super::{customer, digest, vendor};

/// Pushes `hello` of a world with a tag; returns the reference by digest.
fn push(world: &World, registry: &Registry, tag: &str) -> String {
    let to = format!("oci://{}/team/hello:{tag}", registry.host);
    let pushed = world.run(&["push", "plugins/hello.wasm", &to]);
    assert_eq!(pushed.code, 0, "{}", pushed.said());
    assert!(pushed.stderr.contains(&format!("pushed {} with", digest())), "{}", pushed.stderr);
    pushed.stdout.trim().to_owned()
}

#[test]
fn what_was_pushed_is_pulled_by_tag_and_by_digest_and_serves() {
    let Some(registry) = Registry::start() else { return };
    let vendor = vendor();
    let by_digest = push(&vendor, &registry, "1.0");
    assert!(by_digest.contains("/team/hello@sha256:"), "{by_digest}");
    assert_eq!(push(&vendor, &registry, "1.0"), by_digest, "the same is the same a second time");
    for source in [format!("oci://{}/team/hello:1.0", registry.host), by_digest] {
        let world = customer(&vendor).plugin_from("hello", &source);
        let server = world.serve(Transport::Http);
        assert_eq!(server.call("hello_seven", json!({})).text(), "7", "{source}");
    }
    let world = customer(&vendor).plugin_from("hello", &format!("oci://{}/team/hello:2.0", registry.host));
    let check = world.run(&["check"]);
    assert_eq!(check.code, 4, "{}", check.said());
    assert!(check.stderr.contains("the answer was 404"), "{}", check.stderr);
}

#[test]
fn what_others_attach_in_a_real_registry_changes_no_verdict() {
    let Some(registry) = Registry::start() else { return };
    let vendor = vendor();
    for (repository, is_signed, has_others, code) in [
        ("signed", true, false, 0),
        ("signed-among-others", true, true, 0),
        ("others-alone", false, true, 3),
        ("nothing", false, false, 3),
    ] {
        let (mut shelf, bytes) = unlisted(&vendor);
        let mut entries = Vec::new();
        if has_others {
            entries.extend(foreign(&vendor, &mut shelf));
        }
        if is_signed {
            let manifest = referring(&shelf, Some(BUNDLE), &[(BUNDLE, &bytes)]);
            shelve_blob(&mut shelf, &bytes);
            entries.insert(entries.len() / 2, shelve(&mut shelf, &manifest));
        }
        shelve_blob(&mut shelf, b"{}");
        shelf.put(&fallback_tag(&shelf), INDEX, index(&entries));
        registry.store(repository, &shelf);
        let source = format!("oci://{}/{repository}:1", registry.host);
        let check = customer(&vendor).plugin_from("hello", &source).run(&["check"]);
        assert_eq!(check.code, code, "{repository}: {}", check.said());
    }
}

#[test]
fn verify_asks_a_registry_and_says_who_signed() {
    let Some(registry) = Registry::start() else { return };
    let vendor = vendor();
    let by_digest = push(&vendor, &registry, "1.0");
    let world = customer(&vendor);
    let verified = world.run(&["verify", &by_digest]);
    assert_eq!(verified.code, 0, "{}", verified.said());
    assert!(verified.stdout.contains("trusted as `hello`"), "{}", verified.stdout);
    let stranger = World::new().run(&["verify", &by_digest]);
    assert_eq!(stranger.code, 3, "{}", stranger.said());
}

#[test]
fn signatures_that_come_later_are_listed_beside_the_others() {
    let Some(registry) = Registry::start() else { return };
    let vendor = vendor();
    push(&vendor, &registry, "1.0");
    vendor.sign("hello", "second");
    std::fs::remove_file(vendor.path("plugins/hello.wasm.sigstore.json")).unwrap();
    let by_digest = push(&vendor, &registry, "1.0");
    let policy = toolgate_tests::world::TRUST.replace(
        "threshold = 1\nsigners = [\"vendor\"]",
        "threshold = 2\nsigners = [\"vendor\", \"second\"]",
    ) + "[[signer]]\nid = \"second\"\nkey = \"keys/second.pub\"\n";
    let world = customer(&vendor).trust(&policy);
    world.put("keys/second.pub", &std::fs::read(vendor.path("keys/second.pub")).unwrap(), 0o644);
    let verified = world.run(&["verify", &by_digest]);
    assert_eq!(verified.code, 0, "{}", verified.said());
}

#[test]
fn a_tag_that_means_another_version_waits_and_the_approved_one_serves_without_the_registry() {
    let Some(registry) = Registry::start() else { return };
    let vendor = vendor();
    push(&vendor, &registry, "stable");
    let source = format!("oci://{}/team/hello:stable", registry.host);
    let world = customer(&vendor).plugin_from("hello", &source).locked();
    let approved = world.run(&["plugin", "approve", "--all", "--yes", "--by", "a tester"]);
    assert_eq!(approved.code, 0, "{}", approved.said());
    let server = world.serve(Transport::Http);

    vendor.install("hello", &plugin("hello"));
    let to = format!("oci://{}/team/hello:stable", registry.host);
    assert_eq!(vendor.run(&["push", "plugins/hello.wasm", &to]).code, 0);
    let check = world.run_as_is(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stderr.contains("plugin hello: held: "), "{}", check.stderr);
    server.signal("HUP");
    wait_until("the change is told", || server.log().contains("goes on serving"));
    assert_eq!(server.call("hello_seven", json!({})).text(), "7");

    drop(registry);
    drop(server);
    let server = world.serve(Transport::Http);
    assert_eq!(server.call("hello_seven", json!({})).text(), "7", "{}", server.log());
}

#[test]
fn skopeo_copies_it_out_and_in_again_and_it_still_verifies() {
    let (Some(registry), Some(skopeo)) = (Registry::start(), peer("TOOLGATE_SKOPEO")) else { return };
    let vendor = vendor();
    let by_digest = push(&vendor, &registry, "1.0");
    let hex = by_digest.split_once("@sha256:").unwrap().1.to_owned();
    let layout = vendor.path("layout");
    let copy = |all: bool, from: &str, to: &str| {
        let mut command = Command::new(&skopeo);
        command.args(["copy", "--insecure-policy", "--src-tls-verify=false"]);
        command.arg("--dest-tls-verify=false");
        // This version of skopeo rewrites an index without members unknown to it, but leaves its manifests unchanged.
        command.arg(if all { "--all" } else { "--preserve-digests" });
        let output = process::output_of(command.arg(from).arg(to));
        assert!(output.status.success(), "{from} to {to}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let signatures = format!("sha256-{hex}");
    for (all, tag) in [(false, "1.0"), (true, signatures.as_str())] {
        let out = format!("oci:{}:{tag}", layout.display());
        copy(all, &format!("docker://{}/team/hello:{tag}", registry.host), &out);
        copy(all, &out, &format!("docker://{}/mirror/hello:{tag}", registry.host));
    }
    let world = customer(&vendor);
    for reference in ["mirror/hello:1.0".to_owned(), format!("mirror/hello@sha256:{hex}")] {
        let verified = world.run(&["verify", &format!("oci://{}/{reference}", registry.host)]);
        assert_eq!(verified.code, 0, "{reference}: {}", verified.said());
    }
    let imported = world.run(&["bundle", "import", layout.to_str().unwrap(), "--into", "plugins"]);
    assert_eq!(imported.code, 0, "what skopeo laid out is a bundle: {}", imported.said());
    assert_eq!(world.run(&["verify", "plugins/hello.wasm"]).code, 0);
}
