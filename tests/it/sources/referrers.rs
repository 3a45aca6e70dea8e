//! Signatures in registries: where they are found, attachments of a component, and those that only claim to be. The
//! registry is simulated; `registry.rs` uses a real one, and `formats.rs` has the formats of other programs.

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::World;
use toolgate_tests::attest::{BUNDLE, INDEX, MANIFEST, index};
use toolgate_tests::registry::{Shelf, answer, descriptor};

use super::lies::{assert_refused, from};
use super::vendor;

#[test]
fn signatures_that_refer_in_circles_to_others_or_without_end_are_refused() {
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
    let many = (0..65_u8).map(|number| entry(&[number])).collect();
    let mut swollen = serde_json::from_slice::<Value>(&other).unwrap();
    swollen["subject"] = descriptor(MANIFEST, &component);
    swollen["layers"][0]["size"] = json!((1 << 20) + 1);
    let swollen = swollen.to_string().into_bytes();
    for (what, index, words) in [
        (
            "the component as its own signature",
            listed(vec![entry(&component)]),
            "it is of type application/vnd.wasm",
        ),
        ("a signature of another", listed(vec![entry(&other)]), "is for another artefact"),
        ("sixty-five signatures", listed(many), "the answer was 404"),
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
        assert!(web.heard().len() < 64 + 12, "{what}: {} requests", web.heard().len());
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
    // An attachment of another type; it is read, since the list no longer has its type.
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

/// A shelf without any list that still has the layer of its signature; and that signature.
pub(super) fn unlisted(vendor: &World) -> (Shelf, Vec<u8>) {
    let mut shelf = Shelf::of(vendor, "hello");
    let (tag, _) = shelf.fallback();
    shelf.files.remove(&tag);
    (shelf, std::fs::read(vendor.path("plugins/hello.wasm.sigstore.json")).unwrap())
}

pub(super) fn fallback_tag(shelf: &Shelf) -> String {
    format!("manifests/{}", shelf.manifest.replace(':', "-"))
}

#[test]
fn what_one_list_does_not_have_is_looked_for_in_the_other() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let (tag, listed) = shelf.fallback();
    let signatures = listed["manifests"].as_array().unwrap().clone();
    let mut sbom = descriptor(MANIFEST, b"an SBOM");
    sbom["artifactType"] = "application/spdx+json".into();
    let lists = [tag, format!("referrers/{}", shelf.manifest)];
    for (has, has_not) in [(0, 1), (1, 0)] {
        for (what, other) in [("nothing", vec![]), ("an SBOM", vec![sbom.clone()])] {
            let mut shelf = shelf.clone();
            shelf.put(&lists[has], INDEX, index(&signatures));
            shelf.put(&lists[has_not], INDEX, index(&other));
            let check = from(&vendor, &shelf.serve()).run(&["check"]);
            assert_eq!(check.code, 0, "{what} in {}: {}", lists[has_not], check.said());
        }
    }
    // Each place has one of the two signatures.
    vendor.sign("hello", "second");
    let both = Shelf::of(&vendor, "hello");
    let (tag, listed) = both.fallback();
    let [first, second] = listed["manifests"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    let mut shelf = both.clone();
    shelf.put(&tag, INDEX, index(std::slice::from_ref(first)));
    shelf.put(&lists[1], INDEX, index(std::slice::from_ref(second)));
    let two = toolgate_tests::world::TRUST.replace(
        "threshold = 1\nsigners = [\"vendor\"]",
        "threshold = 2\nsigners = [\"vendor\", \"second\"]",
    ) + "[[signer]]\nid = \"second\"\nkey = \"keys/second.pub\"\n";
    let world = from(&vendor, &shelf.serve()).trust(&two);
    world.put("keys/second.pub", &std::fs::read(vendor.path("keys/second.pub")).unwrap(), 0o644);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn a_next_page_on_another_host_is_not_asked_for() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let ear = toolgate_tests::web::Web::answering(|_, to| answer(to, "200 OK", &[], &index(&[])));
    let next = format!("<http://{}/v2/hello/referrers/x>; rel=\"next\"", ear.address);
    let web = shelf.serve_with(Box::new(move |path, _, to| {
        let asked = path.starts_with("referrers/");
        if asked {
            answer(to, "200 OK", &[("Link", &next)], &index(&[]));
        }
        asked
    }));
    let check = from(&vendor, &web).with("source_private = true").run(&["check"]);
    assert_eq!(check.code, 0, "the tag has it: {}", check.said());
    assert_eq!(ear.heard(), [""; 0]);
}

#[test]
fn what_stands_under_the_tag_of_the_list_and_is_none_hides_no_signature() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let (tag, listed) = shelf.fallback();
    let component = shelf.files["manifests/1"].1.clone();
    for (what, bytes) in [("GitLab: the subject itself", component), ("anything", b"{}".to_vec())] {
        let mut shelf = shelf.clone();
        shelf.put(&tag, MANIFEST, bytes);
        shelf.put(&format!("referrers/{}", shelf.manifest), INDEX, listed.to_string().into_bytes());
        let check = from(&vendor, &shelf.serve()).run(&["check"]);
        assert_eq!(check.code, 0, "{what}: {}", check.said());
    }
}

#[test]
fn a_refusal_says_where_was_looked_and_what_was_seen() {
    let vendor = vendor();
    let (shelf, _) = unlisted(&vendor);
    let digest = shelf.manifest.clone();
    let mut sbom = descriptor(MANIFEST, b"an SBOM");
    sbom["artifactType"] = "application/spdx+json".into();
    let mut listing = shelf.clone();
    listing.put(&format!("referrers/{digest}"), INDEX, index(&[sbom]));
    let tag = digest.replace(':', "-");
    for (shelf, list) in [(shelf, "not kept"), (listing, "1 of them")] {
        let check = from(&vendor, &shelf.serve()).run(&["check"]);
        assert_eq!(check.code, 3, "{}", check.said());
        for words in [
            format!("the registry's list of what refers to {digest} ({list})"),
            format!("the tag {tag} (not there)"),
            format!("the tag {tag}.sig (not there)"),
            "no signature".to_owned(),
        ] {
            assert!(check.stderr.contains(&words), "not `{words}`: {}", check.stderr);
        }
    }
}

#[test]
fn a_registry_that_cannot_give_what_it_lists_is_not_one_without_signatures() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let web = shelf.serve_with(Box::new(|path, _, to| {
        let is_list = path.starts_with("referrers/") || path.starts_with("manifests/sha256-");
        if is_list {
            answer(to, "503 Unavailable", &[("Retry-After", "3600")], b"");
        }
        is_list
    }));
    assert_refused("unavailable", &from(&vendor, &web), 4, "the answer was 503");
}

/// Pushes to a registry that already lists this entry; returns the resulting list.
pub(super) fn pushed_beside(vendor: &World, there: &Value) -> Value {
    let put = std::sync::Arc::new(std::sync::Mutex::new(Vec::<Value>::new()));
    let (seen, there) = (put.clone(), there.clone());
    let web = Shelf::default().serve_with(Box::new(move |path, request, to| {
        let is_tag = path.starts_with("manifests/sha256-");
        match request.split(' ').next() {
            Some("GET") if is_tag => answer(to, "200 OK", &[], &index(std::slice::from_ref(&there))),
            Some("POST") => answer(to, "202 Accepted", &[("Location", "/v2/hello/blobs/uploads/x")], b""),
            Some("PUT") => {
                if is_tag {
                    let (_, body) = request.split_once("\r\n\r\n").unwrap();
                    seen.lock().unwrap().push(serde_json::from_str(body).unwrap());
                }
                answer(to, "201 Created", &[], b"");
            }
            _ => return false,
        }
        true
    }));
    let pushed = vendor.run(&["push", "plugins/hello.wasm", &format!("oci://{}/hello:1", web.address)]);
    assert_eq!(pushed.code, 0, "{}", pushed.said());
    let put = put.lock().unwrap();
    let [index] = put.as_slice() else { panic!("{put:?}") };
    index.clone()
}

#[test]
fn a_push_leaves_what_others_listed_as_it_is() {
    let vendor = vendor();
    let theirs = json!({
        "mediaType": MANIFEST, "digest": Digest::of(b"theirs").to_string(), "size": 6, "artifactType": "application/spdx+json",
        "annotations": { "org.example.note": "kept" }, "platform": { "architecture": "wasm", "os": "wasip2" }, "data": "dGhlaXJz",
    });
    let index = pushed_beside(&vendor, &theirs);
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]), (2, &theirs), "{index}");
}
