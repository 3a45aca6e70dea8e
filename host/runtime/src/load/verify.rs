//! From bytes to [`Trusted`]: revocation and pin first, then each signature by cryptography, then the policy's count. What
//! is in the bytes is not looked at.

use toolgate_policy::load::signer::UnixTime;
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
    for file in &found.signatures {
        let signature = signature::read(file)?;
        match trust.keys.iter().find(|key| key.id() == signature.claimed_key()) {
            Some(key) => signatures.push(signature.verify(&found.artifact, key)?),
            None => strangers.push(signature.claimed_key()),
        }
    }
    let evidence = Evidence { signatures: &signatures, strangers: &strangers };
    Ok(trust.policy.trust(&spec.id, digest, spec.digest, evidence, standing, now)?)
}
