//! SSH signatures that count and that do not. The interoperability tests run `ssh-keygen` itself.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use ssh_key::HashAlg;
use ssh_key::public::{Ed25519PublicKey, OpaquePublicKey, SkEd25519};

use super::*;

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Pair {
    fn both() -> [Self; 2] {
        [
            Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
        ]
    }

    fn data(&self) -> KeyData {
        match self {
            Self::Ed25519(pair) => {
                KeyData::Ed25519(Ed25519PublicKey(pair.public_key().as_ref().try_into().unwrap()))
            }
            Self::P256(pair) => {
                KeyData::Ecdsa(EcdsaPublicKey::from_sec1_bytes(pair.public_key().as_ref()).unwrap())
            }
        }
    }

    fn id(&self) -> toolgate_policy::load::key_id::KeyId {
        self.public().id()
    }

    fn public(&self) -> Anchor {
        Anchor::Key(public_key(&self.data()).unwrap())
    }

    fn signature(&self, message: &[u8]) -> ssh_key::Signature {
        match self {
            Self::Ed25519(pair) => {
                ssh_key::Signature::new(Algorithm::Ed25519, pair.sign(message).as_ref()).unwrap()
            }
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).unwrap();
                let (r, s) = signature.as_ref().split_at(32);
                let mut data = Vec::new();
                for number in [r, s].map(|number| Mpint::from_positive_bytes(number).unwrap()) {
                    data.extend_from_slice(&u32::try_from(number.as_bytes().len()).unwrap().to_be_bytes());
                    data.extend_from_slice(number.as_bytes());
                }
                ssh_key::Signature::new(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, data).unwrap()
            }
        }
    }

    fn sign(&self, namespace: &str, hash: HashAlg, bytes: &[u8]) -> String {
        let message = SshSig::signed_data(namespace, hash, bytes).unwrap();
        let sig = SshSig::new(self.data(), namespace, hash, self.signature(&message)).unwrap();
        sig.to_pem(LineEnding::LF).unwrap()
    }
}

fn read(text: &str) -> Result<Ssh, SignatureError> {
    Ssh::read(&SignatureFile { name: "c.wasm.sig".into(), bytes: text.as_bytes().to_vec() })
}

fn component() -> Artifact {
    Artifact::of(b"the component".to_vec())
}

/// The text with its decoded bytes edited.
fn edited(text: &str, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let (_, bytes) = pem_rfc7468::decode_vec(&rewrapped(text, 64)).unwrap();
    let text = pem_rfc7468::encode_string("SSH SIGNATURE", LineEnding::LF, &edit(bytes)).unwrap();
    String::from_utf8(rewrapped(&text, 70)).unwrap()
}

fn rewrapped(text: &str, width: usize) -> Vec<u8> {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    let body = lines.get(1..lines.len() - 1).unwrap().concat();
    let mut all = vec![(*first).to_owned()];
    all.extend(body.as_bytes().chunks(width).map(|line| String::from_utf8(line.to_vec()).unwrap()));
    all.push((*last).to_owned());
    (all.join("\n") + "\n").into_bytes()
}

#[test]
fn a_signature_in_our_namespace_verifies_with_its_key_over_its_bytes() {
    for pair in Pair::both() {
        for hash in [HashAlg::Sha512, HashAlg::Sha256] {
            let text = pair.sign(NAMESPACE, hash, component().bytes());
            let sig = read(&text).unwrap();
            assert_eq!(sig.claim(), Claim::Key(pair.id()));
            let verified = sig.verify(&component(), &pair.public()).unwrap();
            assert_eq!((verified.digest(), verified.key()), (component().digest(), pair.id()));
            assert!(
                read(&edited(&text, |bytes| bytes)).is_ok(),
                "the helper of the tests below writes as it should"
            );
        }
    }
}

#[test]
fn over_other_bytes_or_by_another_key_it_does_not() {
    for (pair, other) in Pair::both().into_iter().zip(Pair::both()) {
        let sig = read(&pair.sign(NAMESPACE, HashAlg::Sha512, component().bytes())).unwrap();
        let bytes = Artifact::of(b"another component".to_vec());
        assert!(matches!(sig.verify(&bytes, &pair.public()), Err(SignatureError::Forged(_))));
        assert!(matches!(sig.verify(&component(), &other.public()), Err(SignatureError::Forged(_))));
        // Signed by one key, attributed to the other.
        let message = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, component().bytes()).unwrap();
        let renamed =
            SshSig::new(other.data(), NAMESPACE, HashAlg::Sha512, pair.signature(&message)).unwrap();
        let sig = read(&renamed.to_pem(LineEnding::LF).unwrap()).unwrap();
        assert!(matches!(sig.verify(&component(), &other.public()), Err(SignatureError::Forged(_))));
    }
}

#[test]
fn a_signature_for_something_else_is_refused() {
    for pair in Pair::both() {
        for namespace in ["git", "file", "toolgate-plugin2", "Toolgate-Plugin"] {
            let text = pair.sign(namespace, HashAlg::Sha512, component().bytes());
            let told = read(&text).map(drop).unwrap_err().to_string();
            assert!(told.contains(&format!("its namespace is `{namespace}`")), "{told}");
        }
        // Signed in another namespace, then relabelled with ours.
        let message = SshSig::signed_data("git", HashAlg::Sha512, component().bytes()).unwrap();
        let sig = SshSig::new(pair.data(), NAMESPACE, HashAlg::Sha512, pair.signature(&message)).unwrap();
        let sig = read(&sig.to_pem(LineEnding::LF).unwrap()).unwrap();
        assert!(matches!(sig.verify(&component(), &pair.public()), Err(SignatureError::Forged(_))));
    }
}

#[test]
fn a_signature_by_a_key_that_is_of_no_kind_that_counts_is_refused() {
    let [ed25519, p256] = Pair::both();
    let message = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, component().bytes()).unwrap();
    let raw = ed25519.signature(&message);
    let KeyData::Ed25519(bytes) = ed25519.data() else { unreachable!() };
    let certificate = "ssh-ed25519-cert-v01@openssh.com".parse().unwrap();
    for data in [
        KeyData::SkEd25519(SkEd25519::new(bytes, "ssh:")),
        KeyData::Other(OpaquePublicKey::new(vec![0, 0, 0, 1, 7], certificate)),
        p256.data(),
    ] {
        let sig = SshSig::new(data, NAMESPACE, HashAlg::Sha512, raw.clone()).unwrap();
        assert!(read(&sig.to_pem(LineEnding::LF).unwrap()).is_err());
    }
}

#[test]
fn everything_unknown_trailing_or_not_canonical_is_refused() {
    for pair in Pair::both() {
        let text = pair.sign(NAMESPACE, HashAlg::Sha512, component().bytes());
        let version = |version: u8| {
            edited(&text, |mut bytes| {
                *bytes.get_mut(9).unwrap() = version;
                bytes
            })
        };
        let replaced = |from: &[u8], to: &[u8]| {
            edited(&text, |bytes| {
                let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
                [bytes.get(..at).unwrap(), to, bytes.get(at + from.len()..).unwrap()].concat()
            })
        };
        let reserved = b"toolgate-plugin\0\0\0\0";
        for (what, changed) in [
            ("version 0", version(0)),
            ("version 2", version(2)),
            ("another hash", replaced(b"\0\0\0\x06sha512", b"\0\0\0\x06sha384")),
            ("an old hash", replaced(b"\0\0\0\x06sha512", b"\0\0\0\x04sha1")),
            ("something reserved", replaced(reserved, b"toolgate-plugin\0\0\0\x01x")),
            ("bytes behind it", edited(&text, |bytes| [&bytes[..], b"\0"].concat())),
            ("text behind it", format!("{text}more\n")),
            ("twice", format!("{text}{text}")),
            ("text before it", format!("more\n{text}")),
            ("an empty line behind it", format!("{text}\n")),
            ("other line ends", text.replace('\n', "\r\n")),
            ("other line lengths", String::from_utf8(rewrapped(&text, 64)).unwrap()),
            ("another label", text.replace("SSH SIGNATURE", "PGP SIGNATURE")),
            ("a million spaces", text.clone() + &" ".repeat(1 << 20)),
            ("nothing", String::new()),
        ] {
            assert_ne!(changed, text, "{what}");
            assert!(matches!(read(&changed), Err(SignatureError::Unreadable { .. })), "{what}");
        }
    }
}

#[test]
fn no_bit_of_an_ssh_signature_can_be_turned_and_nothing_cut_off() {
    for pair in Pair::both() {
        let text = pair.sign(NAMESPACE, HashAlg::Sha512, component().bytes());
        let verdict = |bytes: Vec<u8>| {
            Ssh::read(&SignatureFile { name: "x.sig".into(), bytes })?.verify(&component(), &pair.public())
        };
        for (bytes, what) in crate::turned(&text) {
            assert!(verdict(bytes).is_err(), "{what}");
        }
        for at in 0..text.len() {
            let cut: Vec<u8> = text.bytes().take(at).collect();
            assert!(verdict(cut).is_err() || at + 1 == text.len(), "cut at {at}");
        }
    }
}
