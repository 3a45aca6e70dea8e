//! Imports replace a component of another plugin only on explicit request.

use toolgate_tests::{World, guest};

use super::bundle::export;
use super::{customer, vendor};

#[test]
fn a_component_that_is_signed_as_another_plugin_takes_nobodys_place_unless_that_is_said() {
    let vendor = vendor();
    let sign = |world: &World, id: &str| {
        let signed = world.run(&["sign", "plugins/hello.wasm", "--key", "keys/vendor", "--id", id]);
        assert_eq!(signed.code, 0, "{}", signed.said());
    };
    sign(&vendor, "acme:weather");
    let bundle = export(&vendor, "bundle");
    let other = guest::with_section(guest::seven(), "x", b"another");
    let world = customer(&vendor);
    world.put("keys/vendor", &std::fs::read(vendor.path("keys/vendor")).unwrap(), 0o600);
    let import = |more: &[&str]| world.run(&[&["bundle", "import", &bundle], more].concat());
    let there = || std::fs::read(world.path("plugins/hello.wasm")).unwrap();
    // Without an existing file the import writes it and reports the plugin's id.
    let imported = import(&[]);
    assert_eq!(imported.code, 0, "{}", imported.said());
    let told = "signed as the plugin `acme:weather`: its [[plugin]] needs `id = \"acme:weather\"`";
    assert!(imported.stdout.contains(told), "{}", imported.stdout);
    // Another plugin with this name is not replaced, whether it has an id or not.
    for id in [None, Some("hello"), Some("acme:other")] {
        world.install("hello", &other);
        if let Some(id) = id {
            sign(&world, id);
        }
        let before = there();
        let refused = import(&["--replace"]);
        let words = "it is signed as the plugin `acme:weather` and would take the place of";
        assert!(refused.code == 3 && refused.stderr.contains(words), "{id:?}: {}", refused.said());
        assert!(refused.stderr.contains("say --id acme:weather"), "{}", refused.stderr);
        assert_eq!(import(&["--replace", "--id", "acme:other"]).code, 3, "{id:?}");
        assert_eq!(there(), before, "{id:?}");
        let replaced = import(&["--replace", "--id", "acme:weather"]);
        assert!(replaced.code == 0 && there() != before, "{id:?}: {}", replaced.said());
    }
    // An older version of the same plugin is replaced.
    world.install("hello", &other);
    sign(&world, "acme:weather");
    let imported = import(&["--replace"]);
    assert_eq!(imported.code, 0, "{}", imported.said());
}

#[test]
fn a_component_that_is_signed_under_no_id_takes_the_place_of_none_that_is_unless_that_is_said() {
    let vendor = vendor();
    let bundle = export(&vendor, "bundle");
    // The same bytes with another signature, and other bytes.
    for bytes in [guest::seven(), guest::with_section(guest::seven(), "x", b"another")] {
        for id in ["hello", "acme:weather"] {
            let world = customer(&vendor);
            world.put("keys/vendor", &std::fs::read(vendor.path("keys/vendor")).unwrap(), 0o600);
            world.put("plugins/hello.wasm", &bytes, 0o644);
            let signed = world.run(&["sign", "plugins/hello.wasm", "--key", "keys/vendor", "--id", id]);
            assert_eq!(signed.code, 0, "{}", signed.said());
            // The file to which an import writes this signer's signature.
            let digits = &world.key("vendor").public().unwrap().id().hex()[..8];
            let own = world.path(&format!("plugins/hello.wasm.{digits}.sigstore.json"));
            if !own.exists() {
                std::fs::rename(world.path("plugins/hello.wasm.sigstore.json"), &own).unwrap();
            }
            let there =
                || [world.path("plugins/hello.wasm"), own.clone()].map(|path| std::fs::read(path).unwrap());
            let before = there();
            let refused = world.run(&["bundle", "import", &bundle, "--replace"]);
            let words = format!("it is signed under no id and would take the place of `{id}`");
            assert!(refused.code == 3 && refused.stderr.contains(&words), "{id}: {}", refused.said());
            assert!(refused.stderr.contains("say --id hello"), "{id}: {}", refused.said());
            assert_eq!(there(), before, "{id}");
            let replaced = world.run(&["bundle", "import", &bundle, "--replace", "--id", "hello"]);
            assert!(replaced.code == 0 && there() != before, "{id}: {}", replaced.said());
        }
    }
}

#[test]
fn a_component_takes_the_place_of_what_cannot_be_read_only_if_that_is_said() {
    let vendor = vendor();
    let bundle = export(&vendor, "bundle");
    let world = customer(&vendor).folder("plugins");
    std::os::unix::fs::symlink("nowhere", world.path("plugins/hello.wasm")).unwrap();
    let refused = world.run(&["bundle", "import", &bundle, "--replace"]);
    assert!(refused.code == 3 && refused.stderr.contains("what cannot be read"), "{}", refused.said());
    let replaced = world.run(&["bundle", "import", &bundle, "--replace", "--id", "hello"]);
    assert_eq!(replaced.code, 0, "{}", replaced.said());
}
