//! More attachments than are read: those of strangers, and copied signer hints, never displace a valid signature.

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::World;
use toolgate_tests::attest::{self, BUNDLE, IN_TOTO, MANIFEST, index, referring, shelve, shelve_blob};
use toolgate_tests::registry::Shelf;
use toolgate_tests::world::{TRUST, names};

use super::{customer, digest, vendor};

/// Number of foreign attachments: more than are read.
const MANY: usize = 80;

const NOTE: &str = "vnd.toolgate.signer";

/// `hello`, which requires two signatures and has both.
fn signed_by_two() -> World {
    let vendor = vendor();
    vendor.sign("hello", "second");
    vendor.trust(&both())
}

fn both() -> String {
    let both = "threshold = 2\nsigners = [\"vendor\", \"second\"]";
    TRUST.replace("threshold = 1\nsigners = [\"vendor\"]", both)
        + "[[signer]]\nid = \"second\"\nkey = \"keys/second.pub\"\n"
}

/// A world that requires both signatures.
fn customer_of_both(vendor: &World) -> World {
    let world = customer(vendor).trust(&both());
    world.put("keys/second.pub", &std::fs::read(vendor.path("keys/second.pub")).unwrap(), 0o644);
    world
}

fn digits(world: &World, key: &str) -> String {
    world.key(key).public().unwrap().id().hex()[..8].to_owned()
}

/// A genuine signature over the bytes of `hello`.
fn signature(world: &World, key: &str) -> Value {
    let statement = attest::statement(&digest(), "urn:toolgate:plugin:v1", &json!({}));
    attest::bundle(world, key, statement.to_string().as_bytes(), IN_TOTO)
}

/// A forged signature with the hint of another key.
fn imitation(world: &World, of: &str) -> Value {
    let mut forged = signature(world, "stranger");
    forged["verificationMaterial"]["publicKey"]["hint"] = world.key(of).public().unwrap().id().hex().into();
    forged
}

/// The same JSON value in different bytes.
fn spaced(value: &Value, number: usize) -> Vec<u8> {
    format!("{value}{}", " ".repeat(number + 1)).into_bytes()
}

/// Foreign attachments by kind; `spaced` makes each one distinct.
fn crowds(world: &World) -> Vec<(&'static str, Value)> {
    vec![
        ("genuine signatures of a stranger", signature(world, "stranger")),
        ("copies of a signer's signature", signature(world, "vendor")),
        ("imitations of a signer", imitation(world, "vendor")),
        ("something else", json!({ "nothing": true })),
    ]
}

#[test]
fn beside_a_file_no_number_of_strangers_pushes_out_a_signature() {
    let world = signed_by_two();
    let second = digits(&world, "second");
    let own = world.path(&format!("plugins/hello.wasm.{second}.sigstore.json"));
    let genuine = std::fs::read(&own).unwrap();
    std::fs::remove_file(&own).unwrap();
    let mut crowds = crowds(&world);
    // Copies of this signer's own hint do not help either if its file has its own name.
    crowds.push(("imitations of this signer", imitation(&world, "second")));
    let world = world.plugin_from("hello", "file:plugins/hello.wasm");
    for (what, other) in crowds {
        // The name that `sign` uses, and an uninformative one that sorts last.
        for name in [second.as_str(), "ffffffff"] {
            if what == "imitations of this signer" && name == "ffffffff" {
                continue;
            }
            let all = (0..MANY).map(|number| (format!("{number:08x}"), spaced(&other, number)));
            let crowd: Vec<String> = all
                .map(|(digits, bytes)| {
                    let file = format!("plugins/hello.wasm.{digits}.sigstore.json");
                    world.put(&file, &bytes, 0o644);
                    file
                })
                .collect();
            let file = format!("plugins/hello.wasm.{name}.sigstore.json");
            world.put(&file, &genuine, 0o644);
            let verified = world.run(&["verify", "plugins/hello.wasm"]);
            assert_eq!(verified.code, 0, "{what}, {name}: {}", verified.said());
            let check = world.run(&["check"]);
            assert_eq!(check.code, 0, "{what}, {name}: {}", check.said());
            assert!(verified.stdout.contains("it is not looked at"), "{what}: {}", verified.stdout);
            crowd.iter().chain([&file]).for_each(|file| std::fs::remove_file(world.path(file)).unwrap());
        }
    }
}

#[test]
fn beside_a_file_neither_names_of_other_signers_nor_large_files_push_out_a_signature() {
    let mut world = signed_by_two();
    let mut policy = both();
    let mut squatted = Vec::new();
    let own = digits(&world, "second");
    for number in 0.. {
        let name = format!("signer{number}");
        let digits = digits(&world, &name);
        // Its files sort before the genuine one.
        if digits < own {
            policy += &format!("[[signer]]\nid = \"{name}\"\nkey = \"keys/{name}.pub\"\n");
            squatted.push(digits);
        }
        if squatted.len() == 20 {
            break;
        }
    }
    world = world.trust(&policy).plugin_from("hello", "file:plugins/hello.wasm");
    for (number, digits) in squatted.iter().enumerate() {
        // All names of the other signers are taken, by large files and by imitations of this signer.
        let mut large = spaced(&imitation(&world, "second"), number);
        large.resize(1 << 20, b' ');
        world.put(&format!("plugins/hello.wasm.{digits}.sigstore.json"), &large, 0o644);
        for ending in ["sig", "minisig"] {
            world.put(&format!("plugins/hello.wasm.{digits}.{ending}"), b"no signature", 0o644);
        }
    }
    for (number, ending) in ["sig", "minisig"].iter().enumerate() {
        world.put(&format!("plugins/hello.wasm.{ending}"), &vec![b' '; (16 << 10) - number], 0o644);
    }
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn in_a_folder_of_plugins_no_number_of_strangers_pushes_out_a_signature() {
    let vendor = signed_by_two();
    for number in 0..MANY {
        let bytes = spaced(&signature(&vendor, "stranger"), number);
        vendor.put(&format!("plugins/hello.wasm.{number:08x}.sigstore.json"), &bytes, 0o644);
    }
    let check = vendor.plugin_folder("dir:plugins").run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

/// Adds `count` attachments to a shelf whose digests sort before those of all signatures.
fn before(
    shelf: &mut Shelf,
    own: &[Value],
    layers: &[Vec<u8>],
    note: Option<&str>,
    typed: bool,
) -> Vec<Value> {
    let first = own.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).min().unwrap();
    let mut entries = Vec::new();
    let mut number = 0_u64;
    for bytes in layers {
        shelve_blob(shelf, bytes);
        loop {
            number += 1;
            let mut manifest = referring(shelf, typed.then_some(BUNDLE), &[(BUNDLE, bytes)]);
            manifest["annotations"] = json!({ "number": number.to_string() });
            if let Some(note) = note {
                manifest["annotations"][NOTE] = note.into();
            }
            if Digest::of(manifest.to_string().as_bytes()).to_string() >= first {
                continue;
            }
            let mut entry = shelve(shelf, &manifest);
            if typed {
                entry["artifactType"] = BUNDLE.into();
            }
            if let Some(note) = note {
                entry["annotations"] = json!({ NOTE: note });
            }
            entries.push(entry);
            break;
        }
    }
    entries
}

/// A registry that lists these entries before the shelf's own.
fn crowded(shelf: &Shelf, entries: Vec<Value>, by_api: bool) -> toolgate_tests::web::Web {
    let mut shelf = shelf.clone();
    let (tag, own) = shelf.fallback();
    let all: Vec<Value> = entries.into_iter().chain(own["manifests"].as_array().unwrap().clone()).collect();
    let place = if by_api { format!("referrers/{}", shelf.manifest) } else { tag.clone() };
    shelf.files.remove(&tag);
    shelf.put(&place, "application/vnd.oci.image.index.v1+json", index(&all));
    shelf.serve()
}

#[test]
fn in_a_registry_no_number_of_strangers_pushes_out_what_toolgate_pushed() {
    let vendor = signed_by_two();
    let shelf = Shelf::of(&vendor, "hello");
    let own = shelf.fallback().1["manifests"].as_array().unwrap().clone();
    assert!(own.iter().all(|entry| entry["annotations"][NOTE].is_string()), "{own:?}");
    let note = |key: &str| format!("key {}", vendor.key(key).public().unwrap().id().hex());
    let [stranger, other] = ["stranger", "vendor"].map(note);
    for (what, value) in crowds(&vendor) {
        for (note, typed) in [
            (None, true),
            (None, false),
            (Some(&stranger), true),
            (Some(&other), true),
            (Some(&other), false),
        ] {
            // Imitations of a signer's own hint must be fewer than the reads per signer, or its signature is not found.
            let count = if note == Some(&other) { 12 } else { MANY };
            let mut shelf = shelf.clone();
            let layers: Vec<_> = (0..count).map(|number| spaced(&value, number)).collect();
            let entries = before(&mut shelf, &own, &layers, note.map(String::as_str), typed);
            for by_api in [true, false] {
                let web = crowded(&shelf, entries.clone(), by_api);
                let source = format!("oci://{}/hello:1", web.address);
                let check = customer_of_both(&vendor).plugin_from("hello", &source).run(&["check"]);
                assert_eq!(check.code, 0, "{what}, {note:?}, {typed}, {by_api}: {}", check.said());
                assert!(web.heard().len() < 2 * 64 + 16, "{} requests", web.heard().len());
            }
        }
    }
}

#[test]
fn who_copies_the_note_of_one_signer_pushes_out_no_other_and_it_is_said_that_not_all_was_looked_at() {
    let vendor = signed_by_two();
    let shelf = Shelf::of(&vendor, "hello");
    let own = shelf.fallback().1["manifests"].as_array().unwrap().clone();
    let copied = format!("key {}", vendor.key("vendor").public().unwrap().id().hex());
    let mut crowd = shelf.clone();
    let layers: Vec<_> = (0..MANY).map(|number| spaced(&imitation(&vendor, "vendor"), number)).collect();
    let entries = before(&mut crowd, &own, &layers, Some(&copied), true);
    let web = crowded(&crowd, entries, true);
    let source = format!("oci://{}/hello:1", web.address);
    let verified = customer_of_both(&vendor).run(&["verify", &source, "--plugin", "hello"]);
    assert_eq!(verified.code, 3, "{}", verified.said());
    assert!(verified.stdout.contains("by signer `second`, genuine"), "{}", verified.said());
    assert!(!verified.stdout.contains("by signer `vendor`"), "{}", verified.said());
    assert!(verified.stdout.contains("it is not looked at"), "{}", verified.said());
    // The remedy: signatures as files.
    let world = customer_of_both(&vendor).plugin_from("hello", "file:plugins/hello.wasm");
    for name in names(&vendor.path("plugins")) {
        world.put(
            &format!("plugins/{name}"),
            &std::fs::read(vendor.path("plugins").join(&name)).unwrap(),
            0o644,
        );
    }
    assert_eq!(world.run(&["check"]).code, 0);
}

#[test]
fn in_a_registry_neither_many_files_of_one_attachment_nor_large_ones_push_out_a_signature() {
    let vendor = signed_by_two();
    let honest = Shelf::of(&vendor, "hello");
    let own = honest.fallback().1["manifests"].as_array().unwrap().clone();
    let many: Vec<Vec<u8>> = (0..64).map(|number| spaced(&json!({}), number)).collect();
    let mut shelf = honest.clone();
    many.iter().for_each(|bytes| shelve_blob(&mut shelf, bytes));
    let layers: Vec<(&str, &[u8])> = many.iter().map(|bytes| (BUNDLE, bytes.as_slice())).collect();
    let manifest = referring(&shelf, Some(BUNDLE), &layers);
    let entries = vec![shelve(&mut shelf, &manifest)];
    let webs = [("many files", crowded(&shelf, entries, true))];
    let mut shelf = honest.clone();
    let large: Vec<Vec<u8>> = (0..10_u8).map(|number| vec![b'0' + number; 1 << 20]).collect();
    let entries = before(&mut shelf, &own, &large, None, true);
    // Attachments under cosign 2's tag are not displaced by others, and displace none.
    let tag = format!("manifests/{}.att", shelf.manifest.replace(':', "-"));
    let manifest = referring(&shelf, None, &layers);
    many.iter().for_each(|bytes| shelve_blob(&mut shelf, bytes));
    shelf.put(&tag, MANIFEST, manifest.to_string().into_bytes());
    let webs = webs.into_iter().chain([("large files", crowded(&shelf, entries, true))]);
    for (what, web) in webs {
        let source = format!("oci://{}/hello:1", web.address);
        let check = customer_of_both(&vendor).plugin_from("hello", &source).run(&["check"]);
        assert_eq!(check.code, 0, "{what}: {}", check.said());
    }
}

#[test]
fn a_signature_under_cosigns_older_tag_is_found_whatever_is_attached() {
    let vendor = vendor();
    let honest = Shelf::of(&vendor, "hello");
    let (tag, _) = honest.fallback();
    let mut shelf = honest.clone();
    let [genuine, stranger] =
        ["vendor", "stranger"].map(|key| signature(&vendor, key).to_string().into_bytes());
    shelve_blob(&mut shelf, &genuine);
    shelve_blob(&mut shelf, &stranger);
    let under_tag = referring(&shelf, None, &[(BUNDLE, &genuine)]).to_string().into_bytes();
    shelf.put(&format!("{tag}.att"), MANIFEST, under_tag);
    let manifest = referring(&shelf, Some(BUNDLE), &[(BUNDLE, &stranger)]);
    let entry = shelve(&mut shelf, &manifest);
    shelf.put(&tag, "application/vnd.oci.image.index.v1+json", index(&[entry]));
    let web = shelf.serve();
    let source = format!("oci://{}/hello:1", web.address);
    let check = customer(&vendor).plugin_from("hello", &source).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn in_a_bundle_no_number_of_strangers_or_copies_pushes_out_a_signature() {
    let vendor = signed_by_two();
    let shelf = Shelf::of(&vendor, "hello");
    let component = &shelf.files[&format!("manifests/{}", shelf.manifest)].1;
    for (what, value) in crowds(&vendor) {
        let layout = vendor.path("crowded");
        drop(std::fs::remove_dir_all(&layout));
        let exported = vendor.run(&["bundle", "export", "plugins/hello.wasm", "--out", "crowded"]);
        assert_eq!(exported.code, 0, "{}", exported.said());
        let blob = |bytes: &[u8]| {
            let hex = Digest::of(bytes).to_string().replace("sha256:", "");
            std::fs::write(layout.join("blobs/sha256").join(hex), bytes).unwrap();
        };
        // Many copies: each signer has as many reads as there are rounds.
        let count = if what == "imitations of a signer" { 30 } else { MANY };
        let mut listed = Vec::new();
        for number in 0..count {
            let bytes = spaced(&value, number);
            let mut manifest = referring(&shelf, Some(BUNDLE), &[(BUNDLE, &bytes)]);
            manifest["subject"] = toolgate_tests::registry::descriptor(MANIFEST, component);
            let manifest = manifest.to_string().into_bytes();
            blob(&bytes);
            blob(&manifest);
            listed.push(toolgate_tests::registry::descriptor(MANIFEST, &manifest));
        }
        let path = layout.join("index.json");
        let mut top: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        top["manifests"].as_array_mut().unwrap().extend(listed);
        std::fs::write(&path, top.to_string()).unwrap();
        let world = customer_of_both(&vendor);
        let imported = world.run(&["bundle", "import", layout.to_str().unwrap()]);
        assert_eq!(imported.code, 0, "{what}: {}", imported.said());
        // Names are in reading order, and copies take no other signer's place.
        let second = format!("hello.wasm.{}.sigstore.json", digits(&vendor, "second"));
        assert!(
            names(&world.path("plugins")).contains(&second),
            "{what}: {:?}",
            names(&world.path("plugins"))
        );
        let check = world.plugin_from("hello", "file:plugins/hello.wasm").run(&["check"]);
        assert_eq!(check.code, 0, "{what}: {}", check.said());
    }
}
