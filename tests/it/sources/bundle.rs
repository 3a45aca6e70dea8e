//! Bundles: exported from one world, imported into another without network, and verified as usual.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::registry::{Shelf, descriptor};
use toolgate_tests::world::names;
use toolgate_tests::{World, plugin, process};

use super::{customer, vendor};

/// Exports `hello` of a world; returns the bundle's path.
pub(super) fn export(world: &World, out: &str) -> String {
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
    assert!(
        stranger.code == 3 && stranger.stderr.contains("which is not a [[signer]]"),
        "{}",
        stranger.said()
    );
}

#[test]
fn an_import_takes_the_place_of_another_version_with_its_signatures() {
    let vendor = vendor();
    let bundle = export(&vendor, "bundle");
    let world = customer(&vendor);
    world.put("keys/vendor", &std::fs::read(vendor.path("keys/vendor")).unwrap(), 0o600);
    world.install("hello", &plugin("hello"));
    world.sign("hello", "other");
    let there = |world: &World| {
        names(&world.path("plugins"))
            .iter()
            .map(|name| std::fs::read(world.path("plugins").join(name)).unwrap())
            .collect::<Vec<_>>()
    };
    let before = there(&world);
    let imported = world.run(&["bundle", "import", &bundle]);
    assert_eq!(imported.code, 3, "{}", imported.said());
    assert!(imported.stderr.contains("other files are there: plugins/hello.wasm"), "{}", imported.stderr);
    assert_eq!(there(&world), before, "nothing is written over that nobody gave away");
    let imported = world.run(&["bundle", "import", &bundle, "--replace"]);
    assert_eq!(imported.code, 0, "{}", imported.said());
    let verified = world.run(&["verify", "plugins/hello.wasm"]);
    assert_eq!(verified.code, 0, "{}", verified.said());
}

#[test]
fn nothing_is_put_in_place_of_a_bundle_that_is_not_trusted_or_was_touched() {
    let vendor = vendor();
    let bundle = export(&vendor, "bundle");
    let stranger = World::new().run(&["bundle", "import", &bundle]);
    assert!(
        stranger.code == 3 && stranger.stderr.contains("which is not a [[signer]]"),
        "{}",
        stranger.said()
    );
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
        // Two blobs, the configurations, are not read by Toolgate.
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

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Changes the index of a layout.
fn relist(layout: &Path, change: impl FnOnce(&mut Vec<Value>)) {
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(index["manifests"].as_array_mut().unwrap());
    std::fs::write(path, index.to_string()).unwrap();
}

/// Adds a blob to a layout.
fn add_blob(layout: &Path, bytes: &[u8]) {
    let hex = Digest::of(bytes).to_string();
    std::fs::write(layout.join("blobs/sha256").join(hex.strip_prefix("sha256:").unwrap()), bytes).unwrap();
}

/// Manifest of a layout's component, with another title.
fn titled(layout: &Path, title: &str) -> Vec<u8> {
    let manifest = names(&layout.join("blobs/sha256")).into_iter().find_map(|name| {
        let bytes = std::fs::read(layout.join("blobs/sha256").join(name)).unwrap();
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        (value["layers"][0]["mediaType"] == "application/wasm").then_some(value)
    });
    let mut manifest = manifest.unwrap();
    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = title.into();
    manifest.to_string().into_bytes()
}

#[test]
fn two_components_of_one_name_are_an_error_that_names_both() {
    let vendor = vendor();
    vendor.install("other", &plugin("hello"));
    let exported =
        vendor.run(&["bundle", "export", "plugins/hello.wasm", "plugins/other.wasm", "--out", "b"]);
    assert_eq!(exported.code, 0, "{}", exported.said());
    let layout = vendor.path("b");
    let other = names(&layout.join("blobs/sha256")).into_iter().find_map(|name| {
        let text = String::from_utf8(std::fs::read(layout.join("blobs/sha256").join(name)).unwrap()).ok()?;
        (text.contains("other.wasm\"") && text.contains("application/wasm")).then_some(text)
    });
    let renamed = other.unwrap().replace("other.wasm", "hello.wasm").into_bytes();
    add_blob(&layout, &renamed);
    relist(&layout, |listed| listed.push(descriptor(MANIFEST, &renamed)));
    let world = customer(&vendor);
    let imported = world.run(&["bundle", "import", layout.to_str().unwrap()]);
    assert_eq!(imported.code, 3, "{}", imported.said());
    assert!(imported.stderr.contains("two components of the name `hello`"), "{}", imported.stderr);
    for digest in [super::digest(), Digest::of(&plugin("hello")).to_string()] {
        assert!(imported.stderr.contains(&digest), "{digest}: {}", imported.stderr);
    }
    assert_eq!(names(&world.path("plugins")), [""; 0]);

    vendor.put("more/hello.wasm", &plugin("hello"), 0o644);
    let twice = ["bundle", "export", "plugins/hello.wasm", "more/hello.wasm", "--out", "b.tar"];
    let exported = vendor.run(&twice);
    assert_eq!(exported.code, 2, "{}", exported.said());
    assert!(exported.stderr.contains("two components have the name `hello`"), "{}", exported.stderr);
    assert!(!vendor.path("b.tar").exists());
}

#[test]
fn a_name_in_a_bundle_is_told_escaped() {
    let vendor = vendor();
    let layout = std::path::PathBuf::from(export(&vendor, "b"));
    let hostile = titled(&layout, "x\u{1b}[2J\u{202e}y\nplugin ok.wasm");
    add_blob(&layout, &hostile);
    relist(&layout, |listed| listed.push(descriptor(MANIFEST, &hostile)));
    let imported = customer(&vendor).run(&["bundle", "import", layout.to_str().unwrap()]);
    assert_eq!(imported.code, 3, "{}", imported.said());
    assert!(imported.stderr.contains("no plugin's name"), "{}", imported.stderr);
    assert!(!imported.said().contains(['\u{1b}', '\u{202e}']), "{:?}", imported.said());
    assert!(!imported.said().contains("\nplugin ok"), "{:?}", imported.said());
}

#[test]
fn a_link_where_a_file_is_to_be_is_not_followed() {
    let vendor = vendor();
    let bundle = export(&vendor, "b.tar");
    for name in ["hello.wasm", "hello.wasm.sigstore.json"] {
        let world = customer(&vendor).folder("plugins").file("outside", "mine");
        let place = world.path("plugins").join(name);
        std::os::unix::fs::symlink(world.path("outside"), &place).unwrap();
        let imported = world.run(&["bundle", "import", &bundle]);
        assert_eq!(imported.code, 3, "{name}: {}", imported.said());
        let imported = world.run(&["bundle", "import", &bundle, "--replace"]);
        assert_eq!(imported.code, 0, "{name}: {}", imported.said());
        assert_eq!(std::fs::read(world.path("outside")).unwrap(), b"mine", "{name}");
        assert!(!world.path("plugins/hello.wasm").is_symlink(), "{name}");
    }
}

/// Runs the program with this umask.
fn run_under(umask: &str, world: &World, args: &[&str]) -> Output {
    world.write();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\"")).arg(toolgate_tests::toolgate());
    process::output_of(shell.args(args).current_dir(world.path("")))
}

fn modes(folder: &Path, all: &mut Vec<(String, u32)>) {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    all.push((folder.display().to_string(), mode(folder)));
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() { modes(&path, all) } else { all.push((path.display().to_string(), mode(&path))) }
    }
}

#[test]
fn what_is_exported_and_imported_has_modes_of_its_own_whoever_does_it() {
    for umask in ["000", "077", "027"] {
        let vendor = vendor().file("root.json", "{}");
        for out in ["layout", "b.tar"] {
            let args = ["bundle", "export", "plugins/hello.wasm", "--root", "root.json", "--out", out];
            let ended = run_under(umask, &vendor, &args);
            assert!(ended.status.success(), "{umask}: {}", String::from_utf8_lossy(&ended.stderr));
        }
        let world = customer(&vendor);
        let bundle = vendor.path("b.tar").to_str().unwrap().to_owned();
        let args = ["bundle", "import", &bundle, "--into", "made/deep/plugins", "--root", "made/root.json"];
        let ended = run_under(umask, &world, &args);
        assert!(ended.status.success(), "{umask}: {}", String::from_utf8_lossy(&ended.stderr));
        let mut all =
            vec![(bundle.clone(), vendor.path("b.tar").metadata().unwrap().permissions().mode() & 0o7777)];
        modes(&vendor.path("layout"), &mut all);
        modes(&world.path("made"), &mut all);
        assert!(all.len() > 12, "{all:?}");
        for (path, mode) in all {
            let wanted = if Path::new(&path).is_dir() { 0o755 } else { 0o644 };
            assert_eq!(mode, wanted, "umask {umask}: {path} has {mode:o}");
        }
    }
}

#[test]
fn a_bundle_that_names_one_index_a_thousand_times_takes_no_more_memory_than_another() {
    let vendor = vendor();
    let layout = std::path::PathBuf::from(export(&vendor, "b"));
    // Ten thousand entries for something else, megabytes in all.
    let entry = descriptor("application/octet-stream", b"x");
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": vec![entry; 10_000] });
    let index = index.to_string().into_bytes();
    add_blob(&layout, &index);
    relist(&layout, |listed| listed.extend(vec![descriptor(INDEX, &index); 1_000]));
    let world = customer(&vendor);
    world.write();
    let mut shell = Command::new("sh");
    // Limits the address space, which is larger than the memory used.
    shell.arg("-c").arg("ulimit -v 1000000; exec \"$0\" \"$@\"").arg(toolgate_tests::toolgate());
    shell.args(["bundle", "import"]).arg(&layout).current_dir(world.path(""));
    let ended = process::output_of(&mut shell);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(world.path("plugins/hello.wasm").exists());
}

#[test]
fn what_else_is_attached_in_a_bundle_is_told_and_left_where_it_is() {
    let vendor = vendor();
    let layout = std::path::PathBuf::from(export(&vendor, "b"));
    let component = names(&layout.join("blobs/sha256")).into_iter().find_map(|name| {
        let bytes = std::fs::read(layout.join("blobs/sha256").join(name)).unwrap();
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        (value["layers"][0]["mediaType"] == "application/wasm").then_some(bytes)
    });
    let component = component.unwrap();
    let attached = |kind: &str, layers: Value| {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"), "layers": layers,
            "subject": descriptor(MANIFEST, &component),
        });
        manifest.to_string().into_bytes()
    };
    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let spdx = attached("application/spdx+json", json!([]));
    let lost = attached(BUNDLE, json!([descriptor(BUNDLE, b"not there")]));
    let huge = attached(
        BUNDLE,
        json!([{ "mediaType": BUNDLE, "digest": Digest::of(b"x").to_string(), "size": 1 << 30 }]),
    );
    for bytes in [&spdx, &lost, &huge] {
        add_blob(&layout, bytes);
    }
    relist(&layout, |listed| listed.extend([&spdx, &lost, &huge].map(|bytes| descriptor(MANIFEST, bytes))));
    let world = customer(&vendor);
    let imported = world.run(&["bundle", "import", layout.to_str().unwrap()]);
    assert_eq!(imported.code, 0, "{}", imported.said());
    for words in ["it is of type application/spdx+json", "No such file", "its layer has 1073741824 bytes"] {
        assert!(imported.stdout.contains(words), "{words}: {}", imported.said());
    }
    assert_eq!(names(&world.path("plugins")).len(), 2, "{:?}", names(&world.path("plugins")));
}
