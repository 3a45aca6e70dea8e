//! Attachments with wrong metadata: a genuine signature is valid all the same.

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::World;
use toolgate_tests::attest::{BUNDLE, INDEX, MANIFEST, index, shelve};
use toolgate_tests::registry::{Shelf, descriptor};
use toolgate_tests::world::names;

use super::lies::from;
use super::referrers::pushed_beside;
use super::{customer, vendor};

const SSH: &str = "application/vnd.toolgate.signature.ssh.v1";

/// The genuine entry of the list, and its manifest.
fn genuine(shelf: &Shelf) -> (Value, Value) {
    let (_, list) = shelf.fallback();
    let entry = list["manifests"][0].clone();
    let manifest = &shelf.files[&format!("manifests/{}", entry["digest"].as_str().unwrap())].1;
    (entry, serde_json::from_slice(manifest).unwrap())
}

/// Copies of the genuine layer with wrong metadata.
fn layers(layer: &Value) -> Vec<(&'static str, Value)> {
    let size = layer["size"].as_u64().unwrap();
    let with = |key: &str, value: Value| {
        let mut layer = layer.clone();
        layer[key] = value;
        layer
    };
    vec![
        ("a size too large", with("size", (size + 1).into())),
        ("a size too small", with("size", (size - 1).into())),
        ("no bytes", with("size", 0.into())),
        ("another form", with("mediaType", SSH.into())),
    ]
}

/// Copies of the genuine entry with wrong metadata.
fn entries(entry: &Value) -> Vec<(&'static str, Value)> {
    let with = |key: &str, value: Value| {
        let mut entry = entry.clone();
        entry[key] = value;
        entry
    };
    vec![
        ("another size", with("size", (entry["size"].as_u64().unwrap() + 1).into())),
        ("another type", with("artifactType", "application/spdx+json".into())),
        ("another media type", with("mediaType", INDEX.into())),
        (
            "a statement about something else",
            with("annotations", json!({ "dev.sigstore.bundle.predicateType": "https://example.com/x" })),
        ),
    ]
}

/// A manifest of an attachment with these layers, whose digest sorts before the genuine one.
fn before(entry: &Value, manifest: &Value, layers: &[Value]) -> Value {
    let mut manifest = manifest.clone();
    manifest["layers"] = layers.into();
    let genuine: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
    let mut numbered = (0..).map(|number: u32| {
        manifest["annotations"]["number"] = number.to_string().into();
        manifest.clone()
    });
    numbered.find(|manifest| Digest::of(manifest.to_string().as_bytes()) < genuine).unwrap()
}

fn loads(what: &str, vendor: &World, shelf: &Shelf) {
    let check = from(vendor, &shelf.clone().serve()).run(&["check"]);
    assert_eq!(check.code, 0, "{what}: {}", check.said());
}

#[test]
fn in_a_registry_a_file_that_is_announced_wrongly_hides_no_signature() {
    let vendor = vendor();
    let honest = Shelf::of(&vendor, "hello");
    let (tag, _) = honest.fallback();
    let (entry, manifest) = genuine(&honest);
    for (what, layer) in layers(&manifest["layers"][0]) {
        for ending in ["sig", "att"] {
            let mut shelf = honest.clone();
            let older = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": manifest["config"], "layers": [layer] });
            shelf.put(&format!("{tag}.{ending}"), MANIFEST, older.to_string().into_bytes());
            loads(&format!("{what}, under .{ending}"), &vendor, &shelf);
        }
        let mut shelf = honest.clone();
        let mut first = shelve(&mut shelf, &before(&entry, &manifest, std::slice::from_ref(&layer)));
        first["artifactType"] = BUNDLE.into();
        first["annotations"] = entry["annotations"].clone();
        shelf.put(&tag, INDEX, index(&[first, entry.clone()]));
        loads(&format!("{what}, listed"), &vendor, &shelf);
    }
}

#[test]
fn in_a_registry_a_file_that_another_attachment_names_last_keeps_its_turn() {
    let vendor = vendor();
    let mut shelf = Shelf::of(&vendor, "hello");
    let (tag, _) = shelf.fallback();
    let (entry, manifest) = genuine(&shelf);
    let nothing = |number: usize| {
        let mut layer = descriptor(BUNDLE, number.to_string().as_bytes());
        layer["size"] = 0.into();
        layer
    };
    let mut list = vec![entry.clone()];
    let number = &mut 0;
    let mut crowd = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|_| {
                *number += 1;
                nothing(*number)
            })
            .collect()
    };
    // An attachment read before the list names the genuine file last; others have enough files to reach the limit.
    let layers: Vec<Value> = crowd(60).into_iter().chain([manifest["layers"][0].clone()]).collect();
    let older =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": manifest["config"], "layers": layers });
    shelf.put(&format!("{tag}.sig"), MANIFEST, older.to_string().into_bytes());
    for _ in 0..3 {
        let mut one = shelve(&mut shelf, &before(&entry, &manifest, &crowd(60)));
        one["artifactType"] = BUNDLE.into();
        list.push(one);
    }
    shelf.put(&tag, INDEX, index(&list));
    loads("named last", &vendor, &shelf);
}

#[test]
fn in_a_registry_an_entry_that_is_listed_wrongly_hides_no_signature() {
    let vendor = vendor();
    let honest = Shelf::of(&vendor, "hello");
    let (tag, _) = honest.fallback();
    let (entry, _) = genuine(&honest);
    for (what, wrong) in entries(&entry) {
        let mut shelf = honest.clone();
        shelf.put(&tag, INDEX, index(&[wrong.clone(), entry.clone()]));
        loads(what, &vendor, &shelf);
        // The registry's referrers API takes precedence over the tag.
        let referrers = format!("referrers/{}", shelf.manifest);
        shelf.put(&referrers, INDEX, index(&[wrong]));
        shelf.put(&tag, INDEX, index(std::slice::from_ref(&entry)));
        loads(&format!("{what}, in the other list"), &vendor, &shelf);
    }
}

/// Adds blobs to a layout, and entries before and after those in its inner index.
fn list_within(vendor: &World, first: &[Value], last: &[Value], blobs: &[Vec<u8>]) -> std::path::PathBuf {
    let layout = vendor.path("layout");
    drop(std::fs::remove_dir_all(&layout));
    let exported = vendor.run(&["bundle", "export", "plugins/hello.wasm", "--out", "layout"]);
    assert_eq!(exported.code, 0, "{}", exported.said());
    let blob = |digest: &Digest| {
        layout.join("blobs/sha256").join(digest.to_string().strip_prefix("sha256:").unwrap())
    };
    let read = |path: std::path::PathBuf| -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let mut top = read(layout.join("index.json"));
    let listed = top["manifests"].as_array_mut().unwrap();
    let inner = listed.iter_mut().find(|entry| entry["mediaType"] == INDEX).unwrap();
    let there = read(blob(&inner["digest"].as_str().unwrap().parse().unwrap()));
    let all = [first, there["manifests"].as_array().unwrap().as_slice(), last].concat();
    let list = index(&all);
    (inner["digest"], inner["size"]) = (Digest::of(&list).to_string().into(), list.len().into());
    for bytes in blobs.iter().chain([&list]) {
        std::fs::write(blob(&Digest::of(bytes)), bytes).unwrap();
    }
    std::fs::write(layout.join("index.json"), top.to_string()).unwrap();
    layout
}

fn imports(what: &str, vendor: &World, layout: &std::path::Path) {
    let world = customer(vendor);
    let imported = world.run(&["bundle", "import", layout.to_str().unwrap(), "--root", "root.json"]);
    assert_eq!(imported.code, 0, "{what}: {}", imported.said());
    assert_eq!(names(&world.path("plugins")).len(), 2, "{what}: {}", imported.said());
    assert!(!world.path("root.json").exists(), "{what}: {}", imported.said());
}

#[test]
fn in_a_bundle_what_is_announced_wrongly_hides_no_signature() {
    let vendor = vendor();
    let (entry, manifest) = genuine(&Shelf::of(&vendor, "hello"));
    for (what, wrong) in entries(&entry) {
        for (first, last) in [(vec![wrong.clone()], vec![]), (vec![], vec![wrong.clone()])] {
            imports(what, &vendor, &list_within(&vendor, &first, &last, &[]));
        }
    }
    for (what, layer) in layers(&manifest["layers"][0]) {
        let one = before(&entry, &manifest, &[layer]).to_string().into_bytes();
        let listed = descriptor(MANIFEST, &one);
        imports(what, &vendor, &list_within(&vendor, &[listed], &[], &[one]));
    }
}

#[test]
fn in_a_bundle_one_attachment_of_many_files_pushes_out_no_signature() {
    let vendor = vendor();
    let (entry, manifest) = genuine(&Shelf::of(&vendor, "hello"));
    // More missing files than are read.
    let crowd = (0..40).map(|attachment| {
        let layers = (0..60).map(|number| {
            let mut layer = descriptor(BUNDLE, format!("{attachment} {number}").as_bytes());
            layer["size"] = 0.into();
            layer
        });
        before(&entry, &manifest, &layers.collect::<Vec<_>>()).to_string().into_bytes()
    });
    let crowd: Vec<_> = crowd.collect();
    let listed: Vec<_> = crowd.iter().map(|bytes| descriptor(MANIFEST, bytes)).collect();
    imports("many files", &vendor, &list_within(&vendor, &listed, &[], &crowd));
}

#[test]
fn in_a_bundle_what_is_listed_as_attached_is_neither_component_nor_root() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let mut component = shelf.component_manifest();
    component["annotations"] = json!({ "another": "of the same name" });
    let mut root = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "artifactType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.dev.sigstore.trustedroot+json;version=0.1", b"{}")],
    });
    let good = root.clone();
    root["layers"] = json!([]);
    let garbage = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": [] });
    for (what, manifest) in [
        ("a component of the same name", component),
        ("a root", good),
        ("a root without a layer", root),
        ("anything", garbage),
    ] {
        let bytes = manifest.to_string().into_bytes();
        let listed = descriptor(MANIFEST, &bytes);
        imports(what, &vendor, &list_within(&vendor, &[listed], &[], &[bytes, b"{}".to_vec()]));
    }
}

#[test]
fn a_push_lists_a_signature_that_is_listed_wrongly_once_more_as_it_is() {
    let vendor = vendor();
    let (entry, _) = genuine(&Shelf::of(&vendor, "hello"));
    for (what, wrong) in entries(&entry) {
        let index = pushed_beside(&vendor, &wrong);
        assert_eq!(index["manifests"], json!([wrong, entry]), "{what}");
    }
}
