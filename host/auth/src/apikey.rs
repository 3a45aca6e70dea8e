//! API keys: `tgk_`, an id of eight characters, `_`, 32 random bytes in base64url, and a checksum, so that scanners for leaked
//! secrets find them (`tgk_[a-z2-7]{8}_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}`). Only their digests are stored.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use toolgate_policy::limits::auth::{API_KEY_DAYS, API_KEYS_MAX};
use toolgate_policy::principal::{API_KEY_ISSUER, CallerIdentity, IdentityKind};
use toolgate_policy::{Digest, InvalidValueError};
use toolgate_signature::constant_time::is_equal;
use toolgate_signature::random;
use zeroize::Zeroizing;

use super::apikey_row::{BASE32, ID_CHARS, is_id};
use super::authenticated::{Authenticated, CredentialId, Proof, ProofKind, principal, short};
use super::bearer::API_KEY_PREFIX;
use super::explain::{AuthError, AuthStep, StepLog};
use super::scope::ScopeHierarchy;

pub use super::apikey_row::ApiKeyRow;

/// A new key. It is shown once and not stored.
pub struct NewApiKey {
    /// The key itself.
    pub text: Zeroizing<String>,
    /// Its id.
    pub id: String,
    /// Its digest, which is stored.
    pub hash: Digest,
}

/// The keys of a server, by id.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(HashMap<String, Arc<ApiKeyRow>>);

const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes a key from the system's random numbers.
///
/// # Errors
/// [`random::RandomError`] if the system gives none.
pub fn generate() -> Result<NewApiKey, random::RandomError> {
    let digit = |byte: &u8| BASE32.get(usize::from(byte & 31)).copied().map_or('a', char::from);
    let id: String = random::bytes::<ID_CHARS>()?.iter().map(digit).collect();
    let secret = random::bytes::<32>()?;
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret));
    let mut text = Zeroizing::new(String::with_capacity(64));
    for part in [API_KEY_PREFIX, &id, "_", &secret] {
        text.push_str(part);
    }
    let checksum = checksum(text.as_bytes());
    text.push_str(&checksum);
    let hash = Digest::of(text.as_bytes());
    Ok(NewApiKey { text, id, hash })
}

/// The id of a key whose form and checksum are right.
pub fn id(text: &str) -> Option<&str> {
    let (id, rest) = text.strip_prefix(API_KEY_PREFIX)?.split_at_checked(ID_CHARS)?;
    let secret = rest.strip_prefix('_')?;
    let body = text.get(..text.len().checked_sub(CHECKSUM_CHARS)?)?;
    let is_secret = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_whole = secret.len() == SECRET_CHARS + CHECKSUM_CHARS
        && is_id(id)
        && secret.bytes().all(is_secret)
        && text.strip_prefix(body) == Some(checksum(body.as_bytes()).as_str());
    is_whole.then_some(id)
}

impl ApiKeys {
    /// The keys of these rows. `longest` is the time for which one may be good from `now` on.
    ///
    /// # Errors
    /// [`InvalidValueError`] for the first fault, which names the key.
    pub fn new(rows: Vec<ApiKeyRow>, now: SystemTime, longest: Duration) -> Result<Self, InvalidValueError> {
        if rows.len() > API_KEYS_MAX {
            return Err(InvalidValueError::new(format!("there are more than {API_KEYS_MAX} keys")));
        }
        let longest = longest.min(Duration::from_secs(API_KEY_DAYS.ceiling * 86_400));
        let last = now.checked_add(longest).unwrap_or(now);
        let mut keys = HashMap::with_capacity(rows.len());
        for row in rows {
            row.check(last)?;
            let at = row.id.clone();
            if keys.insert(row.id.clone(), Arc::new(row)).is_some() {
                return Err(InvalidValueError::at(at, "two keys have this id"));
            }
        }
        Ok(Self(keys))
    }

    /// All keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &ApiKeyRow> {
        self.0.values().map(Arc::as_ref)
    }

    /// Verifies a key.
    pub(crate) fn verify(
        &self,
        text: &str,
        source: IpAddr,
        now: SystemTime,
        hierarchy: &Arc<ScopeHierarchy>,
        log: &mut StepLog,
    ) -> Result<Authenticated, AuthError> {
        let refuse = |reason: &'static str, detail: String| AuthError {
            issuer: Some(API_KEY_ISSUER.to_owned()),
            ..AuthError::invalid(AuthStep::ApiKey, reason, detail)
        };
        let id =
            id(text).ok_or_else(|| refuse("key-form", "its form or its checksum is wrong".to_owned()))?;
        let hash = Digest::of(text.as_bytes());
        // An unknown id takes as long as a known one.
        let row = self.0.get(id);
        let is_right = is_equal(hash.as_bytes(), row.map_or(&[0; 32], |row| row.hash.as_bytes()));
        let Some(row) = row.filter(|_| is_right) else {
            return Err(refuse("key-unknown", format!("no key {id}, or another secret")));
        };
        if row.revoked.is_some() {
            return Err(refuse("key-revoked", format!("key {id} is revoked")).with_remedy("make another key"));
        }
        if now >= row.not_after {
            return Err(
                refuse("key-expired", format!("key {id} has expired")).with_remedy("make another key")
            );
        }
        let source = source.to_canonical();
        if !row.from.is_empty() && !row.from.iter().any(|network| network.contains(&source)) {
            return Err(refuse("key-source", format!("key {id} may not come from {source}"))
                .with_remedy("add the network to the key's `from`"));
        }
        log.pass(AuthStep::ApiKey, || format!("key {id} of `{}`", row.name));
        Ok(holder(row, hierarchy))
    }

    /// The key as it is stored now.
    pub(crate) fn row(&self, id: &str) -> Option<&ApiKeyRow> {
        self.0.get(id).map(Arc::as_ref)
    }
}

/// The holder of a key that was verified.
fn holder(row: &Arc<ApiKeyRow>, hierarchy: &Arc<ScopeHierarchy>) -> Authenticated {
    let identity = CallerIdentity {
        kind: IdentityKind::Service,
        issuer: API_KEY_ISSUER.to_owned(),
        subject: row.name.clone(),
        client: Some(row.id.clone()),
        tenant: row.tenant.clone(),
        groups: row.groups.iter().map(|group| format!("{API_KEY_ISSUER}/{group}")).collect(),
        scopes: hierarchy.close(row.scopes.clone()),
        actors: Vec::new(),
        tools: row.tools.clone(),
    };
    let credential = CredentialId {
        hash: short(&row.hash),
        issuer: API_KEY_ISSUER.to_owned(),
        key_id: Some(row.id.clone()),
        token_id: None,
        other_audiences: 0,
    };
    Authenticated {
        principal: principal(identity),
        expires_at: row.not_after,
        credential: Arc::new(credential),
        proof: Proof { hierarchy: Arc::clone(hierarchy), of: ProofKind::ApiKey(Arc::clone(row)) },
    }
}

/// CRC-32 of ISO 3309 in base62, padded with zeros.
fn checksum(bytes: &[u8]) -> String {
    let step = |value: u32| if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
    let crc =
        !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    let digit = |place: u32| {
        let digit = (u64::from(crc) / 62_u64.pow(place)) % 62;
        usize::try_from(digit).ok().and_then(|digit| BASE62.get(digit)).copied().map_or('0', char::from)
    };
    (0..6).rev().map(digit).collect()
}

#[cfg(test)]
#[path = "apikey_tests.rs"]
mod tests;
