//! Signatures of JSON Web Signature (RFC 7515) with the asymmetric algorithms of RFC 7518 §3 and RFC 8037. Algorithms
//! with a shared secret, and `none`, do not exist here.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaKeyPair,
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents,
};
use toolgate_policy::Digest;
use zeroize::Zeroizing;

use super::key::PublicKey;

/// Algorithm of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JwsAlgorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// EdDSA with Ed25519.
    EdDsa,
}

/// A public key that was checked: an RSA key of 2048 to 8192 bits, a point on its curve, a strong Ed25519 key.
#[derive(Debug, Clone)]
pub struct JwsKey {
    kind: JwsKeyKind,
    fingerprint: Digest,
}

#[derive(Debug, Clone)]
enum JwsKeyKind {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(ParsedPublicKey),
    P384(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
}

/// Reasons to refuse a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsKeyError {
    /// An RSA key that is too short or too long.
    #[error("its modulus has {0} bits; RSA keys have 2048 to 8192")]
    Modulus(usize),
    /// Numbers that cannot be an RSA key.
    #[error(
        "it is a malformed RSA key: its numbers are odd, without leading zeros, and its exponent is 3 or more"
    )]
    Rsa,
    /// A curve with which nothing is verified here.
    #[error("its curve is not P-256, P-384 or Ed25519")]
    Curve,
    /// A point that is not on its curve, or weak.
    #[error("its point is malformed, not on its curve, or weak")]
    Point,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// A private key for ES256. Has no `Debug` or `Display`.
pub struct JwsSigningKey(EcdsaKeyPair);

/// Bounds of an RSA modulus, in bits (RFC 7518 §3.3; the library's).
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// Most bits of an RSA exponent: a longer one makes each verification slow.
const EXPONENT_BITS_MAX: usize = 33;

impl JwsAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
    ];

    /// Name in `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name, letter by letter.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl JwsKey {
    /// An RSA key (RFC 7518 §6.3.1): modulus and exponent, big-endian without leading zeros.
    ///
    /// # Errors
    /// [`JwsKeyError`] for a key of another length, or with numbers that no RSA key has.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, JwsKeyError> {
        let (modulus, exponent) = (bits(n).ok_or(JwsKeyError::Rsa)?, bits(e).ok_or(JwsKeyError::Rsa)?);
        if !MODULUS_BITS.contains(&modulus) {
            return Err(JwsKeyError::Modulus(modulus));
        }
        // An exponent of 1 would make every message its own signature.
        if !(2..=EXPONENT_BITS_MAX).contains(&exponent) || !is_odd(n) || !is_odd(e) {
            return Err(JwsKeyError::Rsa);
        }
        let parts = RsaPublicKeyComponents { n, e };
        let der: Result<PublicKeyX509Der<'_>, _> = parts.as_der();
        der.map_err(|_| JwsKeyError::Rsa)?;
        let kind = JwsKeyKind::Rsa { n: n.to_vec(), e: e.to_vec() };
        Ok(Self { kind, fingerprint: fingerprint("RSA", &[n, e]) })
    }

    /// A key of an elliptic curve (RFC 7518 §6.2.1): the name of the curve, and both coordinates in their full length.
    ///
    /// # Errors
    /// [`JwsKeyError`] for another curve, and for a point that is not on it.
    pub fn ec(curve: &str, x: &[u8], y: &[u8]) -> Result<Self, JwsKeyError> {
        let length = match curve {
            "P-256" => 32,
            "P-384" => 48,
            _ => return Err(JwsKeyError::Curve),
        };
        if x.len() != length || y.len() != length {
            return Err(JwsKeyError::Point);
        }
        let point = [&[4][..], x, y].concat();
        let kind = if length == 32 {
            JwsKeyKind::P256(parsed(&ECDSA_P256_SHA256_FIXED, &point)?)
        } else {
            JwsKeyKind::P384(parsed(&ECDSA_P384_SHA384_FIXED, &point)?)
        };
        Ok(Self { kind, fingerprint: fingerprint(curve, &[x, y]) })
    }

    /// An Ed25519 key (RFC 8037 §2).
    ///
    /// # Errors
    /// [`JwsKeyError`] for another curve, and for a key under which anybody could sign.
    pub fn okp(curve: &str, x: &[u8]) -> Result<Self, JwsKeyError> {
        if curve != "Ed25519" {
            return Err(JwsKeyError::Curve);
        }
        let point: &[u8; 32] = x.try_into().map_err(|_| JwsKeyError::Point)?;
        PublicKey::from_ed25519(point).map_err(|_| JwsKeyError::Point)?;
        let kind = JwsKeyKind::Ed25519(parsed(&ED25519, x)?);
        Ok(Self { kind, fingerprint: fingerprint(curve, &[x]) })
    }

    /// Digest of the key itself: the same for the same numbers, whatever its id.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Whether signatures of this algorithm can be by this key.
    pub fn fits(&self, algorithm: JwsAlgorithm) -> bool {
        use JwsAlgorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        matches!(
            (&self.kind, algorithm),
            (JwsKeyKind::P256(_), Es256)
                | (JwsKeyKind::P384(_), Es384)
                | (JwsKeyKind::Ed25519(_), EdDsa)
                | (JwsKeyKind::Rsa { .. }, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
        )
    }
}

/// Whether `signature` is one over `signing_input` by this key and algorithm. ECDSA has the fixed form of RFC 7518 §3.4: both
/// numbers in full length, not DER.
pub fn verify(algorithm: JwsAlgorithm, key: &JwsKey, signing_input: &[u8], signature: &[u8]) -> bool {
    if !key.fits(algorithm) {
        return false;
    }
    match &key.kind {
        JwsKeyKind::P256(key) | JwsKeyKind::P384(key) | JwsKeyKind::Ed25519(key) => {
            key.verify_sig(signing_input, signature).is_ok()
        }
        JwsKeyKind::Rsa { n, e } => rsa_parameters(algorithm).is_some_and(|parameters| {
            RsaPublicKeyComponents { n, e }.verify(parameters, signing_input, signature).is_ok()
        }),
    }
}

impl JwsSigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`JwsKeyError::Library`] if the system has no random numbers.
    pub fn generate() -> Result<Self, JwsKeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Ok(Self(pair.map_err(|_| JwsKeyError::Library)?))
    }

    /// A key from PKCS#8 in DER.
    ///
    /// # Errors
    /// [`JwsKeyError::Point`] for anything that is not one P-256 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JwsKeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        Ok(Self(pair.map_err(|_| JwsKeyError::Point)?))
    }

    /// The key as PKCS#8 in DER.
    ///
    /// # Errors
    /// [`JwsKeyError::Library`] if the library fails.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, JwsKeyError> {
        let der = self.0.to_pkcs8v1().map_err(|_| JwsKeyError::Library)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// Coordinates of the public key, 32 bytes each.
    ///
    /// # Errors
    /// [`JwsKeyError::Library`] if the library has a point of another form.
    pub fn public_point(&self) -> Result<([u8; 32], [u8; 32]), JwsKeyError> {
        let point = self.0.public_key().as_ref().strip_prefix(&[4]).ok_or(JwsKeyError::Library)?;
        let (x, y) = point.split_first_chunk().ok_or(JwsKeyError::Library)?;
        Ok((*x, y.try_into().map_err(|_| JwsKeyError::Library)?))
    }

    /// Signature with ES256 over `signing_input`, in the fixed form.
    ///
    /// # Errors
    /// [`JwsKeyError::Library`] if the library fails.
    pub fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, JwsKeyError> {
        let signature = self.0.sign(&SystemRandom::new(), signing_input).map_err(|_| JwsKeyError::Library)?;
        Ok(signature.as_ref().to_vec())
    }
}

fn parsed(
    algorithm: &'static dyn aws_lc_rs::signature::VerificationAlgorithm,
    point: &[u8],
) -> Result<ParsedPublicKey, JwsKeyError> {
    ParsedPublicKey::new(algorithm, point).map_err(|_| JwsKeyError::Point)
}

fn rsa_parameters(algorithm: JwsAlgorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        JwsAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        JwsAlgorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        JwsAlgorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        JwsAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        JwsAlgorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        JwsAlgorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        JwsAlgorithm::Es256 | JwsAlgorithm::Es384 | JwsAlgorithm::EdDsa => return None,
    })
}

/// Digest over a name and parts, each preceded by its length.
fn fingerprint(name: &str, parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::new();
    for part in [name.as_bytes()].iter().chain(parts) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(*part);
    }
    Digest::of(&bytes)
}

/// Bits of a big-endian number; `None` if it is empty or begins with a zero.
fn bits(number: &[u8]) -> Option<usize> {
    let first = number.first().filter(|first| **first != 0)?;
    Some(number.len() * 8 - usize::try_from(first.leading_zeros()).ok()?)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
