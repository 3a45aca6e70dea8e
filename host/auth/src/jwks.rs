//! Key sets of issuers (RFC 7517 §5). A key that cannot be used here is skipped with its reason; the others count.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use toolgate_base::json::{Json, JsonError, JsonLimits};
use toolgate_policy::limits::auth::{JWKS_BYTES_MAX, JWKS_KEYS_MAX, JWKS_NODES_MAX, TOKEN_DEPTH_MAX};
use toolgate_policy::redact::printable;
use toolgate_signature::jws::{JwsAlgorithm, JwsKey, JwsKeyError};

use super::token::is_key_id;

/// Usable keys of an issuer, and why others are not.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<IssuerKey>,
    skipped: Vec<SkippedKey>,
}

/// A key for signatures.
#[derive(Debug, Clone)]
pub struct IssuerKey {
    id: Option<String>,
    algorithm: Option<JwsAlgorithm>,
    key: JwsKey,
}

/// A key that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// `kid`, or its place in the set; printable.
    pub name: String,
    /// Reason.
    pub why: String,
}

/// A text that is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Not strict JSON.
    #[error("the key set cannot be read: {0}")]
    Json(#[from] JsonError),
    /// Without a list of keys.
    #[error("the key set has no list `keys`")]
    Shape,
    /// Too long.
    #[error("the key set has more than {JWKS_KEYS_MAX} keys")]
    TooMany,
    /// Without one key for signatures.
    #[error("the key set has no usable key{}", .0.first().map(|key| format!(" ({}: {})", key.name, key.why)).unwrap_or_default())]
    Empty(Vec<SkippedKey>),
}

const LIMITS: JsonLimits =
    JsonLimits { bytes_max: JWKS_BYTES_MAX, depth_max: TOKEN_DEPTH_MAX, nodes_max: JWKS_NODES_MAX };

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    /// [`JwksError`] for a text that is not one, and for a set without any usable key.
    pub fn parse(text: &[u8]) -> Result<Self, JwksError> {
        let json = Json::parse(text, LIMITS)?;
        let Some(Json::Array(list)) = json.get("keys") else { return Err(JwksError::Shape) };
        if list.len() > JWKS_KEYS_MAX {
            return Err(JwksError::TooMany);
        }
        let mut set = Self::default();
        for (at, jwk) in list.iter().enumerate() {
            match IssuerKey::read(jwk) {
                Ok(key) => set.keys.push(key),
                Err(why) => {
                    let id = jwk.get("kid").and_then(Json::as_str);
                    let name = id.map_or_else(|| format!("key {}", at + 1), |id| printable(id, 80));
                    set.skipped.push(SkippedKey { name, why });
                }
            }
        }
        if set.keys.is_empty() { Err(JwksError::Empty(set.skipped)) } else { Ok(set) }
    }

    /// Usable keys, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &IssuerKey> {
        self.keys.iter()
    }

    /// Keys that are not used.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Whether there is a usable key of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether both sets verify the same tokens.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let parts = |set: &Self| -> Vec<_> {
            set.keys.iter().map(|key| (key.id.clone(), key.algorithm, key.key.fingerprint())).collect()
        };
        parts(self) == parts(other)
    }
}

impl IssuerKey {
    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `alg`: the only algorithm that it is for.
    pub fn algorithm(&self) -> Option<JwsAlgorithm> {
        self.algorithm
    }

    /// The key itself.
    pub fn key(&self) -> &JwsKey {
        &self.key
    }

    /// Whether tokens of this algorithm can be signed with it.
    pub(crate) fn fits(&self, algorithm: JwsAlgorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.key.fits(algorithm)
    }

    fn read(jwk: &Json) -> Result<Self, String> {
        if !matches!(jwk, Json::Object(_)) {
            return Err("it is not an object".to_owned());
        }
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(format!("`{name}` is {}", other.kind())),
        };
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err("`use` is not sig: it is for encryption".to_owned());
        }
        check_operations(jwk)?;
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| jwk.get(name).is_some()) {
            return Err("it is published with its private part: anybody can sign with it".to_owned());
        }
        let id = text("kid")?;
        if id.is_some_and(|id| !is_key_id(id)) {
            return Err("`kid` is empty, too long, or has other characters than visible ASCII".to_owned());
        }
        let bytes = |name: &str| -> Result<Vec<u8>, String> {
            let text = text(name)?.ok_or_else(|| format!("there is no `{name}`"))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("`{name}` is not base64url"))
        };
        let curve = || text("crv").map(Option::unwrap_or_default);
        let refuse = |error: JwsKeyError| error.to_string();
        let key = match text("kty")? {
            Some("RSA") => JwsKey::rsa(&bytes("n")?, &bytes("e")?).map_err(refuse)?,
            Some("EC") => JwsKey::ec(curve()?, &bytes("x")?, &bytes("y")?).map_err(refuse)?,
            Some("OKP") => JwsKey::okp(curve()?, &bytes("x")?).map_err(refuse)?,
            _ => return Err("`kty` is not RSA, EC or OKP".to_owned()),
        };
        let algorithm = match text("alg")? {
            None => None,
            Some(name) => Some(
                JwsAlgorithm::from_name(name)
                    .filter(|algorithm| key.fits(*algorithm))
                    .ok_or_else(|| format!("`alg` is {}, which it cannot sign with", printable(name, 40)))?,
            ),
        };
        Ok(Self { id: id.map(str::to_owned), algorithm, key })
    }
}

fn check_operations(jwk: &Json) -> Result<(), String> {
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Json::Array(all)) if all.iter().any(|one| one.as_str() == Some("verify")) => Ok(()),
        Some(_) => Err("`key_ops` has no verify".to_owned()),
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
