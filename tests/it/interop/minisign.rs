//! `minisign -S`, and `-V` for comparison.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};

use toolgate_tests::{World, peer};

use super::{assert_loads, assert_refused, known_by, must, run, unsigned};

const COMPONENT: &str = "plugins/seven.wasm";

fn minisign() -> Option<PathBuf> {
    peer("TOOLGATE_MINISIGN")
}

/// Creates a key without a password, as `keys/NAME` and `keys/NAME.pub`.
fn make(minisign: &Path, world: &World, name: &str) {
    let (public, private) = (format!("keys/{name}.pub"), format!("keys/{name}"));
    must(minisign, &["-G", "-W", "-f", "-p", &public, "-s", &private], world);
}

fn sign(minisign: &Path, world: &World, key: &str, options: &[&str]) {
    let key = format!("keys/{key}");
    must(minisign, &[&["-S", "-s", &key, "-m", COMPONENT], options].concat(), world);
}

/// Whether minisign accepts the prehashed signature with `key`.
fn they_accept(minisign: &Path, world: &World, key: &str) -> bool {
    let public = format!("keys/{key}.pub");
    run(minisign, &["-V", "-H", "-q", "-p", &public, "-m", COMPONENT], world).status.success()
}

#[test]
fn what_minisign_signs_loads() {
    let Some(minisign) = minisign() else { return };
    let world = unsigned().trust(&known_by("keys/mini.pub"));
    make(&minisign, &world, "mini");
    for options in [&[][..], &["-t", "whatever, says who signs", "-c", "anything"]] {
        sign(&minisign, &world, "mini", options);
        assert!(they_accept(&minisign, &world, "mini"));
        assert_loads(&world, "minisign signature");
    }
}

#[test]
fn another_key_file_or_form_is_refused_here_and_by_minisign() {
    let Some(minisign) = minisign() else { return };
    let world = unsigned().trust(&known_by("keys/mini.pub"));
    make(&minisign, &world, "mini");
    make(&minisign, &world, "other");
    let refused = |words: &str| {
        assert!(!they_accept(&minisign, &world, "mini"), "{words}");
        assert_refused(&world, words);
    };

    sign(&minisign, &world, "other", &[]);
    refused("there is a signature by minisign key");

    sign(&minisign, &world, "mini", &["-l"]);
    refused("older form");

    sign(&minisign, &world, "mini", &[]);
    let signature = format!("{COMPONENT}.minisig");
    let text = std::fs::read_to_string(world.path(&signature)).unwrap();
    world.put(&signature, text.replace("file:seven", "file:eight").as_bytes(), 0o644);
    refused("is not a genuine signature over these bytes");
    world.put(&signature, text.as_bytes(), 0o644);
    assert!(they_accept(&minisign, &world, "mini"));

    let whole = std::fs::read(world.path(COMPONENT)).unwrap();
    world.put(COMPONENT, &[&whole[..], b"\0\x01\0"].concat(), 0o644);
    refused("is not a genuine signature over these bytes");
}

#[test]
fn a_minisign_key_is_one_signer_whatever_number_it_is_given() {
    let Some(minisign) = minisign() else { return };
    let world = unsigned();
    make(&minisign, &world, "mini");
    let public = std::fs::read_to_string(world.path("keys/mini.pub")).unwrap();
    // Changes three bytes of the key number, in base64; the key itself stays the same.
    let line = public.lines().nth(1).unwrap();
    let renumbered = public.replace(line, &format!("{}AAAA{}", &line[..4], &line[8..]));
    assert_ne!(renumbered, public);
    let world = world.file("keys/renumbered.pub", &renumbered);
    let twice = known_by("keys/mini.pub") + "[[signer]]\nid = \"again\"\nkey = \"keys/renumbered.pub\"\n";
    let check = world.trust(&twice).run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains("is the same; a key counts once"), "{}", check.stderr);
}

#[test]
fn a_copied_number_takes_nothing_from_whose_it_is() {
    let Some(minisign) = minisign() else { return };
    let world = unsigned();
    make(&minisign, &world, "mini");
    make(&minisign, &world, "other");
    let key = |name: &str| std::fs::read_to_string(world.path(&format!("keys/{name}.pub"))).unwrap();
    let (ours, theirs) = (key("mini"), key("other"));
    let bytes = |text: &str| STANDARD.decode(text.lines().nth(1).unwrap()).unwrap();
    let copied = [&bytes(&ours)[..10], &bytes(&theirs)[10..]].concat();
    let copied = format!("untrusted comment: a copied number\n{}\n", STANDARD.encode(copied));
    let first = "[[signer]]\nid = \"copied\"\nkey = \"keys/copied.pub\"\n[[signer]]\nid = \"vendor\"";
    let policy = known_by("keys/mini.pub").replace("[[signer]]\nid = \"vendor\"", first);
    let world = world.file("keys/copied.pub", &copied).trust(&policy);
    sign(&minisign, &world, "mini", &[]);
    assert_loads(&world, "minisign signature");
}
