//! SSH signatures (OpenSSH's PROTOCOL.sshsig), as `ssh-keygen -Y sign` writes them. The namespace is signed and must be
//! ours, so a signature for another purpose (a commit, a mail) does not count. Only the canonical encoding is accepted:
//! a text must re-encode to itself.

use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{Algorithm, EcdsaCurve, LineEnding, Mpint, SshSig};
use toolgate_base::artifact::Artifact;
use toolgate_policy::limits::load::DETACHED_SIGNATURE_BYTES_MAX;
use toolgate_policy::load::signer::{Claim, Format, VerifiedSignature};

use super::anchor::Anchor;
use super::key::{KeyKind, PublicKey};
use super::{Signature, SignatureError, SignatureFile, unreadable};

/// Namespace for `ssh-keygen -Y sign -n`.
pub const NAMESPACE: &str = "toolgate-plugin";

/// A parsed SSH signature.
pub struct Ssh {
    file: String,
    sig: SshSig,
    /// 64 bytes: r and s of ECDSA, or R and S of Ed25519.
    raw: Vec<u8>,
    key: PublicKey,
}

impl Ssh {
    /// Parses a signature. Refuses another namespace, another kind of key, and anything that is not canonical.
    pub fn read(file: &SignatureFile) -> Result<Self, SignatureError> {
        if file.bytes.len() as u64 > DETACHED_SIGNATURE_BYTES_MAX {
            return Err(unreadable(file, format!("it has more than {DETACHED_SIGNATURE_BYTES_MAX} bytes")));
        }
        let sig = SshSig::from_pem(&file.bytes).map_err(|error| unreadable(file, error.to_string()))?;
        let spelled = sig.to_pem(LineEnding::LF).map_err(|error| unreadable(file, error.to_string()))?;
        let text = file.bytes.strip_suffix(b"\n").unwrap_or(&file.bytes);
        if text != spelled.trim_end().as_bytes() {
            return Err(unreadable(file, "it is not in the spelling of `ssh-keygen`"));
        }
        if sig.version() != SshSig::VERSION || !sig.reserved().is_empty() {
            return Err(unreadable(file, "it is of a version that Toolgate does not know"));
        }
        if sig.namespace() != NAMESPACE {
            let other = toolgate_policy::redact::printable(sig.namespace(), 60);
            return Err(unreadable(
                file,
                format!("its namespace is `{other}`; sign with `ssh-keygen -Y sign -n {NAMESPACE}`"),
            ));
        }
        let key = public_key(sig.public_key()).map_err(|why| unreadable(file, why))?;
        let raw = raw_signature(&sig, key.kind)
            .ok_or_else(|| unreadable(file, "what it signs with is not what its key is for"))?;
        Ok(Self { file: file.name.clone(), sig, raw, key })
    }
}

impl Signature for Ssh {
    fn format(&self) -> Format {
        Format::Ssh
    }

    fn claim(&self) -> Claim {
        Claim::Key(self.key.id())
    }

    fn verify(&self, artifact: &Artifact, signer: &Anchor) -> Result<VerifiedSignature, SignatureError> {
        let forged = || SignatureError::Forged(self.file.clone());
        let message = SshSig::signed_data(NAMESPACE, self.sig.hash_alg(), artifact.bytes());
        let message = message.map_err(|_| forged())?;
        let Anchor::Key(key) = signer else { return Err(forged()) };
        if key.id() != self.key.id() || !key.signed(&message, &self.raw) {
            return Err(forged());
        }
        #[expect(clippy::disallowed_methods, reason = "it was verified above")]
        let verified = VerifiedSignature::new(artifact.digest(), key.id(), None);
        Ok(verified)
    }
}

/// Converts a key of a supported kind.
pub(super) fn public_key(key: &KeyData) -> Result<PublicKey, String> {
    check_kind(key.algorithm().as_str())?;
    match key {
        KeyData::Ed25519(key) => PublicKey::from_ed25519(&key.0).map_err(|error| error.to_string()),
        KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => {
            PublicKey::from_p256_point(point.as_bytes()).map_err(|error| error.to_string())
        }
        _ => Err("its key is not of the kind that it says".to_owned()),
    }
}

/// Checks that a key kind is supported. Certificates are not, since their issuers would have to be verified.
pub(super) fn check_kind(kind: &str) -> Result<(), String> {
    if matches!(kind, "ssh-ed25519" | "ecdsa-sha2-nistp256") {
        return Ok(());
    }
    let kind = toolgate_policy::redact::printable(kind, 60);
    Err(format!("its key is of the kind {kind}; Toolgate takes ssh-ed25519 and ecdsa-sha2-nistp256"))
}

/// Converts the signature for the cryptographic library.
fn raw_signature(sig: &SshSig, kind: KeyKind) -> Option<Vec<u8>> {
    match (sig.algorithm(), kind) {
        (Algorithm::Ed25519, KeyKind::Ed25519) => Some(sig.signature_bytes().to_vec()),
        (Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, KeyKind::P256) => {
            let (r, rest) = scalar(sig.signature_bytes())?;
            let (s, rest) = scalar(rest)?;
            rest.is_empty().then(|| [r, s].concat())
        }
        _ => None,
    }
}

/// Parses an `mpint` (RFC 4251 §5) as 32 bytes; returns it and the rest.
fn scalar(bytes: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let number = Mpint::from_bytes(number).ok()?;
    let number = number.as_positive_bytes()?;
    let mut scalar = [0_u8; 32];
    scalar.get_mut(32_usize.checked_sub(number.len())?..)?.copy_from_slice(number);
    Some((scalar, rest))
}

#[cfg(test)]
#[path = "ssh_tests.rs"]
mod tests;
