//! `ssh-keygen -Y sign`, and `-Y verify` for comparison.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use toolgate_tests::world::TRUST;
use toolgate_tests::{World, peer, process};

use super::{assert_loads, assert_refused, known_by, must, unsigned};

const NAMESPACE: &str = "toolgate-plugin";

fn ssh_keygen() -> Option<PathBuf> {
    peer("TOOLGATE_SSH_KEYGEN")
}

/// Creates a key of this kind, as `keys/NAME` and `keys/NAME.pub`.
fn make(keygen: &Path, world: &World, kind: &[&str], name: &str) {
    let file = format!("keys/{name}");
    must(keygen, &[&["-q", "-N", "", "-C", "somebody, of somewhere", "-f", &file], kind].concat(), world);
}

fn sign(keygen: &Path, world: &World, key: &str, options: &[&str]) {
    let key = format!("keys/{key}");
    // `ssh-keygen` does not replace an existing signature.
    drop(std::fs::remove_file(world.path("plugins/seven.wasm.sig")));
    must(keygen, &[&["-Y", "sign", "-q", "-f", &key], options, &["plugins/seven.wasm"]].concat(), world);
}

/// Whether `ssh-keygen` accepts the signature with these lines of allowed_signers.
fn they_accept(keygen: &Path, world: &World, allowed: &str) -> bool {
    world.put("allowed_signers", allowed.as_bytes(), 0o644);
    let mut command = Command::new(keygen);
    command.args(["-Y", "verify", "-f", "allowed_signers", "-I", "vendor", "-n", NAMESPACE]);
    command.args(["-s", "plugins/seven.wasm.sig"]).current_dir(world.path(""));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let bytes = std::fs::read(world.path("plugins/seven.wasm")).unwrap();
    // It may end before it has read everything.
    drop(child.stdin.take().unwrap().write_all(&bytes));
    process::ended(child).status.success()
}

/// A line of allowed_signers for a key.
fn line(world: &World, key: &str, options: &str) -> String {
    let public = std::fs::read_to_string(world.path(&format!("keys/{key}.pub"))).unwrap();
    format!("vendor {options} {public}")
}

const KINDS: [&[&str]; 2] = [&["-t", "ed25519"], &["-t", "ecdsa", "-b", "256"]];

#[test]
fn what_ssh_keygen_signs_loads_by_a_public_key_and_by_a_line_of_allowed_signers() {
    let Some(keygen) = ssh_keygen() else { return };
    for kind in KINDS {
        let world = unsigned();
        make(&keygen, &world, kind, "ssh");
        let allowed = line(&world, "ssh", "namespaces=\"git,toolgate-plugin\",valid-before=\"20991231Z\"");
        let world = world.file("keys/allowed_signers", &allowed);
        for options in [&["-n", NAMESPACE][..], &["-n", NAMESPACE, "-O", "hashalg=sha256"]] {
            sign(&keygen, &world, "ssh", options);
            assert!(they_accept(&keygen, &world, &allowed));
        }
        let world = world.trust(&known_by("keys/ssh.pub"));
        assert_loads(&world, "SSH signature");
        assert_loads(&world.trust(&known_by("keys/allowed_signers")), "SSH signature");
    }
}

#[test]
fn another_namespace_key_or_file_is_refused_here_and_by_ssh_keygen() {
    let Some(keygen) = ssh_keygen() else { return };
    for kind in KINDS {
        let world = unsigned().trust(&known_by("keys/ssh.pub"));
        make(&keygen, &world, kind, "ssh");
        make(&keygen, &world, kind, "other");
        let allowed = line(&world, "ssh", "");
        let (component, signature) = ("plugins/seven.wasm", "plugins/seven.wasm.sig");
        let refused = |words: &str| {
            assert!(!they_accept(&keygen, &world, &allowed), "{words}");
            assert_refused(&world, words);
        };

        sign(&keygen, &world, "ssh", &["-n", "file"]);
        refused("its namespace is `file`");

        sign(&keygen, &world, "other", &["-n", NAMESPACE]);
        refused("there is a signature by key");

        sign(&keygen, &world, "ssh", &["-n", NAMESPACE]);
        assert!(they_accept(&keygen, &world, &allowed));
        let whole = std::fs::read(world.path(component)).unwrap();
        world.put(component, &[&whole[..], b"\0\x01\0"].concat(), 0o644);
        refused("is not a genuine signature over these bytes");
        world.put(component, &whole, 0o644);

        let text = std::fs::read_to_string(world.path(signature)).unwrap();
        world.put(signature, &text.as_bytes()[..text.len() - 60], 0o644);
        refused("is not a signature that Toolgate accepts");
    }
}

#[test]
fn a_key_out_of_its_time_by_allowed_signers_is_refused_here_and_by_ssh_keygen() {
    let Some(keygen) = ssh_keygen() else { return };
    let world = unsigned();
    make(&keygen, &world, KINDS[0], "ssh");
    sign(&keygen, &world, "ssh", &["-n", NAMESPACE]);
    for (options, words) in [
        ("valid-before=\"20240101Z\"", "signer `vendor` is expired"),
        ("valid-after=\"20990101Z\"", "signer `vendor` is not valid yet"),
    ] {
        let allowed = line(&world, "ssh", options);
        assert!(!they_accept(&keygen, &world, &allowed), "{options}");
        world.put("keys/allowed_signers", allowed.as_bytes(), 0o644);
        let world = unsigned_like(&world).trust(&known_by("keys/allowed_signers"));
        assert_refused(&world, words);
    }
}

/// Another world with the same keys, plugin and signature.
fn unsigned_like(world: &World) -> World {
    let other = unsigned();
    for name in ["keys/allowed_signers", "plugins/seven.wasm.sig"] {
        other.put(name, &std::fs::read(world.path(name)).unwrap(), 0o644);
    }
    other
}

#[test]
fn keys_of_other_kinds_are_refused_as_signers_and_as_signatures() {
    let Some(keygen) = ssh_keygen() else { return };
    let world = unsigned().trust(&known_by("keys/rsa.pub"));
    make(&keygen, &world, &["-t", "rsa", "-b", "3072"], "rsa");
    make(&keygen, &world, &["-t", "ecdsa", "-b", "384"], "p384");
    make(&keygen, &world, KINDS[0], "ca");
    make(&keygen, &world, KINDS[0], "certified");
    must(&keygen, &["-q", "-s", "keys/ca", "-I", "x", "-n", "vendor", "keys/certified.pub"], &world);
    for (key, kind) in [
        ("rsa.pub", "ssh-rsa"),
        ("p384.pub", "ecdsa-sha2-nistp384"),
        ("certified-cert.pub", "ssh-ed25519-cert-v01@openssh.com"),
    ] {
        let world = other_trust(&world, key);
        let check = world.run(&["check"]);
        assert_eq!(check.code, 2, "{}", check.said());
        assert!(check.stderr.contains(&format!("{kind}; Toolgate takes")), "{key}: {}", check.stderr);
    }
    let world = world.trust(TRUST);
    sign(&keygen, &world, "rsa", &["-n", NAMESPACE]);
    assert_refused(&world, "of the kind ssh-rsa");
    sign(&keygen, &world, "certified-cert.pub", &["-n", NAMESPACE]);
    assert_refused(&world, "is not a signature that Toolgate accepts");
}

/// Another world with one of this world's keys.
fn other_trust(world: &World, key: &str) -> World {
    let name = format!("keys/{key}");
    let text = std::fs::read_to_string(world.path(&name)).unwrap();
    unsigned().trust(&known_by(&name)).file(&name, &text)
}

/// Converts Toolgate's key `vendor` to OpenSSH's format: `keys/vendor-ssh` and `keys/vendor-ssh.pub`.
fn as_openssh_has_it(keygen: &Path, world: &World) {
    let mut convert = Command::new(keygen);
    convert.args(["-i", "-m", "PKCS8", "-f"]).arg(world.path("keys/vendor.pub"));
    let converted = process::output_of(&mut convert).stdout;
    assert!(converted.starts_with(b"ecdsa-sha2-nistp256 "));
    world.put("keys/vendor-ssh.pub", &converted, 0o644);
    world.put("keys/vendor-ssh", &std::fs::read(world.path("keys/vendor")).unwrap(), 0o600);
}

#[test]
fn a_key_of_toolgates_signs_with_ssh_keygen_and_is_one_key_in_either_file() {
    let Some(keygen) = ssh_keygen() else { return };
    let world = unsigned();
    as_openssh_has_it(&keygen, &world);
    sign(&keygen, &world, "vendor-ssh", &["-n", NAMESPACE]);
    assert_loads(&world, "SSH signature");
    let world = world.trust(&known_by("keys/vendor-ssh.pub"));
    assert_loads(&world, "SSH signature");
    world.sign("seven", "vendor");
    assert_loads(&world, "Sigstore bundle");

    let twice = format!("{TRUST}[[signer]]\nid = \"again\"\nkey = \"keys/vendor-ssh.pub\"\n");
    let check = world.trust(&twice).run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains("is the same; a key counts once"), "{}", check.stderr);
}

#[test]
fn a_threshold_is_met_by_signatures_of_two_formats() {
    let Some(keygen) = ssh_keygen() else { return };
    let two = TRUST
        .replace("threshold = 1\nsigners = [\"vendor\"]", "threshold = 2\nsigners = [\"vendor\", \"ssh\"]")
        + "[[signer]]\nid = \"ssh\"\nkey = \"keys/ssh.pub\"\n";
    let world = unsigned().trust(&two);
    make(&keygen, &world, KINDS[0], "ssh");
    as_openssh_has_it(&keygen, &world);
    world.sign("seven", "vendor");
    sign(&keygen, &world, "vendor-ssh", &["-n", NAMESPACE]);
    assert_refused(&world, "needs 2 of [vendor, ssh], has 1");
    let kept = std::fs::read(world.path("plugins/seven.wasm.sig")).unwrap();
    world.put("plugins/seven.wasm.00000001.sig", &kept, 0o644);
    sign(&keygen, &world, "ssh", &["-n", NAMESPACE]);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

/// Text before the key in a line; whether Toolgate accepts it; whether `ssh-keygen` does.
const LINES: &[(&str, bool, bool)] = &[
    ("vendor ", true, true),
    ("vendor\t\tvalid-before=\"20991231Z\"\t", true, true),
    (
        "*,x namespaces=\"git,toolgate-plugin\",valid-after=\"20200101Z\",valid-before=\"20991231235959Z\" ",
        true,
        true,
    ),
    ("\"vendor,with a space\" NAMESPACES=\"toolgate-plugin\" ", true, true),
    ("vendor valid-after=\"202001010000Z\" ", true, true),
    // Repeated options.
    ("vendor valid-before=\"20240101Z\",valid-before=\"20991231Z\" ", false, false),
    ("vendor valid-before=\"20991231Z\",valid-before=\"20991231Z\" ", false, false),
    ("vendor valid-after=\"20200101Z\",Valid-After=\"20200101Z\" ", false, false),
    ("vendor namespaces=\"toolgate-plugin\",namespaces=\"toolgate-plugin\" ", false, false),
    // Unknown options, and those for certificates.
    ("vendor verify-required ", false, false),
    ("vendor valid-until=\"20991231Z\" ", false, false),
    ("vendor cert-authority ", false, false),
    // Times.
    ("vendor valid-before=\"20991301Z\" ", false, false),
    ("vendor valid-before=\"2099Z\" ", false, false),
    ("vendor valid-before=\"20991231T000000Z\" ", false, false),
    ("vendor valid-before=\"\" ", false, false),
    ("vendor valid-after=\"19700101Z\" ", false, false),
    ("vendor valid-after=\"19600101Z\" ", false, false),
    ("vendor valid-before=\"20200101Z\",valid-after=\"20250101Z\" ", false, false),
    ("vendor valid-after=\"20200101Z\",valid-before=\"20200101Z\" ", false, false),
    ("vendor valid-before=\"20991231\" ", false, true),
    ("vendor valid-before=\"20990230Z\" ", false, true),
    // Quotes, commas, separators.
    ("vendor valid-before=20991231Z ", false, false),
    ("vendor valid-before=\"2099\"1231Z ", false, false),
    ("vendor valid-before=\"20991231Z ", false, false),
    ("vendor valid-before = \"20991231Z\" ", false, false),
    ("vendor valid-before ", false, false),
    ("vendor namespaces=\"toolgate-plugin\" valid-before=\"20240101Z\" ", false, false),
    ("vendor namespaces=\"toolgate-plugin\";valid-before=\"20991231Z\" ", false, false),
    ("vendor namespaces=\"git\\\",toolgate-plugin\" ", false, true),
    ("vendor namespaces=\"toolgate-plugin\",,valid-before=\"20991231Z\" ", false, true),
    // Namespaces.
    ("vendor namespaces=\"git\" ", false, false),
    ("vendor namespaces=\"\" ", false, false),
    ("vendor namespaces=\"toolgate-plugin,!toolgate-plugin\" ", false, false),
    ("vendor namespaces=\"toolgate-plugin,!toolgate-*\" ", false, false),
    ("vendor namespaces=\"toolgate-*\" ", false, true),
    // Principals.
    ("!vendor,* ", false, false),
    ("*,!vendor ", false, false),
    ("valid-before=\"20240101Z\" ", false, false),
    (", ", false, false),
    ("", true, false),
];

#[test]
fn what_ssh_keygen_does_not_read_in_a_line_of_allowed_signers_is_not_read_here() {
    let Some(keygen) = ssh_keygen() else { return };
    let world = unsigned();
    make(&keygen, &world, KINDS[0], "ssh");
    sign(&keygen, &world, "ssh", &["-n", NAMESPACE]);
    let public = std::fs::read_to_string(world.path("keys/ssh.pub")).unwrap();
    let key = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let long = format!("namespaces=\"{},toolgate-plugin\"", "x".repeat(1_100));
    let long = format!("vendor {long} ");
    let lines = LINES.iter().copied().chain([(long.as_str(), false, false)]);
    for end in ["\n", "\r\n"] {
        for (before, here, there) in lines.clone() {
            let line = format!("{before}{key}{end}");
            assert_eq!(they_accept(&keygen, &world, &line), there, "there: {line}");
            world.put("keys/allowed_signers", line.as_bytes(), 0o644);
            let verified = unsigned_like(&world)
                .trust(&known_by("keys/allowed_signers"))
                .run(&["verify", "plugins/seven.wasm"]);
            assert_eq!(verified.code == 0, here, "here: {line}: {}", verified.said());
        }
    }
}

#[test]
fn a_weak_key_is_a_configuration_error_in_every_file() {
    // The curve's neutral element: a signature of 1 followed by zeros verifies for every file.
    let weak = [&[1][..], &[0; 31]].concat();
    let text = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let openssh = super::base64(&[text(b"ssh-ed25519"), text(&weak)].concat());
    let minisign = super::base64(&[&b"Ed"[..], &[7; 8], &weak].concat());
    for key in [
        format!("ssh-ed25519 {openssh}\n"),
        format!("vendor ssh-ed25519 {openssh}\n"),
        format!("untrusted comment: x\n{minisign}\n"),
    ] {
        let check = unsigned().trust(&known_by("keys/weak.pub")).file("keys/weak.pub", &key).run(&["check"]);
        assert_eq!(check.code, 2, "{}", check.said());
        assert!(check.stderr.contains("weak or malformed Ed25519 key"), "{key}: {}", check.stderr);
    }
}
