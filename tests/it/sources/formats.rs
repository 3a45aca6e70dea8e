//! Signatures as other programs store them in registries, and responses of registries: cosign, ORAS, GHCR, GitLab, Zot.
//! All are built from the published formats, without these programs. `registry.rs` uses a real registry (Debian's
//! docker-registry) and a real tool (skopeo).

use serde_json::{Value, json};
use toolgate_tests::World;
use toolgate_tests::attest::{
    Attached, BUNDLE, EMPTY, INDEX, MANIFEST, about_something_else, index, referring, shelve, shelve_blob,
};
use toolgate_tests::registry::{Shelf, answer, descriptor};

use super::lies::from;
use super::referrers::{fallback_tag, unlisted};
use super::vendor;

/// Asserts that the plugin loads by the fallback tag and by the referrers API, with and without foreign statements
/// beside its signature.
fn is_found(what: &str, vendor: &World, shelf: &Shelf, entries: &[Value]) {
    for place in [fallback_tag(shelf), format!("referrers/{}", shelf.manifest)] {
        for among_others in [false, true] {
            let mut shelf = shelf.clone();
            let mut all = entries.to_vec();
            if among_others {
                all.splice(0..0, foreign(vendor, &mut shelf));
                let last = all.remove(0);
                all.push(last);
            }
            shelf.put(&place, INDEX, index(&all));
            let check = from(vendor, &shelf.serve()).run(&["check"]);
            assert_eq!(check.code, 0, "{what}, {place}, among others {among_others}: {}", check.said());
        }
    }
}

/// Adds foreign attachments to a shelf, listed as cosign does: by the type of the configuration.
pub(super) fn foreign(vendor: &World, shelf: &mut Shelf) -> Vec<Value> {
    let foreign = about_something_else(vendor, &shelf.component);
    let put = |attached: Attached| {
        let manifest = referring(shelf, Some(BUNDLE), &[(BUNDLE, &attached.bytes)]);
        shelve_blob(shelf, &attached.bytes);
        let mut entry = shelve(shelf, &manifest);
        entry["artifactType"] = EMPTY.into();
        entry
    };
    foreign.into_iter().map(put).collect()
}

#[test]
fn what_cosign_writes_is_found_also_where_its_list_has_the_type_of_the_configuration() {
    let vendor = vendor();
    let (mut shelf, bytes) = unlisted(&vendor);
    // As cosign's BUNDLE_SPEC requires: a title on the layer, annotations on the manifest, a subject without size.
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
    // Before artefact types existed, the configuration's type was used.
    let mut shelf = shelf;
    let mut manifest = referring(&shelf, None, &[(LAYER, &bytes)]);
    manifest["config"]["mediaType"] = BUNDLE.into();
    let entry = shelve(&mut shelf, &manifest);
    is_found("by the configuration's type", &vendor, &shelf, &[entry]);
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
    for (last, code) in [(0, 0), (1, 0), (31, 0), (32, 3)] {
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
        assert_eq!(
            check.said().contains("more pages than are read"),
            code == 3,
            "page {last}: {}",
            check.said()
        );
        assert!(web.heard().len() < 50, "{}", web.heard().len());
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
