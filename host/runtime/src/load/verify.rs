//! From bytes to [`Trusted`]: revocation and pin first, then each signature by cryptography, then the policy's count. What
//! is in the bytes is not looked at.

use toolgate_policy::load::signer::{Claim, Format, UnixTime, VerifiedSignature};
use toolgate_policy::load::trust::{Evidence, Standing};
use toolgate_policy::load::{Distrust, Trusted};

use super::source::Found;
use crate::signature::{self, BadSignature};
use crate::spec::{PluginSpec, Trust};

/// Why the bytes are not trusted.
#[derive(Debug, thiserror::Error)]
pub enum NotTrusted {
    /// The policy says no.
    #[error(transparent)]
    Policy(#[from] Distrust),
    /// A signature file cannot be read, or a known key's signature is not genuine.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// A signature that was found, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its file.
    pub file: String,
    /// Its format.
    pub format: Format,
    /// Whose it is.
    pub by: By,
}

/// Whose a signature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A signer's, and genuine.
    Signer(VerifiedSignature),
    /// It names nobody who is a signer. Nothing else is known about it.
    Stranger(Claim),
}

/// Checks what was found against whom the operator trusts.
///
/// # Errors
/// [`NotTrusted`]. A signature by an unknown key is no reason; one by a known key that fails is.
pub fn verify(
    spec: &PluginSpec,
    trust: &Trust,
    found: &Found,
    standing: Standing,
    now: UnixTime,
) -> Result<Trusted, NotTrusted> {
    let digest = found.artifact.digest();
    trust.policy.precheck(digest, spec.digest)?;
    let mut signatures = Vec::new();
    let mut strangers = Vec::new();
    for examined in examine(trust, found)? {
        match examined.by {
            By::Signer(signature) => signatures.push(signature),
            By::Stranger(claim) => strangers.push(claim),
        }
    }
    let evidence = Evidence { signatures: &signatures, strangers: &strangers };
    Ok(trust.policy.trust(&spec.id, digest, spec.digest, evidence, standing, now)?)
}

/// Looks at every signature that was found, in the order of their names.
///
/// # Errors
/// [`BadSignature`]: one cannot be read, or is said to be a signer's and is not.
pub fn examine(trust: &Trust, found: &Found) -> Result<Vec<Examined>, BadSignature> {
    let mut all = Vec::new();
    for file in &found.signatures {
        let signature = signature::read(file)?;
        let claim = signature.claim();
        // More than one can be meant only where the number of a minisign key was copied.
        let named = trust.anchors.iter().filter(|anchor| anchor.is_named_by(&claim));
        let mut verdicts = named.map(|anchor| signature.verify(&found.artifact, anchor)).peekable();
        let by = match verdicts.peek().cloned() {
            Some(first) => By::Signer(verdicts.find(Result::is_ok).unwrap_or(first)?),
            None => By::Stranger(claim),
        };
        all.push(Examined { file: file.name.clone(), format: signature.format(), by });
    }
    Ok(all)
}
