//! Signatures in registries: what refers to a component, and what only says so.

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::registry::{Shelf, descriptor};

use super::lies::{assert_refused, from};
use super::vendor;

#[test]
fn signatures_that_refer_in_circles_to_others_or_without_end_are_refused() {
    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let vendor = vendor();
    let honest = Shelf::of(&vendor, "hello");
    let (list, index) = honest.fallback();
    let listed = |entries: Vec<Value>| {
        let mut index = index.clone();
        index["manifests"] = Value::Array(entries);
        index.to_string().into_bytes()
    };
    let entry = |bytes: &[u8]| {
        let mut entry = descriptor(MANIFEST, bytes);
        entry["artifactType"] = BUNDLE.into();
        entry
    };
    let component = honest.files["manifests/1"].1.clone();
    let other = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor(BUNDLE, b"{}")],
        "subject": descriptor(MANIFEST, b"another artefact"),
    });
    let other = other.to_string().into_bytes();
    let many = (0..17_u8).map(|number| entry(&[number])).collect();
    let mut swollen = serde_json::from_slice::<Value>(&other).unwrap();
    swollen["subject"] = descriptor(MANIFEST, &component);
    swollen["layers"][0]["size"] = json!((1 << 20) + 1);
    let swollen = swollen.to_string().into_bytes();
    for (what, index, words) in [
        ("the component as its own signature", listed(vec![entry(&component)]), "is for another artefact"),
        ("a signature of another", listed(vec![entry(&other)]), "is for another artefact"),
        ("seventeen signatures", listed(many), "more than 16 signatures"),
        ("a signature without bound", listed(vec![entry(&swollen)]), "the limit is 1048576"),
        ("no list", b"{}".to_vec(), "no `schemaVersion 2`"),
        ("a huge list", vec![b' '; (4 << 20) + 1], "it has more than 4194304 bytes"),
    ] {
        let mut shelf = honest.clone();
        for bytes in [&other, &swollen] {
            shelf.put(&format!("manifests/{}", Digest::of(bytes)), MANIFEST, bytes.clone());
        }
        shelf.put(&list, "application/vnd.oci.image.index.v1+json", index);
        let web = shelf.serve();
        assert_refused(what, &from(&vendor, &web), 3, words);
        assert!(web.heard().len() < 12, "{what}: {} requests", web.heard().len());
    }
}

#[test]
fn a_registry_without_signatures_or_with_a_strangers_is_refused() {
    let vendor = vendor();
    let mut shelf = Shelf::of(&vendor, "hello");
    let (list, _) = shelf.fallback();
    shelf.files.remove(&list);
    assert_refused("no signatures", &from(&vendor, &shelf.serve()), 3, "no signature was found");
    let stranger = super::vendor();
    let web = Shelf::of(&stranger, "hello").serve();
    assert_refused("a stranger's", &from(&vendor, &web), 3, "there is a signature by key");
}

#[test]
fn the_list_of_referrers_is_asked_for_before_the_tag_that_stands_in_for_it() {
    let vendor = vendor();
    let mut shelf = Shelf::of(&vendor, "hello");
    let (list, index) = shelf.fallback();
    shelf.files.remove(&list);
    let path = format!("referrers/{}", shelf.manifest);
    shelf.put(&path, "application/vnd.oci.image.index.v1+json", index.to_string().into_bytes());
    let check = from(&vendor, &shelf.serve()).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn a_list_that_lost_the_types_of_what_it_lists_is_still_read() {
    let vendor = vendor();
    let mut shelf = Shelf::of(&vendor, "hello");
    let (list, mut index) = shelf.fallback();
    // What has another type is none of ours; it is looked at, since the list no longer says so.
    let other = json!({
        "schemaVersion": 2, "artifactType": "application/spdx+json",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"), "layers": [],
    });
    let (kind, other) = ("application/vnd.oci.image.manifest.v1+json", other.to_string().into_bytes());
    shelf.put(&format!("manifests/{}", Digest::of(&other)), kind, other.clone());
    index["manifests"].as_array_mut().unwrap().push(descriptor(kind, &other));
    index.as_object_mut().unwrap().remove("mediaType");
    for entry in index["manifests"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("artifactType");
    }
    shelf.put(&list, "application/vnd.oci.image.index.v1+json", index.to_string().into_bytes());
    let check = from(&vendor, &shelf.serve()).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}
