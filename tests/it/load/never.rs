//! Plugins that must never load, each with its reason: a refusal for another reason would prove nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::world::TRUST;
use toolgate_tests::{World, guest};

use super::lock::{approve, seven};
use super::{assert_refused, beside_a_good_one};

const BUNDLE: &str = "plugins/bad.wasm.sigstore.json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Asserts that the world's plugin `bad` is refused with this text, and the one beside it is not.
fn refused(what: &str, world: &World, words: &str) {
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{what}: {}", check.said());
    let line = check.stderr.lines().find(|line| line.starts_with("plugin bad: refused: "));
    let line = line.unwrap_or_else(|| panic!("{what}: {}", check.said()));
    assert!(line.contains(words), "{what}: not `{words}`: {line}");
    assert!(check.stdout.contains("plugin good: ok"), "{what}: {}", check.said());
}

/// Changes one byte of a file.
fn turn(world: &World, file: &str, at: impl Fn(&[u8]) -> usize) {
    let mut bytes = std::fs::read(world.path(file)).unwrap();
    let at = at(&bytes);
    // A digit, so that text keeps its form.
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    std::fs::write(world.path(file), bytes).unwrap();
}

/// Position at this distance after a text.
fn after(words: &'static str, further: usize) -> impl Fn(&[u8]) -> usize {
    move |bytes| {
        let found = bytes.windows(words.len()).position(|window| window == words.as_bytes());
        found.unwrap_or_else(|| panic!("it has no `{words}`")) + words.len() + further
    }
}

#[test]
fn a_changed_byte_is_told_as_one_of_the_file_in_which_it_is() {
    let revoked = format!("[[revoke]]\ndigest = \"{}\"\n", Digest::of(b"something else"));
    let world = World::with_own_cache()
        .plugin("p", &seven("Gives seven."))
        .locked()
        .trust(&(TRUST.to_owned() + &revoked));
    approve(&world);
    assert_eq!(world.run(&["tools"]).code, 0, "it is in force");
    let (last, middle) = (|bytes: &[u8]| bytes.len() - 1, |bytes: &[u8]| bytes.len() / 2);
    let (sig, hint) = (after("\"sig\": \"", 20), after("\"hint\": \"", 20));
    let digest = after("digest = \"sha256:", 20);
    let bundle = "plugins/p.wasm.sigstore.json";
    let cached = format!("state/cache/{}", world.cached()[0]);
    type At<'a> = &'a dyn Fn(&[u8]) -> usize;
    let turns: [(&str, At<'_>, i32, &str); 7] = [
        ("plugins/p.wasm", &last, 3, "p.wasm.sigstore.json is a signature over other bytes"),
        ("plugins/p.wasm", &middle, 3, "p.wasm.sigstore.json is a signature over other bytes"),
        (bundle, &sig, 3, "p.wasm.sigstore.json is not a genuine signature over these bytes"),
        (bundle, &hint, 3, "`keyid` names another key than `hint`"),
        ("trust.toml", &digest, 3, "raise `version` with every change"),
        ("toolgate.lock", &digest, 2, "it was changed since `toolgate plugin` wrote it"),
        (&cached, &middle, 0, "it is damaged or forged"),
    ];
    for (file, at, code, words) in turns {
        let before = std::fs::read(world.path(file)).unwrap();
        turn(&world, file, at);
        let check = world.run_as_is(&["check"]);
        assert_eq!(check.code, code, "{file}: {}", check.said());
        assert!(check.stderr.contains(words), "{file}: not `{words}`: {}", check.said());
        std::fs::write(world.path(file), before).unwrap();
    }
    // The stored copy is checked if its source has something else.
    let kept = format!("state/blobs/sha256/{}", Digest::of(&seven("Gives seven.")).hex());
    world.install("p", &seven("Gives eight."));
    for (code, touched) in [(0, false), (3, true)] {
        let called = world.run(&["call", "p_seven"]);
        assert_eq!(called.code, code, "{}", called.said());
        let told = called.stderr.contains("ALARM: what was kept of a component is damaged and not used");
        assert_eq!(told, touched, "{}", called.said());
        turn(&world, &kept, middle);
    }
}

/// A genuine bundle by `vendor` with any statement and payload type.
fn bundle(world: &World, statement: &[u8], payload_type: &str) -> Value {
    let key = KeyPair::from_pem(&std::fs::read_to_string(world.path("keys/vendor")).unwrap()).unwrap();
    let mut message =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), statement.len()).into_bytes();
    message.extend_from_slice(statement);
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": world.key("vendor").public().unwrap().id().hex() } },
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement),
            "payloadType": payload_type,
            "signatures": [{ "sig": STANDARD.encode(key.sign(&message).unwrap()) }],
        },
    })
}

fn statement(subject: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "urn:toolgate:plugin:v1",
        "predicate": {},
    })
}

/// The plugin `bad` as a subject.
fn ours() -> Value {
    json!({ "digest": { "sha256": Digest::of(&seven("bad")).hex() } })
}

#[test]
fn what_is_genuinely_signed_about_several_subjects_none_or_another_kind_is_refused_for_that() {
    let world = beside_a_good_one(&seven("bad"));
    let put = |bundle: &Value| world.put(BUNDLE, bundle.to_string().as_bytes(), 0o644);
    let signed = |statement: &Value| bundle(&world, statement.to_string().as_bytes(), PAYLOAD_TYPE);
    put(&signed(&statement(json!([ours()]))));
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "it is signed as it should be: {}", check.said());

    let other = json!({ "digest": { "sha256": "0".repeat(64) } });
    for (what, subject, words) in [
        ("first of two", json!([ours(), other]), "it has 2 subjects; exactly one is accepted"),
        ("last of two", json!([other, ours()]), "it has 2 subjects; exactly one is accepted"),
        ("the same twice", json!([ours(), ours()]), "it has 2 subjects; exactly one is accepted"),
        ("none", json!([]), "it has 0 subjects; exactly one is accepted"),
        ("no list", ours(), "`subject` is not a list"),
        ("no digest", json!([{ "digest": {} }]), "the subject's digest has no `sha256`"),
        ("an empty digest", json!([{ "digest": { "sha256": "" } }]), "the subject's sha256 is not a digest"),
        ("only a name", json!([{ "name": "bad.wasm" }]), "the subject has no `digest`"),
        ("another", json!([other]), "is a signature over other bytes"),
    ] {
        put(&signed(&statement(subject)));
        refused(what, &world, words);
    }

    let text = statement(json!([ours()])).to_string();
    let other = "application/vnd.other+json";
    let not_ours = format!("`payloadType` is not {PAYLOAD_TYPE}");
    put(&bundle(&world, text.as_bytes(), other));
    refused("of another type", &world, &not_ours);
    for (what, signed_as, says, words) in [
        (
            "made for another type, and says ours",
            other,
            PAYLOAD_TYPE,
            "is not a genuine signature over these bytes",
        ),
        ("made for ours, and says another", PAYLOAD_TYPE, other, not_ours.as_str()),
    ] {
        let mut swapped = bundle(&world, text.as_bytes(), signed_as);
        swapped["dsseEnvelope"]["payloadType"] = says.into();
        put(&swapped);
        refused(what, &world, words);
    }
}

#[test]
fn what_is_genuinely_signed_and_spelled_in_another_base64_or_signed_by_nobody_is_refused_for_that() {
    let world = beside_a_good_one(&seven("bad"));
    // Of a length that leaves unused bits in the last base64 digit.
    let text = (0..3)
        .map(|more| statement(json!([ours()])).to_string() + &" ".repeat(more))
        .find(|text| text.len() % 3 == 1)
        .unwrap();
    let made = || bundle(&world, text.as_bytes(), PAYLOAD_TYPE);
    let put = |bundle: &Value| world.put(BUNDLE, bundle.to_string().as_bytes(), 0o644);
    put(&made());
    assert_eq!(world.run(&["check"]).code, 0, "it is signed as it should be");
    let payload = |edit: &dyn Fn(String) -> String| {
        let mut bundle = made();
        let is = bundle["dsseEnvelope"]["payload"].as_str().unwrap().to_owned();
        bundle["dsseEnvelope"]["payload"] = edit(is).into();
        bundle
    };
    let other_bits = |text: String| {
        let bare = text.strip_suffix("==").unwrap();
        let (rest, last) = bare.split_at(bare.len() - 1);
        // The last digit of a single byte has four unused bits: the next digit in the alphabet sets one.
        format!("{rest}{}==", char::from(last.as_bytes()[0] + 1))
    };
    for (what, bundle) in [
        ("not padded", payload(&|text| text.trim_end_matches('=').to_owned())),
        ("padded twice", payload(&|text| text + "==")),
        ("other bits", payload(&other_bits)),
        ("broken in two", payload(&|text| format!("{}\n{}", &text[..40], &text[40..]))),
        ("nothing", payload(&|_| String::new())),
    ] {
        put(&bundle);
        refused(what, &world, "`payload` is not base64 in its one canonical spelling");
    }
    // The URL-safe alphabet; two of three signatures contain a digit that differs.
    let url = std::iter::repeat_with(&made).find_map(|mut bundle| {
        let sig = bundle["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap().to_owned();
        let other = sig.replace('+', "-").replace('/', "_");
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = other.clone().into();
        (sig != other).then_some(bundle)
    });
    put(&url.unwrap());
    refused("for URLs", &world, "`sig` is not base64 in its one canonical spelling");

    for (count, words) in [(0, "it has 0 signatures; exactly one"), (2, "it has 2 signatures; exactly one")] {
        let mut bundle = made();
        let one = bundle["dsseEnvelope"]["signatures"][0].clone();
        bundle["dsseEnvelope"]["signatures"] = vec![one; count].into();
        put(&bundle);
        refused("another number of signatures", &world, words);
    }
}

#[test]
fn a_bundle_of_a_hundred_megabytes_is_refused_for_its_size() {
    let world = beside_a_good_one(&seven("bad"));
    let bundle = std::fs::File::options().write(true).open(world.path(BUNDLE)).unwrap();
    bundle.set_len(100 << 20).unwrap();
    assert_refused(world, "bad.wasm.sigstore.json: it has more than 1048576 bytes");
}

#[test]
fn a_policy_that_asks_for_nobody_or_counts_a_key_twice_loads_nothing() {
    let second = TRUST.replace("signers = [\"vendor\"]", "signers = [\"vendor\", \"second\"]");
    let with_second = |key: &str| format!("{second}[[signer]]\nid = \"second\"\nkey = \"keys/{key}.pub\"\n");
    for (what, policy, words) in [
        ("nobody", TRUST.replace("threshold = 1", "threshold = 0"), "role[0].threshold: write 1 to 1"),
        ("no role", TRUST.replace("require = [\"publisher\"]", "require = []"), "would trust every plugin"),
        (
            "no signer",
            TRUST.replace("signers = [\"vendor\"]", "signers = []"),
            "role[0].threshold: write 1 to 0",
        ),
        (
            "one signer twice",
            TRUST.replace("signers = [\"vendor\"]", "signers = [\"vendor\", \"vendor\"]"),
            "`vendor` appears twice",
        ),
        (
            "one key twice",
            with_second("vendor"),
            "the key of `second` and of `vendor` is the same; a key counts once",
        ),
    ] {
        let check = World::with_own_cache().plugin("p", &guest::seven()).trust(&policy).run(&["check"]);
        assert_eq!(check.code, 2, "{what}: {}", check.said());
        assert!(check.stderr.contains(words), "{what}: not `{words}`: {}", check.said());
        assert!(!check.stdout.contains(": ok"), "{what}: {}", check.said());
    }
    // Nor do two signatures by one key count twice.
    let policy = with_second("second").replace("threshold = 1", "threshold = 2");
    let world = World::with_own_cache().plugin("p", &guest::seven()).trust(&policy);
    world.key("second");
    let first = std::fs::read(world.path("plugins/p.wasm.sigstore.json")).unwrap();
    world.put("plugins/p.wasm.00000001.sigstore.json", &first, 0o644);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3, "{}", check.said());
    assert!(check.stderr.contains("role `publisher` needs 2 of [vendor, second], has 1"), "{}", check.said());
    world.sign("p", "second");
    assert_eq!(world.run(&["check"]).code, 0, "it was the second that was missing");
}

#[test]
fn a_signer_whose_time_has_not_come_is_refused() {
    for (year, code) in [(2999, 3), (2001, 0)] {
        let from = format!("vendor.pub\"\nvalid_from = {year}-01-01T00:00:00Z");
        let policy = TRUST.replace("vendor.pub\"", &from);
        let check = World::with_own_cache().plugin("p", &guest::seven()).trust(&policy).run(&["check"]);
        assert_eq!(check.code, code, "{year}: {}", check.said());
        assert_eq!(check.stderr.contains("signer `vendor` is not valid yet"), code == 3, "{}", check.said());
    }
}
