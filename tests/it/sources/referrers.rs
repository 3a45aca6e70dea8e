//! Signatures in registries: where they are, what refers to a component, and what only says so. The answers of other registries
//! and what other tools write are made here from what they publish; `registry.rs` beside this has a real registry.

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::attest::{BUNDLE, EMPTY, INDEX, MANIFEST, index, referring, shelve};
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

/// A shelf without any list, its genuine signature's layer still on it; and that signature.
fn unlisted(vendor: &toolgate_tests::World) -> (Shelf, Vec<u8>) {
    let mut shelf = Shelf::of(vendor, "hello");
    let (tag, _) = shelf.fallback();
    shelf.files.remove(&tag);
    (shelf, std::fs::read(vendor.path("plugins/hello.wasm.sigstore.json")).unwrap())
}

fn fallback_tag(shelf: &Shelf) -> String {
    format!("manifests/{}", shelf.manifest.replace(':', "-"))
}

/// It loads by the list under the tag, and by the registry's own.
fn is_found(what: &str, vendor: &toolgate_tests::World, shelf: &Shelf, entries: &[Value]) {
    for place in [fallback_tag(shelf), format!("referrers/{}", shelf.manifest)] {
        let mut shelf = shelf.clone();
        shelf.put(&place, INDEX, index(entries));
        let check = from(vendor, &shelf.serve()).run(&["check"]);
        assert_eq!(check.code, 0, "{what}, {place}: {}", check.said());
    }
}

#[test]
fn what_cosign_writes_is_found_also_where_its_list_has_the_type_of_the_configuration() {
    let vendor = vendor();
    let (mut shelf, bytes) = unlisted(&vendor);
    // As its BUNDLE_SPEC has it: a title for the layer, notes on the manifest, a subject without its size.
    let mut manifest = referring(&shelf, Some(BUNDLE), &[(BUNDLE, &bytes)]);
    manifest["layers"][0]["annotations"] =
        json!({ "org.opencontainers.image.title": "sha256-00.sigstore.json" });
    manifest["annotations"] = json!({
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "urn:toolgate:plugin:v1",
        "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
    });
    manifest["subject"].as_object_mut().unwrap().remove("size");
    let entry = shelve(&mut shelf, &manifest);
    for kind in [Some(BUNDLE), Some(EMPTY), Some("application/vnd.oci.image.config.v1+json"), None] {
        let mut entry = entry.clone();
        entry["annotations"] = manifest["annotations"].clone();
        if let Some(kind) = kind {
            entry["artifactType"] = kind.into();
        }
        is_found(&format!("cosign, {kind:?}"), &vendor, &shelf, &[entry]);
    }
}

#[test]
fn what_oras_attaches_is_found_by_the_type_of_the_artefact_or_of_its_layer() {
    let vendor = vendor();
    let (shelf, bytes) = unlisted(&vendor);
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    for (what, kind, layer, listed_as) in [
        ("by the artefact's type", Some(BUNDLE), LAYER, Some(BUNDLE)),
        (
            "by the layer's type",
            Some("application/vnd.unknown.artifact.v1"),
            BUNDLE,
            Some("application/vnd.unknown.artifact.v1"),
        ),
        ("by the layer's type alone", None, BUNDLE, Some(EMPTY)),
        ("by the list alone", None, LAYER, Some(BUNDLE)),
        ("of an older version", Some("application/vnd.dev.sigstore.bundle+json;version=0.3"), LAYER, None),
    ] {
        let mut shelf = shelf.clone();
        let manifest = referring(&shelf, kind, &[(layer, &bytes)]);
        let mut entry = shelve(&mut shelf, &manifest);
        if let Some(kind) = listed_as {
            entry["artifactType"] = kind.into();
        }
        is_found(what, &vendor, &shelf, &[entry]);
    }
    // Before artefacts had a type, that of the configuration was it.
    let mut shelf = shelf;
    let mut manifest = referring(&shelf, None, &[(LAYER, &bytes)]);
    manifest["config"]["mediaType"] = BUNDLE.into();
    let entry = shelve(&mut shelf, &manifest);
    is_found("by the configuration's type", &vendor, &shelf, &[entry]);
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
    // One of two signatures is in either.
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
fn a_registry_without_a_list_of_its_own_says_so_in_many_ways_and_the_tag_is_asked_for() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let html = "<html>packages</html>";
    for (what, status, location, body) in [
        ("Debian's docker-registry, GitLab", "404 Not Found", "", "404 page not found\n"),
        ("GHCR", "303 See Other", "https://github.com/-/v2/packages/container/package/hello%2Freferrers", ""),
        ("another by a redirect", "302 Found", "http://127.0.0.1:1/there", ""),
        ("one that knows the path for something else", "405 Method Not Allowed", "", ""),
        (
            "one that does not know the path",
            "400 Bad Request",
            "",
            "{\"errors\":[{\"code\":\"UNSUPPORTED\"}]}",
        ),
        ("one that wants more rights for it", "403 Forbidden", "", ""),
        ("one that says so", "501 Not Implemented", "", ""),
        ("one that is broken there", "500 Internal Server Error", "", ""),
        ("a page for people", "200 OK", "", html),
        (
            "an empty list of Zot's, as Go writes it",
            "200 OK",
            "",
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":null}"#,
        ),
        ("a list in no form that is known", "200 OK", "", r#"{"schemaVersion":2,"referrers":[]}"#),
    ] {
        let web = shelf.clone().serve_with(Box::new(move |path, _, to| {
            let asked = path.starts_with("referrers/");
            if asked && location.is_empty() {
                answer(to, status, &[("Content-Type", "text/html")], body.as_bytes());
            } else if asked {
                answer(to, status, &[("Location", location)], body.as_bytes());
            }
            asked
        }));
        let check = from(&vendor, &web).run(&["check"]);
        assert_eq!(check.code, 0, "{what}: {}", check.said());
    }
}

#[test]
fn what_zot_and_others_list_page_by_page_is_read_to_its_end() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let (tag, listed) = shelf.fallback();
    let signature = listed["manifests"].as_array().unwrap().clone();
    let mut sbom = descriptor(MANIFEST, b"an SBOM");
    sbom["artifactType"] = "application/spdx+json".into();
    for (last, code) in [(0, 0), (1, 0), (5, 0), (6, 3)] {
        let mut shelf = shelf.clone();
        shelf.files.remove(&tag);
        let (signature, sbom) = (signature.clone(), sbom.clone());
        let web = shelf.serve_with(Box::new(move |path, _, to| {
            let Some(query) = path.strip_prefix("referrers/") else { return false };
            let page: usize = query.split_once("page=").map_or(0, |(_, page)| page.parse().unwrap());
            let digest = query.split('?').next().unwrap();
            let next = format!("</v2/hello/referrers/{digest}?page={}>; rel=\"next\"", page + 1);
            let (entries, headers) = match page == last {
                true => (signature.clone(), vec![]),
                false => (vec![sbom.clone()], vec![("Link", next.as_str())]),
            };
            answer(to, "200 OK", &headers, &index(&entries));
            true
        }));
        let check = from(&vendor, &web).run(&["check"]);
        assert_eq!(check.code, code, "page {last}: {}", check.said());
        assert!(web.heard().len() < 20, "{}", web.heard().len());
    }
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
fn under_cosigns_older_tags_what_is_understood_counts_and_the_rest_is_told() {
    let vendor = vendor();
    let (shelf, bytes) = unlisted(&vendor);
    const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
    for ending in ["sig", "att"] {
        let tag = format!("{}.{ending}", fallback_tag(&shelf));
        for (layers, code, words) in [
            (vec![(SIMPLE, b"{}".as_slice()), (BUNDLE, &bytes)], 0, ""),
            (vec![(SIMPLE, b"{}")], 3, SIMPLE),
            (vec![("application/vnd.dsse.envelope.v1+json", b"{}")], 3, "vnd.dsse.envelope"),
        ] {
            let mut shelf = shelf.clone();
            let mut manifest = referring(&shelf, None, &layers);
            manifest.as_object_mut().unwrap().remove("subject");
            manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
            shelf.put(&tag, MANIFEST, manifest.to_string().into_bytes());
            let check = from(&vendor, &shelf.serve()).run(&["check"]);
            assert_eq!(check.code, code, "{ending} {words}: {}", check.said());
            assert!(check.stderr.contains(words), "{ending}: {}", check.stderr);
        }
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

#[test]
fn a_push_leaves_what_others_listed_as_it_is() {
    let vendor = vendor();
    let theirs = json!({
        "mediaType": MANIFEST, "digest": Digest::of(b"theirs").to_string(), "size": 6, "artifactType": "application/spdx+json",
        "annotations": { "org.example.note": "kept" }, "platform": { "architecture": "wasm", "os": "wasip2" }, "data": "dGhlaXJz",
    });
    let put = std::sync::Arc::new(std::sync::Mutex::new(Vec::<Value>::new()));
    let (seen, there) = (put.clone(), theirs.clone());
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
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]), (2, &theirs), "{index}");
}
