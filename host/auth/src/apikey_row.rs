//! Stored API keys, as a file of them has them: never the secret.

use std::collections::BTreeSet;
use std::time::SystemTime;

use ipnet::IpNet;
use toolgate_policy::limits::auth::{API_KEY_NETWORKS_MAX, CLAIM_CHARS_MAX, GROUPS_MAX, SCOPES_MAX};
use toolgate_policy::principal::Tenant;
use toolgate_policy::redact::{is_plain, printable};
use toolgate_policy::{Digest, InvalidValueError};

use super::scope;

/// One stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its id, by which it is looked up. No secret.
    pub id: String,
    /// SHA-256 of the whole key.
    pub hash: Digest,
    /// Its holder. Two keys of one name are one principal, so that a key can be replaced.
    pub name: String,
    /// The holder's tenant.
    pub tenant: Tenant,
    /// The holder's groups, without `apikey/`.
    pub groups: BTreeSet<String>,
    /// The holder's scopes.
    pub scopes: BTreeSet<String>,
    /// Tools to which it is limited; `None` for all that rules allow.
    pub tools: Option<BTreeSet<String>>,
    /// Networks from which it may come; empty for all.
    pub from: Vec<IpNet>,
    /// End.
    pub not_after: SystemTime,
    /// The one who made it.
    pub created_by: String,
    /// Time of its revocation. Present = revoked, whatever the time.
    pub revoked: Option<SystemTime>,
}

/// Characters of an id.
pub(crate) const ID_CHARS: usize = 8;

/// Digits of an id (RFC 4648 §6, in lower case).
pub(crate) const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl ApiKeyRow {
    /// Checks a row. `last` is the latest end that a key may have.
    pub(crate) fn check(&self, last: SystemTime) -> Result<(), InvalidValueError> {
        let wrong = |why: &str| Err(InvalidValueError::at(printable(&self.id, 40), why));
        let is_name = |text: &String| {
            !text.is_empty() && text.chars().count() <= CLAIM_CHARS_MAX && text.chars().all(is_plain)
        };
        if !is_id(&self.id) {
            return wrong("its id does not have eight characters of a-z and 2-7");
        }
        if !is_name(&self.name) || !is_name(&self.created_by) {
            return wrong("`name` and `created_by` have 1 to 256 printable characters");
        }
        if self.groups.len() > GROUPS_MAX || !self.groups.iter().all(is_name) {
            return wrong("its groups are too many, or one is not a name");
        }
        if self.scopes.len() > SCOPES_MAX {
            return wrong("its scopes are too many");
        }
        for scope in &self.scopes {
            scope::check(scope)?;
        }
        if self.from.len() > API_KEY_NETWORKS_MAX {
            return wrong("`from` has too many networks");
        }
        // A key that is no good any more does no harm, whatever its end was.
        if self.revoked.is_none() && self.not_after > last {
            return wrong("`not_after` is later than key_days_max allows; make another key");
        }
        Ok(())
    }
}

/// Whether a text is an id of a key.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|byte| BASE32.contains(&byte))
}
