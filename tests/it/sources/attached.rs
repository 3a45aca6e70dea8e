//! Foreign attachments and files beside a plugin, which neither make it load nor keep it from loading. They follow the
//! published formats (in-toto, DSSE, Sigstore bundles, cosign).

use serde_json::Value;
use toolgate_policy::Digest;
use toolgate_tests::attest::{
    Attached, BUNDLE, MANIFEST, attachments, index, referring, shelve, shelve_blob,
};
use toolgate_tests::registry::{Registry, Shelf, answer};
use toolgate_tests::web::Web;
use toolgate_tests::{World, guest};

use super::lies::from;
use super::{customer, digest, vendor};

/// Asserts that the plugin loads, and that `check` reports the ignored attachment.
fn loads(what: &str, world: &World, word: &str) {
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{what}: {}", check.said());
    let line = check.stdout.lines().find(|line| line.starts_with("  ignored: ")).unwrap_or_default();
    assert!(line.contains(word), "{what}: not `{word}`: {}", check.said());
    if world.path("state/blobs/sha256").exists()
        && std::fs::read_dir(world.path("state/blobs/sha256")).unwrap().next().is_some()
    {
        // A copy from a remote source was stored without it.
        return;
    }
    let json = world.run(&["check", "--json"]).json();
    assert!(json["plugins"][0]["ignored"][0].as_str().unwrap().contains(word), "{what}: {json}");
}

/// Asserts that the plugin does not load, because no valid signature is there.
fn does_not_load(what: &str, world: &World, word: &str) {
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{what}: {}", check.said());
    assert!(check.stderr.contains(word), "{what}: not `{word}`: {}", check.said());
    assert!(
        check.stderr.contains("no signature that counts was found beside it"),
        "{what}: {}",
        check.said()
    );
}

#[test]
fn what_is_attached_beside_a_file_neither_keeps_it_from_loading_nor_makes_it_load() {
    let world = vendor().plugin_from("hello", "file:plugins/hello.wasm");
    let good = std::fs::read(world.path("plugins/hello.wasm.sigstore.json")).unwrap();
    // The signature has the name without digits in one case, the attachment in the other.
    let names = [("", ".0000abcd"), (".0000abcd", "")];
    for Attached { what, ending, bytes, word } in attachments(&world, &digest()) {
        for (ours, theirs) in names {
            let (signature, other) = (
                format!("plugins/hello.wasm{ours}.sigstore.json"),
                format!("plugins/hello.wasm{theirs}{ending}"),
            );
            world.put(&signature, &good, 0o644);
            world.put(&other, &bytes, 0o644);
            loads(what, &world, word);
            for command in [["verify", "plugins/hello.wasm"], ["inspect", "plugins/hello.wasm"]] {
                let ended = world.run(&command);
                assert_eq!(ended.code, 0, "{what}: {}", ended.said());
                let mut lines = ended.stdout.lines();
                // `inspect` does not verify, so it may not know the signer.
                let is_told = lines.any(|line| line.contains("ignored: ") && line.contains(word));
                let may_be_unknown = command[0] == "inspect" && word.contains("signature");
                assert!(is_told || may_be_unknown, "{what}, {command:?}: {}", ended.said());
            }
            std::fs::remove_file(world.path(&signature)).unwrap();
            does_not_load(what, &world, word);
            std::fs::remove_file(world.path(&other)).unwrap();
        }
    }
}

#[test]
fn what_is_attached_in_a_folder_of_plugins_is_of_its_plugin_alone() {
    let vendor = vendor();
    let bytes = guest::with_section(guest::seven(), "x", b"another");
    vendor.install("other", &bytes);
    for (number, Attached { ending, bytes, .. }) in attachments(&vendor, &digest()).into_iter().enumerate() {
        vendor.put(&format!("plugins/hello.wasm.{number:08x}{ending}"), &bytes, 0o644);
    }
    let outside = vendor.path("keys/vendor.pub");
    std::os::unix::fs::symlink(outside, vendor.path("plugins/hello.wasm.deadbeef.sig")).unwrap();
    let check = vendor.plugin_folder("dir:plugins").run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    assert!(
        check
            .stdout
            .contains("hello.wasm.deadbeef.sig: it is a link, and does not lead to a file in its own folder"),
        "{}",
        check.stdout
    );
    assert_eq!(check.stdout.matches("  ignored: ").count(), 17, "{}", check.stdout);
    assert!(check.stdout.ends_with(&format!("plugin other: ok: 1 tools, {}\n", Digest::of(&bytes))));
}

#[test]
fn what_is_attached_beside_a_url_neither_keeps_it_from_loading_nor_makes_it_load() {
    let vendor = vendor();
    let key: String = vendor.key("vendor").public().unwrap().id().hex().chars().take(8).collect();
    let good = std::fs::read(vendor.path("plugins/hello.wasm.sigstore.json")).unwrap();
    for Attached { what, ending, bytes, word } in attachments(&vendor, &digest()) {
        for signed in [true, false] {
            let (good, bytes, key) = (good.clone(), bytes.clone(), key.clone());
            let web = Web::answering(move |request, to| {
                let path = request.split_whitespace().nth(1).unwrap_or_default();
                match path.strip_prefix("/hello.wasm") {
                    Some("") => answer(to, "200 OK", &[], &guest::seven()),
                    Some(tail) if tail == ending => answer(to, "200 OK", &[], &bytes),
                    Some(tail) if signed && tail == format!(".{key}.sigstore.json") => {
                        answer(to, "200 OK", &[], &good);
                    }
                    _ => answer(to, "404 Not Found", &[], b""),
                }
            });
            let source = format!("http://{}/hello.wasm", web.address);
            let world =
                customer(&vendor).plugin_from("hello", &source).with(&format!("digest = \"{}\"", digest()));
            if signed { loads(what, &world, word) } else { does_not_load(what, &world, word) }
        }
    }
}

#[test]
fn a_server_that_answers_for_signatures_with_a_page_or_a_way_elsewhere_keeps_no_plugin_from_loading() {
    let vendor = vendor();
    let good = std::fs::read(vendor.path("plugins/hello.wasm.sigstore.json")).unwrap();
    for (status, header) in
        [("200 OK", ""), ("302 Found", "https://login.example.com/"), ("500 Oh", ""), ("400 No", "")]
    {
        let good = good.clone();
        let web = Web::answering(move |request, to| match request.split_whitespace().nth(1) {
            Some("/hello.wasm") => answer(to, "200 OK", &[], &guest::seven()),
            Some("/hello.wasm.sigstore.json") => answer(to, "200 OK", &[], &good),
            _ if header.is_empty() => answer(to, status, &[], b"<html>"),
            _ => answer(to, status, &[("Location", header)], b""),
        });
        let source = format!("http://{}/hello.wasm", web.address);
        let world =
            customer(&vendor).plugin_from("hello", &source).with(&format!("digest = \"{}\"", digest()));
        let check = world.run(&["check"]);
        assert_eq!(check.code, 0, "{status}: {}", check.said());
    }
}

/// A registry that lists these entries, with or instead of its signatures.
fn listing(shelf: &Shelf, entries: Vec<Value>, instead: bool, by_api: bool) -> Web {
    let mut shelf = shelf.clone();
    let (tag, mut own) = shelf.fallback();
    let own = own["manifests"].as_array_mut().unwrap();
    let all = if instead { entries } else { entries.into_iter().chain(own.drain(..)).collect() };
    let place = if by_api { format!("referrers/{}", shelf.manifest) } else { tag.clone() };
    shelf.files.remove(&tag);
    shelf.put(&place, "application/vnd.oci.image.index.v1+json", index(&all));
    shelf.serve()
}

#[test]
fn what_is_attached_in_a_registry_neither_keeps_it_from_loading_nor_makes_it_load() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    for Attached { what, ending, bytes, word } in attachments(&vendor, &digest()) {
        let kind = match ending {
            ".sig" => "application/vnd.toolgate.signature.ssh.v1",
            ".minisig" => "application/vnd.toolgate.signature.minisign.v1",
            _ => BUNDLE,
        };
        let mut shelf = shelf.clone();
        let manifest = referring(&shelf, Some(kind), &[(kind, &bytes)]);
        shelve_blob(&mut shelf, &bytes);
        let mut entry = shelve(&mut shelf, &manifest);
        entry["artifactType"] = kind.into();
        let word = if bytes.len() > 1 << 20 { "its layer has 1048577 bytes" } else { word };
        for by_api in [true, false] {
            let web = listing(&shelf, vec![entry.clone()], false, by_api);
            loads(what, &from(&vendor, &web), word);
            let web = listing(&shelf, vec![entry.clone()], true, by_api);
            does_not_load(what, &from(&vendor, &web), word);
        }
    }
}

#[test]
fn an_entry_of_a_list_that_is_lost_malformed_or_of_another_type_keeps_no_plugin_from_loading() {
    let vendor = vendor();
    let honest = Shelf::of(&vendor, "hello");
    let lost = |kind: &str| {
        let mut entry = toolgate_tests::registry::descriptor(MANIFEST, b"not there");
        entry["artifactType"] = kind.into();
        entry
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut entry = lost(BUNDLE);
        change(&mut entry);
        entry
    };
    let mut annotated = lost(BUNDLE);
    annotated["annotations"] =
        serde_json::json!({ "dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1" });
    for (what, entry, word) in [
        ("a manifest that is not there", lost(BUNDLE), "the answer was 404"),
        ("an SBOM", lost("application/spdx+json"), "it is of type application/spdx+json"),
        ("notation's signature", lost("application/vnd.cncf.notary.signature"), "vnd.cncf.notary.signature"),
        ("provenance by its note", annotated, "it is of type https://slsa.dev/provenance/v1"),
        ("a digest of another kind", with(&|e| e["digest"] = "sha512:00".into()), "no `digest` that is read"),
        ("urls", with(&|e| e["urls"] = serde_json::json!(["https://example.com"])), "it has `urls`"),
        ("no size", with(&|e| drop(e.as_object_mut().unwrap().remove("size"))), "no `size` that is read"),
        (
            "a list in a list",
            with(&|e| e["mediaType"] = "application/vnd.oci.image.index.v1+json".into()),
            BUNDLE,
        ),
        ("no descriptor", Value::Null, "no `mediaType` that is read"),
    ] {
        for by_api in [true, false] {
            loads(what, &from(&vendor, &listing(&honest, vec![entry.clone()], false, by_api)), word);
        }
    }
}

#[test]
fn however_much_is_attached_so_much_is_looked_at_and_a_type_that_says_so_comes_first() {
    let vendor = vendor();
    let mut shelf = Shelf::of(&vendor, "hello");
    // A hundred entries without a type, and a signature with its type.
    let entries: Vec<Value> = (0_u32..100)
        .map(|number| toolgate_tests::registry::descriptor(MANIFEST, &number.to_le_bytes()))
        .collect();
    let web = listing(&shelf, entries.clone(), false, true);
    let world = from(&vendor, &web);
    let check = world.run(&["check"]);
    assert!(check.code == 0 && check.stdout.contains("the answer was 404"), "{}", check.said());
    assert!(web.heard().len() < 64 + 12, "{} requests", web.heard().len());
    // A hundred entries with a signature's type: the report says that some were not read.
    let mut claiming = entries;
    claiming.iter_mut().for_each(|entry| entry["artifactType"] = BUNDLE.into());
    let web = listing(&shelf, claiming, true, true);
    does_not_load("a hundred that say so", &from(&vendor, &web), "the answer was 404");
    assert!(web.heard().len() < 64 + 12, "{} requests", web.heard().len());
    // A thousand of another type: the first are listed, the others counted.
    let sboms: Vec<Value> = (0_u32..1_000)
        .map(|number| {
            let mut entry = toolgate_tests::registry::descriptor(MANIFEST, &number.to_le_bytes());
            entry["artifactType"] = "application/spdx+json".into();
            entry
        })
        .collect();
    let check = from(&vendor, &listing(&shelf, sboms, false, true)).run(&["check"]);
    assert!(check.code == 0 && check.stdout.contains("936 more things are attached"), "{}", check.said());
    assert_eq!(check.stdout.matches("  ignored: ").count(), 65, "{}", check.stdout);
    // Nine of the maximum size.
    let large: Vec<Value> = (0_u8..9)
        .map(|number| {
            let bytes = vec![b' ' + number; 1 << 20];
            shelve_blob(&mut shelf, &bytes);
            let manifest = referring(&shelf, Some(BUNDLE), &[(BUNDLE, &bytes)]);
            shelve(&mut shelf, &manifest)
        })
        .collect();
    let world = from(&vendor, &listing(&shelf, large, true, true));
    does_not_load("nine megabytes", &world, "it is not JSON");
    // `check` summarises the first few in a sentence; `verify` has a line for each.
    let source = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    let source = source.lines().find_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"')).unwrap();
    let verified = world.run(&["verify", source]).stdout;
    assert_eq!(
        (verified.matches("is not JSON").count(), verified.matches("is not looked at").count()),
        (8, 1)
    );
}

#[test]
fn attestations_in_a_real_registry_keep_no_plugin_from_loading() {
    let Some(registry) = Registry::start() else { return };
    let vendor = vendor();
    let to = format!("oci://{}/team/hello:1.0", registry.host);
    for (number, Attached { ending, bytes, .. }) in attachments(&vendor, &digest()).into_iter().enumerate() {
        // Files too large for a signature are not uploaded as one.
        if bytes.len() <= 1 << 20 {
            vendor.put(&format!("plugins/hello.wasm.{number:08x}{ending}"), &bytes, 0o644);
        }
    }
    let pushed = vendor.run(&["push", "plugins/hello.wasm", &to]);
    assert_eq!(pushed.code, 0, "{}", pushed.said());
    let world = customer(&vendor).plugin_from("hello", &to);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
    assert!(check.stdout.contains("https://slsa.dev/provenance/v1"), "{}", check.stdout);
    let verified = world.run(&["verify", &to, "--plugin", "hello"]);
    assert!(verified.stdout.contains("by signer `vendor`, genuine"), "{}", verified.said());
}
