//! `key generate`, `sign`, `verify`.

use std::os::unix::fs::PermissionsExt as _;

use toolgate_tests::{World, guest, plugin};

#[test]
fn a_key_is_made_for_its_owner_alone_and_never_overwritten() {
    let world = World::new();
    let made = world.run(&["key", "generate", "--out", "fresh"]);
    assert_eq!(made.code, 0, "{}", made.said());
    let private = std::fs::read_to_string(world.path("fresh")).unwrap();
    assert!(private.starts_with("-----BEGIN PRIVATE KEY-----"), "{}", &private[..30]);
    assert_eq!(std::fs::metadata(world.path("fresh")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        std::fs::read_to_string(world.path("fresh.pub")).unwrap().starts_with("-----BEGIN PUBLIC KEY-----")
    );
    assert!(!made.said().contains("PRIVATE"), "it is not shown");

    let again = world.run(&["key", "generate", "--out", "fresh"]);
    assert_ne!(again.code, 0);
    assert_eq!(std::fs::read_to_string(world.path("fresh")).unwrap(), private);
    std::fs::remove_file(world.path("fresh")).unwrap();
    assert_ne!(world.run(&["key", "generate", "--out", "fresh"]).code, 0, "nor is the public half");
}

#[test]
fn what_is_signed_verifies_and_loads() {
    let world = World::new().plugin("seven", &guest::seven());
    std::fs::remove_file(world.path("plugins/seven.wasm.sigstore.json")).unwrap();
    assert_eq!(world.run(&["check"]).code, 3);
    let signed = world.run(&["sign", "plugins/seven.wasm", "--key", "keys/vendor"]);
    assert_eq!(signed.code, 0, "{}", signed.said());
    assert!(signed.stdout.contains("seven.wasm.sigstore.json"), "{}", signed.said());
    let verified = world.run(&["verify", "plugins/seven.wasm", "--trust", "trust.toml"]);
    assert_eq!(verified.code, 0, "{}", verified.said());
    assert!(
        verified.stdout.contains("vendor") && verified.stdout.contains("publisher"),
        "{}",
        verified.said()
    );
    assert_eq!(world.run(&["check"]).code, 0);
}

#[test]
fn one_plugin_of_a_signer_served_as_another_is_refused() {
    let world = World::new().plugin("seven", &guest::seven());
    let (component, signature) = ("plugins/seven.wasm", "plugins/seven.wasm.sigstore.json");
    let signed = world.run(&["sign", component, "--key", "keys/vendor", "--id", "seven"]);
    assert!(signed.code == 0 && signed.stdout.contains("for plugin `seven`"), "{}", signed.said());
    assert_eq!(signed.stderr, "");
    assert_eq!(world.run(&["check"]).code, 0);
    let verified = world.run(&["verify", component]);
    assert!(verified.stdout.contains("genuine, for plugin `seven`"), "{}", verified.said());

    let copy = |from: &str, to: &str| world.put(to, &std::fs::read(world.path(from)).unwrap(), 0o644);
    copy(component, "plugins/other.wasm");
    copy(signature, "plugins/other.wasm.sigstore.json");
    // In `verify`, in a configuration and in a folder: it never passes as another plugin.
    let told = "signer `vendor` signed it as plugin `seven` and no other";
    let verified = world.run(&["verify", "plugins/other.wasm", "--plugin", "other"]);
    assert!(verified.code == 3 && verified.stderr.contains(told), "{}", verified.said());
    let world = world.plugin_from("other", "file:plugins/other.wasm");
    let check = world.run(&["check"]);
    assert!(check.code == 3 && check.stderr.contains(told), "{}", check.said());
    let folder = World::new().plugin_folder("dir:plugins");
    for name in ["keys/vendor.pub", "plugins/other.wasm", "plugins/other.wasm.sigstore.json"] {
        folder.put(name, &std::fs::read(world.path(name)).unwrap(), 0o644);
    }
    let check = folder.run(&["check"]);
    assert!(check.code == 3 && check.stderr.contains(told), "{}", check.said());
    // The same bytes are the other plugin if the signer says so.
    let signed = world.run(&["sign", "plugins/other.wasm", "--key", "keys/vendor", "--id", "other"]);
    assert_eq!(signed.code, 0, "{}", signed.said());
    let check = world.with("prefix = \"other\"").run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn the_id_that_a_component_has_is_signed_and_no_other_and_without_any_there_is_a_warning() {
    let component = guest::with_section(guest::seven(), "toolgate", br#"{"format":1,"id":"acme:seven"}"#);
    let world = World::new().plugin("seven", &component).with("id = \"acme:seven\"");
    std::fs::remove_file(world.path("plugins/seven.wasm.sigstore.json")).unwrap();
    let refused = world.run(&["sign", "plugins/seven.wasm", "--key", "keys/vendor", "--id", "seven"]);
    assert!(
        refused.code == 3 && refused.stderr.contains("it says that it is `acme:seven`"),
        "{}",
        refused.said()
    );
    let signed = world.run(&["sign", "plugins/seven.wasm", "--key", "keys/vendor"]);
    assert!(signed.code == 0 && signed.stdout.contains("for plugin `acme:seven`"), "{}", signed.said());
    assert_eq!(world.run(&["check"]).code, 0);
    // The id in the component suffices.
    assert_eq!(world.run(&["verify", "plugins/seven.wasm"]).code, 0);
    assert_eq!(world.run(&["bundle", "export", "plugins/seven.wasm", "--out", "b.tar"]).code, 0);
    let imported = world.run(&["bundle", "import", "b.tar", "--into", "imported"]);
    assert_eq!(imported.code, 0, "{}", imported.said());

    let unnamed = World::new().plugin("seven", &guest::seven());
    let signed = unnamed.run(&["sign", "plugins/seven.wasm", "--key", "keys/vendor"]);
    assert!(signed.code == 0 && signed.stderr.contains("does not say which plugin"), "{}", signed.said());
    assert_eq!(unnamed.run(&["check"]).code, 0);
    for id in ["", &"a".repeat(257)] {
        let refused = unnamed.run(&["sign", "plugins/seven.wasm", "--key", "keys/vendor", "--id", id]);
        assert_eq!(refused.code, 2, "{}", refused.said());
    }
}

#[test]
fn a_second_signer_does_not_take_the_first_ones_place() {
    let world = World::new().plugin("seven", &guest::seven());
    let second = world.key("second").public().unwrap().id().hex();
    let signed = world.run(&["sign", "plugins/seven.wasm", "--key", "keys/second"]);
    assert_eq!(signed.code, 0, "{}", signed.said());
    assert!(
        world.path(&format!("plugins/seven.wasm.{}.sigstore.json", &second[..8])).exists(),
        "{}",
        signed.said()
    );
    assert_eq!(world.run(&["verify", "plugins/seven.wasm", "--trust", "trust.toml"]).code, 0);
}

#[test]
fn verify_says_why_not() {
    let world = World::new().plugin("hello", &plugin("hello"));
    let mut bytes = plugin("hello");
    bytes.push(0);
    world.put("plugins/hello.wasm", &bytes, 0o644);
    let verified = world.run(&["verify", "plugins/hello.wasm", "--trust", "trust.toml"]);
    assert_eq!(verified.code, 3, "{}", verified.said());
    assert!(verified.said().contains("is a signature over other bytes"), "{}", verified.said());
    let missing = world.run(&["verify", "plugins/none.wasm", "--trust", "trust.toml"]);
    assert_eq!(missing.code, 4, "{}", missing.said());
    let no_policy = world.run(&["verify", "plugins/hello.wasm", "--trust", "none.toml"]);
    assert_eq!(no_policy.code, 2, "{}", no_policy.said());
}

#[test]
fn a_key_that_others_can_read_signs_nothing() {
    let world = World::new().plugin("seven", &guest::seven());
    std::fs::set_permissions(world.path("keys/vendor"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let signed = world.run(&["sign", "plugins/seven.wasm", "--key", "keys/vendor"]);
    assert_eq!(signed.code, 2, "{}", signed.said());
    assert!(signed.stderr.contains("chmod o-rwx"), "{}", signed.stderr);
}

#[test]
fn what_is_no_key_signs_nothing() {
    let world = World::new().plugin("seven", &guest::seven()).secret_file("keys/odd", "not a key");
    for key in ["keys/odd", "keys/vendor.pub", "keys/none"] {
        let signed = world.run(&["sign", "plugins/seven.wasm", "--key", key]);
        assert_eq!(signed.code, 2, "{key}: {}", signed.said());
    }
}
