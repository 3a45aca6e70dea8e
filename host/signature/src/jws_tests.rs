//! Tests of JSON Web Signatures: each algorithm with each kind of key.

use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaSignatureEncoding,
};

use super::*;
use crate::key::weak_ed25519_keys;

const INPUT: &[u8] = b"header.payload";

fn p256() -> (JwsSigningKey, JwsKey) {
    let pair = JwsSigningKey::generate().unwrap();
    let (x, y) = pair.public_point().unwrap();
    (pair, JwsKey::ec("P-256", &x, &y).unwrap())
}

fn rsa(size: KeySize) -> (KeyPair, Vec<u8>, Vec<u8>) {
    let pair = KeyPair::generate(size).unwrap();
    let parts: PublicKeyComponents<Vec<u8>> = pair.public_key().into();
    (pair, parts.n, parts.e)
}

/// A signature of each algorithm over [`INPUT`], with its key.
fn signatures() -> Vec<(JwsAlgorithm, JwsKey, Vec<u8>)> {
    let (pair, key) = p256();
    let mut all = vec![(JwsAlgorithm::Es256, key, pair.sign(INPUT).unwrap())];
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
    let signature = pair.sign(&SystemRandom::new(), INPUT).unwrap().as_ref().to_vec();
    all.push((JwsAlgorithm::Es384, JwsKey::ec("P-384", x, y).unwrap(), signature));
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = JwsKey::okp("Ed25519", pair.public_key().as_ref()).unwrap();
    all.push((JwsAlgorithm::EdDsa, key, pair.sign(INPUT).as_ref().to_vec()));
    let (pair, n, e) = rsa(KeySize::Rsa2048);
    let key = JwsKey::rsa(&n, &e).unwrap();
    let of_rsa: [(JwsAlgorithm, &'static RsaSignatureEncoding); 6] = [
        (JwsAlgorithm::Rs256, &RSA_PKCS1_SHA256),
        (JwsAlgorithm::Rs384, &RSA_PKCS1_SHA384),
        (JwsAlgorithm::Rs512, &RSA_PKCS1_SHA512),
        (JwsAlgorithm::Ps256, &RSA_PSS_SHA256),
        (JwsAlgorithm::Ps384, &RSA_PSS_SHA384),
        (JwsAlgorithm::Ps512, &RSA_PSS_SHA512),
    ];
    for (algorithm, encoding) in of_rsa {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), INPUT, &mut signature).unwrap();
        all.push((algorithm, key.clone(), signature));
    }
    all
}

#[test]
fn a_signature_counts_under_its_own_key_algorithm_and_text_only() {
    let all = signatures();
    assert_eq!(all.len(), JwsAlgorithm::ALL.len());
    for (algorithm, key, signature) in &all {
        assert!(verify(*algorithm, key, INPUT, signature), "{algorithm:?}");
        assert!(!verify(*algorithm, key, b"header.payloae", signature), "{algorithm:?}");
        for other in JwsAlgorithm::ALL.iter().filter(|other| *other != algorithm) {
            assert!(!verify(*other, key, INPUT, signature), "{algorithm:?} as {other:?}");
        }
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(!verify(*algorithm, key, INPUT, &changed), "{algorithm:?}, byte {at}");
        }
        for changed in
            [&signature[1..], &signature[..signature.len() - 1], &[], &[&signature[..], &[0]].concat()]
        {
            assert!(!verify(*algorithm, key, INPUT, changed), "{algorithm:?}");
        }
        let length = signature.len();
        assert!(!verify(*algorithm, key, INPUT, &vec![0; length]), "{algorithm:?}: r = s = 0");
    }
}

#[test]
fn an_ecdsa_signature_in_der_does_not_count() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let key = JwsKey::ec("P-256", x, y).unwrap();
    let der = pair.sign(&SystemRandom::new(), INPUT).unwrap();
    assert!(!verify(JwsAlgorithm::Es256, &key, INPUT, der.as_ref()));
}

#[test]
fn only_the_names_of_asymmetric_algorithms_are_known_letter_by_letter() {
    for algorithm in JwsAlgorithm::ALL {
        assert_eq!(JwsAlgorithm::from_name(algorithm.name()), Some(algorithm));
    }
    for name in
        ["none", "None", "nOnE", "NONE", "", "HS256", "HS384", "HS512", "es256", "ES256 ", "ES256K", "ES512"]
    {
        assert_eq!(JwsAlgorithm::from_name(name), None, "{name}");
    }
}

#[test]
fn a_point_that_is_not_on_its_curve_or_is_weak_is_no_key() {
    let (_, key) = p256();
    let (x, y) = JwsSigningKey::generate().unwrap().public_point().unwrap();
    assert_ne!(JwsKey::ec("P-256", &x, &y).unwrap().fingerprint(), key.fingerprint());
    let mut off = y;
    off[31] ^= 1;
    assert_eq!(JwsKey::ec("P-256", &x, &off).map(drop), Err(JwsKeyError::Point));
    assert_eq!(JwsKey::ec("P-256", &[0; 32], &[0; 32]).map(drop), Err(JwsKeyError::Point));
    assert_eq!(JwsKey::ec("P-256", &x[1..], &y).map(drop), Err(JwsKeyError::Point));
    assert_eq!(JwsKey::ec("P-384", &x, &y).map(drop), Err(JwsKeyError::Point));
    for curve in ["P-521", "secp256k1", "", "p-256"] {
        assert_eq!(JwsKey::ec(curve, &x, &y).map(drop), Err(JwsKeyError::Curve), "{curve}");
    }
    for weak in weak_ed25519_keys() {
        assert_eq!(JwsKey::okp("Ed25519", &weak).map(drop), Err(JwsKeyError::Point));
    }
    assert_eq!(JwsKey::okp("X25519", &x).map(drop), Err(JwsKeyError::Curve));
    assert_eq!(JwsKey::okp("Ed25519", &x[1..]).map(drop), Err(JwsKeyError::Point));
}

#[test]
fn an_rsa_key_that_is_short_even_or_has_a_trivial_exponent_is_no_key() {
    let (_, n, e) = rsa(KeySize::Rsa2048);
    assert!(JwsKey::rsa(&n, &e).is_ok());
    assert!(JwsKey::rsa(&n[128..], &e).is_err());
    let mut short = n.clone();
    short[0] = 0x7f;
    assert_eq!(JwsKey::rsa(&short, &e).map(drop), Err(JwsKeyError::Modulus(2_047)));
    assert_eq!(JwsKey::rsa(&[0xff; 1_025], &e).map(drop), Err(JwsKeyError::Modulus(8_200)));
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[0, 1, 0, 1], &[3, 0, 0, 0, 1]] {
        assert_eq!(JwsKey::rsa(&n, exponent).map(drop), Err(JwsKeyError::Rsa), "{exponent:?}");
    }
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    assert_eq!(JwsKey::rsa(&even, &e).map(drop), Err(JwsKeyError::Rsa));
    assert_eq!(JwsKey::rsa(&[&[0][..], &n].concat(), &e).map(drop), Err(JwsKeyError::Rsa));
}

#[test]
fn a_signing_key_reads_back_as_it_was_written() {
    let (pair, key) = p256();
    let again = JwsSigningKey::from_pkcs8(&pair.to_pkcs8().unwrap()).unwrap();
    assert!(verify(JwsAlgorithm::Es256, &key, INPUT, &again.sign(INPUT).unwrap()));
    assert!(JwsSigningKey::from_pkcs8(b"").is_err());
}
