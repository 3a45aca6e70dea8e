//! Bundles: out of one world, into another that reaches no network, through the same verifier.

use serde_json::json;
use toolgate_tests::registry::Shelf;
use toolgate_tests::world::names;
use toolgate_tests::{World, plugin};

use super::{customer, vendor};

/// Exports `hello` of a world; the bundle.
fn export(world: &World, out: &str) -> String {
    let exported = world.run(&["bundle", "export", "plugins/hello.wasm", "--out", out]);
    assert_eq!(exported.code, 0, "{}", exported.said());
    world.path(out).to_str().unwrap().to_owned()
}

#[test]
fn what_is_exported_is_imported_elsewhere_verifies_and_serves() {
    for out in ["bundle", "bundle.tar"] {
        let vendor = vendor();
        vendor.sign("hello", "second");
        let bundle = export(&vendor, out);
        let world = customer(&vendor).plugin_from("hello", "file:plugins/hello.wasm");
        let imported = world.run(&["bundle", "import", &bundle]);
        assert_eq!(imported.code, 0, "{out}: {}", imported.said());
        assert_eq!(names(&world.path("plugins")).len(), 3, "{:?}", names(&world.path("plugins")));
        let called = world.call("hello_seven", &json!({}));
        assert_eq!((called.code, called.stdout.trim()), (0, "7"), "{out}: {}", called.said());
        let again = world.run(&["bundle", "import", &bundle]);
        assert_eq!(again.code, 0, "{out}: {}", again.said());
    }
}

#[test]
fn a_plugin_of_the_configuration_is_exported_from_where_it_comes() {
    let vendor = vendor();
    let web = Shelf::of(&vendor, "hello").serve();
    let world = customer(&vendor).plugin_from("mine", &format!("oci://{}/hello:1", web.address));
    let exported = world.run(&["bundle", "export", "mine", "--out", "b.tar"]);
    assert_eq!(exported.code, 0, "{}", exported.said());
    assert!(exported.stdout.starts_with("mine: sha256:"), "{}", exported.stdout);
    let imported = world.run(&["bundle", "import", "b.tar"]);
    assert_eq!(imported.code, 0, "{}", imported.said());
    assert!(world.path("plugins/mine.wasm").exists());
}

#[test]
fn a_root_that_is_carried_along_is_written_where_nothing_was_and_trusted_by_nobody() {
    let vendor = vendor().file("trusted_root.json", "{}");
    let exported = vendor.run(&[
        "bundle",
        "export",
        "plugins/hello.wasm",
        "--root",
        "trusted_root.json",
        "--out",
        "b.tar",
    ]);
    assert_eq!(exported.code, 0, "{}", exported.said());
    let bundle = vendor.path("b.tar").to_str().unwrap().to_owned();
    let world = customer(&vendor);
    assert_eq!(world.run(&["bundle", "import", &bundle]).code, 0);
    assert!(!world.path("root.json").exists());
    let taken = world.run(&["bundle", "import", &bundle, "--root", "root.json"]);
    assert_eq!(taken.code, 0, "{}", taken.said());
    assert_eq!(std::fs::read_to_string(world.path("root.json")).unwrap(), "{}");
    assert_eq!(world.run(&["bundle", "import", &bundle, "--root", "root.json"]).code, 2, "it is there");
    let stranger = World::new().run(&["bundle", "import", &bundle, "--root", "root.json"]);
    assert!(stranger.code == 3 && stranger.stderr.contains("which is no [[signer]]"), "{}", stranger.said());
}

#[test]
fn an_import_takes_the_place_of_another_version_with_its_signatures() {
    let vendor = vendor();
    let bundle = export(&vendor, "bundle");
    let world = customer(&vendor);
    world.put("keys/vendor", &std::fs::read(vendor.path("keys/vendor")).unwrap(), 0o600);
    world.install("hello", &plugin("hello"));
    world.sign("hello", "other");
    assert_eq!(world.run(&["bundle", "import", &bundle]).code, 0);
    let verified = world.run(&["verify", "plugins/hello.wasm"]);
    assert_eq!(verified.code, 0, "{}", verified.said());
}

#[test]
fn nothing_is_put_in_place_of_a_bundle_that_is_not_trusted_or_was_touched() {
    let vendor = vendor();
    let bundle = export(&vendor, "bundle");
    let stranger = World::new().run(&["bundle", "import", &bundle]);
    assert!(stranger.code == 3 && stranger.stderr.contains("which is no [[signer]]"), "{}", stranger.said());
    let world = customer(&vendor);
    let blobs = vendor.path("bundle/blobs/sha256");
    for name in names(&blobs) {
        let path = blobs.join(&name);
        let genuine = std::fs::read(&path).unwrap();
        let mut bytes = genuine.clone();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let imported = world.run(&["bundle", "import", &bundle]);
        std::fs::write(&path, genuine).unwrap();
        // Two blobs say nothing to Toolgate and are not read: the configurations.
        if imported.code == 0 {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text == "{}" || text.contains("layerDigests"), "{name}");
            std::fs::remove_dir_all(world.path("plugins")).unwrap();
        } else {
            assert_eq!(imported.code, 3, "{name}: {}", imported.said());
            assert!(imported.stderr.contains(&format!("sha256:{name} was asked for")), "{}", imported.said());
            assert!(!world.path("plugins/hello.wasm").exists(), "{name}");
        }
    }
}
