//! A verified credential: its holder, and what is needed to see later whether it still counts.

use std::sync::Arc;
use std::time::SystemTime;

use toolgate_policy::principal::{CallerIdentity, Principal};
use toolgate_policy::{Digest, digest};

use super::apikey_row::ApiKeyRow;
use super::issuer::IssuerSpec;
use super::scope::ScopeHierarchy;

/// The holder of a verified credential. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// The caller.
    pub principal: Principal,
    /// Time at which the credential stops counting, the allowed difference of clocks included. Streams end then.
    pub expires_at: SystemTime,
    /// Names of the credential, for records.
    pub credential: Arc<CredentialId>,
    /// Key and settings that it was verified with.
    pub(crate) proof: Proof,
}

/// Names of a credential that say nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialId {
    /// The first 16 bytes of the SHA-256 of the token or key, in hexadecimal digits.
    pub hash: String,
    /// Id of the configured issuer, or `apikey`.
    pub issuer: String,
    /// Id of the API key, if it is one.
    pub key_id: Option<String>,
    /// The first 16 bytes of the SHA-256 of `jti`, in hexadecimal digits.
    pub token_id: Option<String>,
    /// Entries of `aud` beside this server's.
    pub other_audiences: usize,
}

/// Key and settings that a credential was verified with. While they are as they were, it still counts.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    /// Scopes that imply others.
    pub(crate) hierarchy: Arc<ScopeHierarchy>,
    /// The rest, by the kind of the credential.
    pub(crate) of: ProofKind,
}

/// The part of a proof that depends on the kind of the credential.
#[derive(Debug, Clone)]
pub(crate) enum ProofKind {
    /// A token.
    Token {
        /// The issuer as it was configured.
        issuer: Arc<IssuerSpec>,
        /// Fingerprint of its key.
        key: Digest,
    },
    /// An API key as it was stored.
    ApiKey(Arc<ApiKeyRow>),
}

impl Authenticated {
    /// Memory that a holder takes, in bytes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let Some(identity) = self.principal.identity() else { return HOLDER_BYTES };
        let names = identity.groups.iter().chain(&identity.scopes).chain(&identity.actors);
        names.map(|name| name.capacity() + NAME_BYTES).sum::<usize>() + HOLDER_BYTES
    }
}

/// Memory of a holder without groups, scopes and actors, in bytes.
const HOLDER_BYTES: usize = 1_024;

/// Memory of a name beside its text, in bytes.
const NAME_BYTES: usize = 48;

/// Makes the one kind of principal that this crate makes.
#[expect(
    clippy::disallowed_methods,
    reason = "its credential was verified: only the callers of this function do that"
)]
pub(crate) fn principal(identity: CallerIdentity) -> Principal {
    Principal::identified(identity)
}

/// Name of a credential, or of its id, in records.
pub(crate) fn short(digest: &Digest) -> String {
    digest::hex(digest.as_bytes().get(..16).unwrap_or_default())
}
