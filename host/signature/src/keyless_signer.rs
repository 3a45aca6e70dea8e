//! Signers known by a certified identity, and the trusted roots for their certificates.

use std::sync::Arc;
use toolgate_policy::limits::size;

use sigstore_verify::Verifier;
use sigstore_verify::trust_root::TrustedRoot;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::CONFIG_BYTES_MAX;
use toolgate_policy::limits::wire::JSON_DEPTH_MAX;
use toolgate_policy::load::identity::Identity;
use toolgate_policy::load::key_id::KeyId;

use super::key::check_keys_in;

/// A signer known by an identity that an issuer certifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeylessSigner {
    /// The identity.
    pub identity: Identity,
    /// Root for its certificates.
    pub root: Root,
}

/// Trusted certificate, log and timestamp authorities.
#[derive(Clone)]
pub struct Root {
    pub(super) verifier: Arc<Verifier>,
    /// Digest of the root's file.
    digest: Digest,
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Root {}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Root({})", self.digest)
    }
}

/// A file that is not a usable trusted root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TrustedRootError(String);

impl KeylessSigner {
    /// Parses a `trusted_root.json` (Sigstore's protobuf-specs, TrustedRoot). Refuses also a root that could verify
    /// nothing.
    pub fn root(text: &str) -> Result<Root, TrustedRootError> {
        const BOUNDS: JsonLimits =
            JsonLimits { bytes_max: size(CONFIG_BYTES_MAX), depth_max: JSON_DEPTH_MAX, nodes_max: 100_000 };
        let wrong =
            |why: &dyn std::fmt::Display| TrustedRootError(format!("it is not a trusted root: {why}"));
        Json::parse(text.as_bytes(), BOUNDS).map_err(|error| wrong(&error))?;
        let root = TrustedRoot::from_json(text).map_err(|error| wrong(&error))?;
        if !root.media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(wrong(&"its `mediaType` is another"));
        }
        for (name, count) in [
            ("certificateAuthorities", root.certificate_authorities.len()),
            ("tlogs", root.tlogs.len()),
            ("ctlogs", root.ctlogs.len()),
        ] {
            if count == 0 {
                return Err(wrong(&format!("it has no `{name}`, so that nothing could be proved by it")));
            }
        }
        let logs = root.tlogs.iter().map(|log| log.public_key.raw_bytes.as_bytes());
        let logs = logs.chain(root.ctlogs.iter().map(|log| log.public_key.raw_bytes.as_bytes()));
        let chains = root.certificate_authorities.iter().map(|authority| &authority.cert_chain);
        let chains = chains.chain(root.timestamp_authorities.iter().map(|authority| &authority.cert_chain));
        let certificates =
            chains.flat_map(|chain| chain.certificates.iter().map(|one| one.raw_bytes.as_bytes()));
        for der in logs.chain(certificates) {
            check_keys_in(der).map_err(|error| wrong(&format!("of a key in it: {error}")))?;
        }
        let verifier = Arc::new(Verifier::new(&root).map_err(|error| wrong(&error))?);
        Ok(Root { verifier, digest: Digest::of(text.as_bytes()) })
    }

    /// The signer's id in the policy.
    pub fn id(&self) -> KeyId {
        self.identity.id(self.root.digest)
    }
}
