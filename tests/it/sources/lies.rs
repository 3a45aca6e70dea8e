//! Registries with false responses: either the right component loads, or none does.

use std::io::Write;
use std::net::TcpListener;

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::registry::{Count, Lie, Shelf, answer, count, keeps};
use toolgate_tests::web::{Web, was_connected};
use toolgate_tests::{World, guest, plugin};

use super::{customer, digest, vendor};

pub(super) fn from(vendor: &World, web: &Web) -> World {
    customer(vendor).plugin_from("hello", &format!("oci://{}/hello:1", web.address))
}

/// Asserts that nothing loads, with this exit code and text, and that nothing is stored.
pub(super) fn assert_refused(what: &str, world: &World, code: i32, words: &str) {
    let check = world.run(&["check"]);
    assert_eq!(check.code, code, "{what}: {}", check.said());
    assert!(check.stderr.contains(words), "{what}: {}", check.stderr);
    assert!(!keeps(world, &digest()), "{what}");
}

#[test]
fn an_honest_registry_is_believed() {
    let vendor = vendor();
    let web = Shelf::of(&vendor, "hello").serve();
    let world = from(&vendor, &web);
    let called = world.call("hello_seven", &json!({}));
    assert_eq!((called.code, called.stdout.trim()), (0, "7"), "{}", called.said());
}

#[test]
fn a_manifest_of_any_other_form_is_refused() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 14] = [
        ("an index", |m| m["manifests"] = json!([]), "it is an index"),
        (
            "an index by its type",
            |m| {
                m["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
            },
            "it is an index",
        ),
        (
            "docker's own form",
            |m| {
                m["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
            },
            "which is not an image manifest",
        ),
        (
            "a second layer",
            |m| {
                let layer = m["layers"][0].clone();
                m["layers"].as_array_mut().unwrap().push(layer);
            },
            "it has 2 layers",
        ),
        ("no layer", |m| m["layers"] = json!([]), "it has 0 layers"),
        (
            "a packed layer",
            |m| {
                m["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip".into();
            },
            "its layer is of type",
        ),
        (
            "an unknown configuration",
            |m| {
                m["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
            },
            "its configuration is of type",
        ),
        ("urls", |m| m["layers"][0]["urls"] = json!(["https://example.com/x"]), "it has `urls`"),
        (
            "urls of the configuration",
            |m| m["config"]["urls"] = json!(["https://example.com/x"]),
            "it has `urls`",
        ),
        ("a huge layer", |m| m["layers"][0]["size"] = json!(67_108_865_u64), "the limit is 67108864"),
        ("a smaller layer", |m| m["layers"][0]["size"] = json!(10), "it has more than 10 bytes"),
        ("a larger layer", |m| m["layers"][0]["size"] = json!(1_000_000), "1000000 were announced"),
        ("a digest of another kind", |m| m["layers"][0]["digest"] = "sha512:00".into(), "no `digest`"),
        ("another schema", |m| m["schemaVersion"] = 1.into(), "no `schemaVersion 2`"),
    ];
    let vendor = vendor();
    let honest = Shelf::of(&vendor, "hello");
    for (what, change, words) in changes {
        let mut shelf = honest.clone();
        let mut manifest = shelf.component_manifest();
        change(&mut manifest);
        shelf.tag(&manifest);
        assert_refused(what, &from(&vendor, &shelf.serve()), 3, words);
    }
}

#[test]
fn a_manifest_that_is_huge_twofold_or_no_json_is_refused() {
    let vendor = vendor();
    let honest = Shelf::of(&vendor, "hello");
    let text = honest.component_manifest().to_string();
    for (what, bytes, words) in [
        ("huge", vec![b' '; (4 << 20) + 1], "it has more than 4194304 bytes"),
        ("no JSON", b"hello".to_vec(), "it is not JSON"),
        ("a key twice", text.replacen('{', "{\"layers\":[],", 1).into_bytes(), "its manifest is not read"),
        ("deep", "[".repeat(10_000).into_bytes(), "its manifest is not read"),
    ] {
        let mut shelf = honest.clone();
        shelf.put("manifests/1", "application/vnd.oci.image.manifest.v1+json", bytes);
        assert_refused(what, &from(&vendor, &shelf.serve()), 3, words);
    }
}

#[test]
fn bytes_other_than_those_of_the_digest_are_refused() {
    type Answer = fn(&mut dyn Write);
    let lies: [(&str, Answer, i32, &str); 7] = [
        (
            "a flipped bit",
            |to| {
                let mut bytes = guest::seven();
                *bytes.last_mut().unwrap() ^= 1;
                answer(to, "200 OK", &[], &bytes);
            },
            3,
            "was asked for",
        ),
        ("another plugin", |to| answer(to, "200 OK", &[], &plugin("hello")), 3, "it has more than"),
        (
            "a short body",
            |to| {
                drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nshort"));
            },
            4,
            "the exchange broke",
        ),
        ("a short body that says so", |to| answer(to, "200 OK", &[], b"short"), 3, "were announced"),
        (
            "a packed body",
            |to| {
                answer(to, "200 OK", &[("Content-Encoding", "gzip")], b"\x1f\x8b");
            },
            3,
            "is packed as `gzip`",
        ),
        (
            "a redirect to a metadata service",
            |to| {
                answer(to, "307 There", &[("Location", "https://169.254.169.254/latest/")], b"");
            },
            4,
            "no address of the host may be reached",
        ),
        (
            "a redirect in the clear",
            |to| {
                answer(to, "307 There", &[("Location", "http://example.com/blob")], b"");
            },
            3,
            "plain http goes to this machine only",
        ),
    ];
    let vendor = vendor();
    for (what, lie, code, words) in lies {
        let shelf = Shelf::of(&vendor, "hello");
        let blob = format!("blobs/{}", shelf.component);
        let web = shelf.serve_with(Box::new(move |path, _, to| {
            if path == blob {
                lie(to);
            }
            path == blob
        }));
        assert_refused(what, &from(&vendor, &web), code, words);
    }
}

#[test]
fn a_registry_that_contradicts_itself_about_a_manifest_is_refused() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let manifest = shelf.files["manifests/1"].1.clone();
    let web = shelf.serve_with(Box::new(move |path, _, to| {
        if path == "manifests/1" {
            let other = Digest::of(b"other").to_string();
            answer(to, "200 OK", &[("Docker-Content-Digest", &other)], &manifest);
        }
        path == "manifests/1"
    }));
    assert_refused("another digest", &from(&vendor, &web), 3, "was asked for");
}

#[test]
fn a_manifest_asked_for_by_digest_is_that_one_or_none() {
    let vendor = vendor();
    let mut shelf = Shelf::of(&vendor, "hello");
    let wanted = shelf.manifest.clone();
    let other = Shelf::of(
        &{
            let world = World::new();
            world.install("hello", &plugin("hello"));
            world
        },
        "hello",
    );
    let by_digest =
        |web: &Web| customer(&vendor).plugin_from("hello", &format!("oci://{}/hello@{wanted}", web.address));
    let honest = by_digest(&shelf.clone().serve()).run(&["check"]);
    assert_eq!(honest.code, 0, "{}", honest.said());
    let (kind, bytes) = other.files["manifests/1"].clone();
    shelf.put(&format!("manifests/{wanted}"), &kind, bytes);
    assert_refused("another manifest", &by_digest(&shelf.serve()), 3, "was asked for");
}

#[test]
fn a_tag_that_moves_is_looked_at_once_a_load() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let counted = Count::default();
    let lie: Box<Lie> = Box::new(move |path, _, to| {
        // From the second request on the tag names something that would be refused.
        let moved = path == "manifests/1" && count(&counted) > 0;
        if moved {
            answer(to, "200 OK", &[], b"{}");
        }
        moved
    });
    let web = shelf.serve_with(lie);
    let check = from(&vendor, &web).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    let asked = web.heard().iter().filter(|request| request.contains("/manifests/1 ")).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_pin_holds_whatever_a_tag_means() {
    let vendor = vendor();
    let web = Shelf::of(&vendor, "hello").serve();
    let other = Digest::of(b"what was reviewed");
    let world = from(&vendor, &web).with(&format!("digest = \"{other}\""));
    assert_refused("another pin", &world, 3, "and the configuration pins");
}

#[test]
fn with_a_pin_what_was_pulled_serves_when_the_registry_is_gone() {
    let vendor = vendor();
    let web = Shelf::of(&vendor, "hello").serve();
    let world = from(&vendor, &web).with(&format!("digest = \"{}\"", digest()));
    assert_eq!(world.run(&["check"]).code, 0);
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let gone =
        text.replace(&web.address.to_string(), &format!("127.0.0.1:{}", toolgate_tests::web::dead_port()));
    world.put("toolgate.toml", gone.as_bytes(), 0o644);
    let check = world.run_as_is(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    let unpinned: String =
        gone.lines().filter(|line| !line.starts_with("digest")).collect::<Vec<_>>().join("\n");
    world.put("toolgate.toml", unpinned.as_bytes(), 0o644);
    let check = world.run_as_is(&["check"]);
    assert_eq!(check.code, 4, "{}", check.said());
}

#[test]
fn what_was_kept_and_is_revoked_since_does_not_load() {
    let vendor = vendor();
    let web = Shelf::of(&vendor, "hello").serve();
    let world = from(&vendor, &web).with(&format!("digest = \"{}\"", digest()));
    assert_eq!(world.run(&["check"]).code, 0);
    let revoke = format!("[[revoke]]\ndigest = \"{}\"\nreason = \"it phones home\"\n", digest());
    let world = world.trust(&format!("{}{revoke}", toolgate_tests::world::TRUST));
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stderr.contains("is revoked: it phones home"), "{}", check.stderr);
}

#[test]
fn a_redirect_into_this_machine_or_a_private_network_reaches_nobody() {
    let vendor = vendor();
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    let places =
        [format!("http://{}/blob", inside.local_addr().unwrap()), "https://10.0.0.1/blob".to_owned()];
    for place in places {
        let shelf = Shelf::of(&vendor, "hello");
        let (blob, to_there) = (format!("blobs/{}", shelf.component), place.clone());
        let web = shelf.serve_with(Box::new(move |path, _, to| {
            if path == blob {
                answer(to, "307 There", &[("Location", &to_there)], b"");
            }
            path == blob
        }));
        assert_refused(&place, &from(&vendor, &web), 4, "no address of the host may be reached");
    }
    assert!(!was_connected(&inside));
}
