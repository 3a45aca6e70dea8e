//! Signature and trust requirements: each unmet one refuses the plugin, with one clear reason.

use toolgate_tests::world::TRUST;
use toolgate_tests::{World, guest, plugin};

use super::{assert_refused, beside_a_good_one};

#[test]
fn one_flipped_byte_is_refused() {
    let world = beside_a_good_one(&plugin("hello"));
    let mut bytes = plugin("hello");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.put("plugins/bad.wasm", &bytes, 0o644);
    assert_refused(world, "is a signature over other bytes");
}

#[test]
fn a_plugin_without_a_signature_is_refused() {
    let world = beside_a_good_one(&plugin("hello"));
    std::fs::remove_file(world.path("plugins/bad.wasm.sigstore.json")).unwrap();
    assert_refused(world, "no signature was found beside it");
}

#[test]
fn a_signer_whom_nobody_named_is_refused() {
    let world = beside_a_good_one(&plugin("hello"));
    let stranger = world.key("stranger").public().unwrap().id().hex();
    std::fs::remove_file(world.path("plugins/bad.wasm.sigstore.json")).unwrap();
    world.sign("bad", "stranger");
    assert_refused(world, &format!("there is a signature by key {}", &stranger[..16]));
}

#[test]
fn a_threshold_that_is_not_met_is_refused() {
    let world = beside_a_good_one(&plugin("hello"));
    world.key("second");
    let policy = TRUST.replace("[[rule]]\nplugin = \"*\"", "[[rule]]\nplugin = \"good\"")
        + r#"
[[signer]]
id = "second"
key = "keys/second.pub"
[[role]]
name = "vetting"
threshold = 2
signers = ["vendor", "second"]
[[rule]]
plugin = "bad"
require = ["vetting"]
"#;
    assert_refused(world.trust(&policy), "role `vetting`");
}

#[test]
fn a_threshold_that_is_met_by_two_keys_loads() {
    let world = World::with_own_cache().plugin("seven", &guest::seven());
    world.sign("seven", "second");
    let policy = TRUST.replace(
        "threshold = 1\nsigners = [\"vendor\"]",
        "threshold = 2\nsigners = [\"vendor\", \"second\"]",
    ) + "[[signer]]\nid = \"second\"\nkey = \"keys/second.pub\"\n";
    let check = world.trust(&policy).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn a_revoked_digest_is_refused_whoever_signed_it() {
    let bytes = plugin("hello");
    let digest = toolgate_policy::Digest::of(&bytes);
    let policy = format!("{TRUST}[[revoke]]\ndigest = \"{digest}\"\nreason = \"it phones home\"\n");
    assert_refused(beside_a_good_one(&bytes).trust(&policy), "is revoked: it phones home");
}

#[test]
fn bytes_other_than_the_pinned_ones_are_refused_though_signed() {
    let world = beside_a_good_one(&plugin("hello"));
    let pinned = toolgate_policy::Digest::of(b"what was reviewed");
    assert_refused(world.with(&format!("digest = \"{pinned}\"")), "the configuration pins sha256:");
}

#[test]
fn a_plugin_that_no_rule_names_is_refused() {
    let policy = TRUST.replace("plugin = \"*\"", "plugin = \"good\"");
    assert_refused(
        beside_a_good_one(&plugin("hello")).trust(&policy),
        "no [[rule]] in trust.toml matches plugin `bad`",
    );
}

#[test]
fn a_policy_that_has_expired_loads_nothing() {
    let world = World::with_own_cache().plugin("seven", &guest::seven());
    let check = world
        .trust(&TRUST.replace("version = 1", "version = 1\nexpires = 2001-01-01T00:00:00Z"))
        .run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains("the trust policy has expired"), "{}", check.stderr);
}

#[test]
fn a_signer_whose_time_is_over_is_refused() {
    let policy = TRUST.replace(
        "key = \"keys/vendor.pub\"",
        "key = \"keys/vendor.pub\"\nvalid_until = 2001-01-01T00:00:00Z",
    );
    let check = World::with_own_cache().plugin("seven", &guest::seven()).trust(&policy).run(&["check"]);
    assert_eq!(check.code, 3);
    assert!(check.stderr.contains("signer `vendor` is expired"), "{}", check.stderr);
}

#[test]
fn a_signature_of_another_plugin_is_refused() {
    let world = beside_a_good_one(&plugin("hello"));
    std::fs::copy(
        world.path("plugins/good.wasm.sigstore.json"),
        world.path("plugins/bad.wasm.sigstore.json"),
    )
    .unwrap();
    assert_refused(world, "is a signature over other bytes");
}

#[test]
fn a_device_a_pipe_or_a_folder_is_no_key() {
    let world = World::with_own_cache().plugin("seven", &guest::seven()).folder("keys/folder");
    let pipe = world.path("keys/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let mut world = world;
    for (key, words) in [
        ("/dev/zero", "it is not a regular file"),
        // Without a controlling terminal this cannot be opened.
        ("/dev/tty", "it "),
        ("keys/pipe", "it is not a regular file"),
        ("keys/folder", "it is not a regular file"),
    ] {
        world = world.trust(&TRUST.replace("keys/vendor.pub", key));
        let check = world.run(&["check"]);
        assert_eq!(check.code, 2, "{key}: {}", check.said());
        let line = check.stderr.lines().find(|line| line.contains("signer[0].key")).unwrap_or_default();
        assert!(line.contains(words), "{key}: {}", check.stderr);
    }
}

type Change = fn(&str) -> String;

#[test]
fn a_bundle_that_is_not_read_in_full_is_refused() {
    let bundle =
        |world: &World| std::fs::read_to_string(world.path("plugins/bad.wasm.sigstore.json")).unwrap();
    let doubled: Change =
        |text| text.replacen('{', "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",", 1);
    let changes: [(&str, Change, &str); 6] = [
        ("it is cut short", |text| text[..text.len() / 2].to_owned(), "it is not JSON"),
        ("a key appears twice", doubled, "twice"),
        ("a key is unknown", |text| text.replacen('{', "{\"extra\":1,", 1), "the bundle has `extra`"),
        (
            "the media type is another",
            |text| text.replace("bundle.v0.3", "bundle.v0.9"),
            "`mediaType` is not",
        ),
        (
            "the payload type is another",
            |text| text.replace("vnd.in-toto", "vnd.other"),
            "`payloadType` is not",
        ),
        (
            "it is larger than a bundle may be",
            |text| text.to_owned() + &" ".repeat(2 << 20),
            "it has more than 1048576 bytes",
        ),
    ];
    for (what, change, words) in changes {
        let world = beside_a_good_one(&plugin("hello"));
        let changed = change(&bundle(&world));
        assert_ne!(changed, bundle(&world), "{what}");
        world.put("plugins/bad.wasm.sigstore.json", changed.as_bytes(), 0o644);
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{what}: {}", check.said());
        let line = check.stderr.lines().find(|line| line.starts_with("plugin bad: refused: "));
        assert!(line.is_some_and(|line| line.contains(words)), "{what}: {}", check.stderr);
        assert!(check.stdout.contains("plugin good: ok"), "{what}: {}", check.stdout);
    }
}
