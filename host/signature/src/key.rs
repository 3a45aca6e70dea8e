//! Keys: ECDSA over P-256 (FIPS 186-5) as SubjectPublicKeyInfo (RFC 7468 §13) and PKCS#8 (RFC 7468 §10) in PEM, and
//! public Ed25519 keys (RFC 8032). Location and access of key files are checked elsewhere.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ED25519, EcdsaKeyPair,
    KeyPair as _, ParsedPublicKey, UnparsedPublicKey,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use pem_rfc7468::LineEnding;
use toolgate_policy::load::key_id::KeyId;
use zeroize::Zeroizing;

/// A public key. Its id is the same for every file format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) kind: KeyKind,
    /// SubjectPublicKeyInfo in DER.
    pub(super) spki: Vec<u8>,
    id: KeyId,
}

/// Algorithm of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA over P-256.
    P256,
    /// Ed25519.
    Ed25519,
}

/// A private key. Has no `Debug` or `Display`.
pub struct PrivateKey {
    pair: EcdsaKeyPair,
}

/// A text that is not a usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM with the expected label.
    #[error("it is not PEM with `{0}` in its first line")]
    Pem(&'static str),
    /// Another algorithm, or a point that is not on the curve.
    #[error("it is not a P-256 key")]
    Curve,
    /// An Ed25519 key under which anybody could sign, or that two programs would read differently.
    #[error(
        "it is a weak or malformed Ed25519 key: its point is not on the curve, is written in another form than the one that RFC 8032 \
         has, or is outside the group of prime order; make another key"
    )]
    Weak,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

const PUBLIC_LABEL: &str = "PUBLIC KEY";
const PRIVATE_LABEL: &str = "PRIVATE KEY";

/// DER prefix of a SubjectPublicKeyInfo with an uncompressed P-256 point (RFC 5480 §2.1.1, §2.2). Requiring it leaves
/// one encoding, and thus one id, per key.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_SPKI_LEN: usize = P256_SPKI_PREFIX.len() + 65;

/// DER prefix of an Ed25519 SubjectPublicKeyInfo (RFC 8410 §4).
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn from_pem(text: &str, wanted: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (label, der) = pem_rfc7468::decode_vec(text.as_bytes()).map_err(|_| KeyError::Pem(wanted))?;
    let der = Zeroizing::new(der);
    if label == wanted { Ok(der) } else { Err(KeyError::Pem(wanted)) }
}

impl PublicKey {
    /// Parses PEM. Refuses anything that is not one P-256 key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_spki(from_pem(text, PUBLIC_LABEL)?.to_vec())
    }

    /// Parses a SubjectPublicKeyInfo in DER. Refuses anything that is not one P-256 key.
    pub fn from_spki(spki: Vec<u8>) -> Result<Self, KeyError> {
        let point = spki.strip_prefix(&P256_SPKI_PREFIX[..]).ok_or(KeyError::Curve)?;
        if spki.len() != P256_SPKI_LEN || point.first() != Some(&4) {
            return Err(KeyError::Curve);
        }
        // A point off the curve is not a key.
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(|_| KeyError::Curve)?;
        Ok(Self::new(KeyKind::P256, spki))
    }

    /// Parses an uncompressed P-256 point (SEC 1 §2.3.3).
    pub(super) fn from_p256_point(point: &[u8]) -> Result<Self, KeyError> {
        Self::from_spki([&P256_SPKI_PREFIX, point].concat())
    }

    /// Parses an Ed25519 key. Refuses a point of small or mixed order or not on the curve, and any non-canonical
    /// encoding.
    pub(super) fn from_ed25519(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_strong(bytes) {
            return Err(KeyError::Weak);
        }
        Ok(Self::new(KeyKind::Ed25519, [&ED25519_SPKI_PREFIX[..], bytes].concat()))
    }

    fn new(kind: KeyKind, spki: Vec<u8>) -> Self {
        let id = KeyId::of_spki(&spki);
        Self { kind, spki, id }
    }

    /// Whether `signature` is valid over `message` under this key: 64 bytes, either r and s of ECDSA with SHA-256, or
    /// as in RFC 8032.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.kind {
            KeyKind::P256 => {
                let Some(point) = self.spki.strip_prefix(&P256_SPKI_PREFIX[..]) else { return false };
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            KeyKind::Ed25519 => {
                let Some(bytes) = self.spki.strip_prefix(&ED25519_SPKI_PREFIX[..]) else { return false };
                UnparsedPublicKey::new(&ED25519, bytes).verify(message, signature)
            }
        };
        verified.is_ok()
    }

    /// Encodes as PEM.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        pem_rfc7468::encode_string(PUBLIC_LABEL, LineEnding::LF, &self.spki).map_err(|_| KeyError::Library)
    }

    /// Id of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// Whether an Ed25519 key is canonical and of prime order. Under keys of small order one signature is valid over every
/// message (RFC 8032 §8.9 leaves the check to the application); with mixed order verifiers disagree.
fn is_strong(bytes: &[u8; 32]) -> bool {
    let written = CompressedEdwardsY(*bytes);
    written.decompress().is_some_and(|point| {
        point.compress() == written && !point.is_small_order() && point.is_torsion_free()
    })
}

/// Checks the P-256 and Ed25519 keys within DER (a certificate or SubjectPublicKeyInfo) of a trusted root. Other kinds
/// are left to the library that uses them.
pub(super) fn check_keys_in(der: &[u8]) -> Result<(), KeyError> {
    for at in 0..der.len() {
        let rest = der.get(at..).unwrap_or_default();
        if let Some(key) = rest.strip_prefix(&ED25519_SPKI_PREFIX) {
            let key = key.first_chunk().ok_or(KeyError::Weak)?;
            PublicKey::from_ed25519(key)?;
        }
        if rest.starts_with(&P256_SPKI_PREFIX) {
            let spki = rest.get(..P256_SPKI_LEN).ok_or(KeyError::Curve)?;
            PublicKey::from_spki(spki.to_vec())?;
        }
    }
    Ok(())
}

impl PrivateKey {
    /// Generates a key from the system's random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyError::Library)?;
        Ok(Self { pair })
    }

    /// Parses PEM. Refuses anything that is not one P-256 key, encrypted ones included.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = from_pem(text, PRIVATE_LABEL)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).map_err(|_| KeyError::Curve)?;
        Ok(Self { pair })
    }

    /// Encodes as PEM.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
        pem_rfc7468::encode_string(PRIVATE_LABEL, LineEnding::LF, der.as_ref())
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Library)
    }

    /// The public key.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        let spki = self.pair.public_key().as_der().map_err(|_| KeyError::Library)?;
        PublicKey::from_spki(spki.as_ref().to_vec())
    }

    /// Signs with ECDSA and SHA-256; returns ASN.1 DER.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Library)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Unacceptable Ed25519 keys, of every kind.
#[cfg(test)]
pub(super) fn weak_ed25519_keys() -> Vec<[u8; 32]> {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    // Of small order, and of mixed order.
    let small = EIGHT_TORSION.map(|point| point.compress().0);
    let mut all = small.to_vec();
    all.extend(EIGHT_TORSION.iter().skip(1).map(|point| (ED25519_BASEPOINT_POINT + point).compress().0));
    // Not canonical: y is p + 0 to p + 18, or a sign bit on x = 0. Some are of small order, some not on the curve.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            all.push([&[low][..], &[0xff; 30], &[high]].concat().try_into().unwrap());
        }
    }
    for mut point in small.into_iter().filter(|point| point[1..31] == [0; 30] || point[1..31] == [0xff; 30]) {
        point[31] |= 0x80;
        all.push(point);
    }
    // No point has this y.
    all.push([&[2][..], &[0; 31]].concat().try_into().unwrap());
    all
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;

    use super::*;

    #[test]
    fn both_halves_read_back_as_they_were_written() {
        let key = PrivateKey::generate().unwrap();
        let public = key.public().unwrap();
        let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public().unwrap().id(), public.id());
        assert_eq!(PublicKey::from_pem(&public.to_pem().unwrap()).unwrap().id(), public.id());
    }

    #[test]
    fn what_is_not_one_p256_key_is_refused() {
        let key = PrivateKey::generate().unwrap();
        let public = key.public().unwrap();
        let pem = public.to_pem().unwrap();
        assert_eq!(PublicKey::from_pem("").map(drop), Err(KeyError::Pem(PUBLIC_LABEL)));
        assert_eq!(PublicKey::from_pem(&key.to_pem().unwrap()).map(drop), Err(KeyError::Pem(PUBLIC_LABEL)));
        assert!(PublicKey::from_pem(&format!("{pem}{pem}")).is_err());
        let mut off_curve = public.spki.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        assert_eq!(PublicKey::from_spki(off_curve).map(drop), Err(KeyError::Curve));
        let mut longer = public.spki.clone();
        longer.push(0);
        assert_eq!(PublicKey::from_spki(longer).map(drop), Err(KeyError::Curve));
        assert!(PrivateKey::from_pem(&pem).is_err());
        // The point at infinity, as encoders without a form for it write it.
        assert_eq!(
            PublicKey::from_p256_point(&[&[4][..], &[0; 64]].concat()).map(drop),
            Err(KeyError::Curve)
        );
        assert!(PublicKey::from_p256_point(&[0]).is_err());
    }

    #[test]
    fn an_ed25519_key_by_which_anybody_could_sign_is_none() {
        // A signature without a private key: R is the identity, S is zero. Under a key of small order it is valid over
        // one message in eight or over all.
        let nobodys = [&[1][..], &[0; 63]].concat();
        let identity = [&[1][..], &[0; 31]].concat();
        let verified = UnparsedPublicKey::new(&ED25519, &identity).verify(b"any message", &nobodys);
        assert!(verified.is_ok(), "the library takes such a key, so it must be refused before");
        for weak in weak_ed25519_keys() {
            assert_eq!(PublicKey::from_ed25519(&weak).map(drop), Err(KeyError::Weak), "{weak:02x?}");
            let spki = [&ED25519_SPKI_PREFIX[..], &weak].concat();
            assert_eq!(check_keys_in(&[&b"certificate"[..], &spki, b"more"].concat()), Err(KeyError::Weak));
        }
        let good = ED25519_BASEPOINT_POINT.compress().0;
        assert!(PublicKey::from_ed25519(&good).is_ok());
        let spki = [&ED25519_SPKI_PREFIX[..], &good].concat();
        assert_eq!(check_keys_in(&spki), Ok(()));
        assert_eq!(check_keys_in(spki.get(..40).unwrap()), Err(KeyError::Weak));
        let mut p256 = PrivateKey::generate().unwrap().public().unwrap().spki;
        assert_eq!(check_keys_in(&p256), Ok(()));
        *p256.last_mut().unwrap() ^= 1;
        assert_eq!(check_keys_in(&p256), Err(KeyError::Curve));
    }
}
