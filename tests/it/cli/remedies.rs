//! Remedies in messages: each exists, and works.

use toolgate_policy::Digest;
use toolgate_tests::world::TRUST;
use toolgate_tests::{Ended, World, guest};

fn approved() -> World {
    let world = World::new().plugin("p", &guest::seven()).locked();
    let approved = world.run(&["plugin", "approve", "--all", "--yes", "--by", "a tester"]);
    assert_eq!(approved.code, 0, "{}", approved.said());
    world
}

#[track_caller]
fn assert_told(ended: &Ended, code: i32, words: &str) {
    assert!(ended.code == code && ended.stderr.contains(words), "{words}: {}", ended.said());
}

#[test]
fn every_command_says_what_to_do_about_an_older_trust_policy() {
    let world = approved();
    world.put("trust.toml", TRUST.replace("version = 1", "version = 3").as_bytes(), 0o644);
    assert_eq!(world.run_as_is(&["call", "p_seven"]).code, 0);
    world.put("trust.toml", TRUST.as_bytes(), 0o644);
    let words = "Put the newer file back; if this content is meant, give it a version higher than 3";
    for args in [
        &["check"][..],
        &["plugin", "list"],
        &["call", "p_seven"],
        &["tools"],
        &["explain", "p"],
        &["plugin", "approve", "p", "--yes"],
        &["plugin", "revoke", "p", "--reason", "it was wrong"],
    ] {
        let ended = world.run_as_is(args);
        assert_told(&ended, 3, words);
        assert_eq!(ended.stderr.matches(words).count(), 1, "{args:?}: {}", ended.said());
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

#[test]
fn a_key_of_another_kind_is_told_as_what_it_is() {
    let world = World::new().plugin("p", &guest::seven());
    let sign = |key: &str| world.run(&["sign", "plugins/p.wasm", "--key", key]);
    let words =
        "keys/vendor.pub: it is a public key; sign with the private one that belongs to it, `keys/vendor`";
    assert_told(&sign("keys/vendor.pub"), 2, words);
    let public = std::fs::read(world.path("keys/vendor.pub")).unwrap();
    world.put("keys/own", &public, 0o600);
    assert_told(&sign("keys/own"), 2, "keys/own: it is a public key; sign with the private one");
    let ssh = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    world.put("keys/id", ssh, 0o600);
    let words = "sign with `ssh-keygen -Y sign -n toolgate-plugin -f keys/id plugins/p.wasm`";
    assert_told(&sign("keys/id"), 2, words);
    world.put("keys/other", b"no key at all", 0o644);
    assert_told(&sign("keys/other"), 2, "keys/other: others can read it");
}

#[test]
fn what_cannot_be_added_or_revoked_is_told_with_what_can_be_done() {
    let world = approved();
    let revoked = world.run_as_is(&["plugin", "revoke", "sha256:abc", "--reason", "it was wrong"]);
    assert_told(&revoked, 2, "`sha256:abc` is not a digest; write sha256: and its 64 hexadecimal digits");
    let added = world.run_as_is(&["plugin", "add", "plugins/p.wasm", "--yes"]);
    assert_told(&added, 2, "`p` is configured already; `toolgate plugin approve p` approves a new version");
    world.put("plugins/other.wasm", &guest::seven(), 0o644);
    let signed = world.run_as_is(&["sign", "plugins/other.wasm", "--key", "keys/vendor", "--id", "notes"]);
    assert_eq!(signed.code, 0, "{}", signed.said());
    let added = world.run_as_is(&["plugin", "add", "plugins/other.wasm", "--yes"]);
    let words =
        "as plugin `notes` and no other: if that plugin is meant, write `id = \"notes\"` into its [[plugin]]";
    assert_told(&added, 3, words);
    let added = world.run_as_is(&["plugin", "add", "plugins/other.wasm", "--yes", "--id", "notes"]);
    assert_eq!(added.code, 0, "{}", added.said());
}

#[test]
fn a_lock_that_was_changed_by_hand_can_be_made_anew_as_it_is_said() {
    let world = approved();
    let lock = std::fs::read_to_string(world.path("toolgate.lock")).unwrap();
    world.put("toolgate.lock", lock.replace("a tester", "somebody").as_bytes(), 0o644);
    let words = "remove the file and approve every plugin anew (`toolgate plugin approve`)";
    assert_told(&world.run_as_is(&["check"]), 2, words);
    assert_told(&world.run_as_is(&["plugin", "approve", "p", "--yes"]), 2, words);
    std::fs::remove_file(world.path("toolgate.lock")).unwrap();
    assert_eq!(world.run_as_is(&["plugin", "approve", "p", "--yes"]).code, 0);
    assert_eq!(world.run_as_is(&["check"]).code, 0);
}

#[test]
fn a_list_says_which_bytes_were_revoked_and_which_are_there() {
    let world = approved();
    assert_eq!(world.run_as_is(&["plugin", "revoke", "p", "--reason", "it was wrong"]).code, 0);
    let revoked = Digest::of(&guest::seven()).to_string();
    let listed = world.run_as_is(&["plugin", "list"]);
    assert!(!listed.stdout.contains("not those that were revoked"), "{}", listed.said());
    let other = guest::with_section(guest::seven(), "further", b"text");
    world.install("p", &other);
    let listed = world.run_as_is(&["plugin", "list"]);
    let bytes =
        format!("bytes     {}, not those that were revoked\n  revoked   {revoked}", Digest::of(&other));
    assert!(listed.stdout.contains("p: revoked\n") && listed.stdout.contains(&bytes), "{}", listed.said());
    let listed = world.run_as_is(&["plugin", "list", "--json"]).json();
    assert_eq!(listed["plugins"][0]["revoked_digest"], revoked, "{listed}");
}

#[test]
fn a_server_that_ends_says_of_no_version_that_it_serves() {
    let world = approved();
    world.install("p", &guest::with_section(guest::seven(), "further", b"text"));
    let served = world.run_as_is(&["serve", "--stdio", "--frozen"]);
    assert_told(&served, 3, "its bytes changed");
    assert!(!served.stderr.contains("goes on serving"), "{}", served.said());
    let check = world.run_as_is(&["check"]);
    assert!(check.stdout.contains("not ok: 1 reason below"), "{}", check.said());
}

#[test]
fn an_address_that_cannot_be_listened_at_is_told_with_where_to_name_another() {
    let world = approved();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let served = world.run_as_is(&["serve", "--listen", &address]);
    assert_told(&served, 4, "name another address with --listen or `[server] listen`");
    let served = world.run_as_is(&["serve", "--listen", "localhost:7411"]);
    assert_told(&served, 2, "write an IP address and a port, such as 127.0.0.1:7411");
}

#[test]
fn a_bundle_that_is_not_there_is_cut_off_or_would_replace_something_is_told_as_that() {
    let world = World::new().plugin("p", &guest::seven());
    let export = |out: &str| world.run(&["bundle", "export", "plugins/p.wasm", "--out", out]);
    std::fs::create_dir(world.path("folder")).unwrap();
    assert_eq!(export("b.tar").code, 0);
    for out in ["b.tar", "folder"] {
        assert_told(
            &export(out),
            2,
            &format!("{out}: something is there already; remove it, or say another --out"),
        );
    }
    let import = |from: &str| world.run(&["bundle", "import", from, "--into", "new"]);
    assert_told(&import("nope.tar"), 2, "open nope.tar");
    let whole = std::fs::read(world.path("b.tar")).unwrap();
    for bytes in [700, 1_200, whole.len() / 2, whole.len() / 2 / 512 * 512 + 7, whole.len() - 2_048] {
        world.put("cut.tar", &whole[..bytes], 0o644);
        assert_told(&import("cut.tar"), 3, "read cut.tar: it is cut off; copy it once more");
    }
}

#[test]
fn approving_all_plugins_goes_on_without_those_that_do_not_load_and_names_them() {
    let world = World::new()
        .locked()
        .plugin("seven", &guest::seven())
        .plugin("fetch", &guest::plugin("fetch"))
        .plugin("hello", &guest::plugin("hello"));
    let approve =
        |args: &[&str]| world.run(&[&["plugin", "approve", "--yes", "--by", "a tester"], args].concat());
    let approved = approve(&["--all"]);
    assert_told(&approved, 3, "plugin fetch: refused: it needs `http`");
    assert_told(&approved, 3, "not approved, since they do not load: fetch");
    for name in ["seven", "hello"] {
        assert!(approved.stdout.contains(&format!("{name}: approved by a tester")), "{}", approved.said());
    }
    assert_eq!(world.run(&["call", "seven_seven"]).code, 0);
    // Also where nothing is left to approve, and where a named plugin does not load.
    assert_told(&approve(&["--all"]), 3, "not approved, since they do not load: fetch");
    let named = approve(&["seven", "fetch"]);
    assert_told(&named, 3, "it needs `http`");
    assert_told(&named, 3, "nothing was approved");
    let none = World::new()
        .locked()
        .plugin("fetch", &guest::plugin("fetch"))
        .run(&["plugin", "approve", "--all", "--yes"]);
    assert_told(&none, 3, "nothing was approved");
    assert!(!none.stderr.contains("since they do not load"), "{}", none.said());
}
