//! Verification of a JWT access token (RFC 9068 §4, RFC 8725): the steps in their order. Those that cost nothing come before
//! keys are looked for, so that a token which cannot be good causes no request; nothing that a token says about its holder is
//! believed before its signature.

use toolgate_policy::limits::auth::{AUDIENCES_MAX, KEYS_TRIED_MAX};
use toolgate_policy::principal::CallerIdentity;
use toolgate_policy::{Digest, redact::printable};
use toolgate_signature::jws::{self, JwsAlgorithm};

use super::claims::{TokenClaims, strings};
use super::explain::{AuthError, AuthFailure, AuthStep, StepLog};
use super::identity;
use super::issuer::{AudienceFrom, IssuerSpec};
use super::jwks::KeySet;
use super::scope::ScopeHierarchy;
use super::token::UnverifiedToken;
use toolgate_base::json::Json;

/// A token whose issuer, algorithm and type are acceptable. Its signature is not verified.
pub(crate) struct Candidate<'t> {
    token: UnverifiedToken<'t>,
    algorithm: JwsAlgorithm,
}

/// A verified token.
pub(crate) struct Verified {
    /// Holder.
    pub(crate) identity: CallerIdentity,
    /// Second since 1970 at which it stops counting.
    pub(crate) expires_s: u64,
    /// Fingerprint of the key that signed it.
    pub(crate) key: Digest,
    /// Digest of `jti`.
    pub(crate) id: Option<Digest>,
    /// Entries of `aud` beside ours.
    pub(crate) other_audiences: usize,
}

/// Reads a token and gives it with what it says to be its issuer, unverified.
pub(crate) fn read<'t>(text: &'t str, log: &mut StepLog) -> Result<(UnverifiedToken<'t>, String), AuthError> {
    let token = UnverifiedToken::read(text)?;
    log.pass(AuthStep::Form, || "three parts, header and payload are strict JSON".to_owned());
    log.pass(AuthStep::Header, || {
        let shown =
            |part: &Option<String>| part.as_deref().map_or("absent".to_owned(), |text| printable(text, 80));
        format!(
            "alg {}, typ {}, kid {}",
            printable(&token.algorithm, 40),
            shown(&token.media_type),
            shown(&token.key_id)
        )
    });
    let issuer = token.claims.text(AuthStep::Issuer, "iss")?;
    let issuer = issuer.ok_or_else(|| AuthError::invalid(AuthStep::Issuer, "issuer", "there is no `iss`"))?;
    let issuer = issuer.to_owned();
    Ok((token, issuer))
}

impl<'t> Candidate<'t> {
    /// Checks algorithm and type of a token of this issuer.
    pub(crate) fn check(
        token: UnverifiedToken<'t>,
        issuer: &IssuerSpec,
        log: &mut StepLog,
    ) -> Result<Self, AuthError> {
        let allowed = &issuer.text().algorithms;
        let algorithm = JwsAlgorithm::from_name(&token.algorithm).filter(|found| allowed.contains(found));
        let algorithm = algorithm.ok_or_else(|| {
            let names: Vec<&str> = allowed.iter().map(|algorithm| algorithm.name()).collect();
            let detail = format!("`alg` is `{}`; the issuer's are {}", token.algorithm, names.join(", "));
            AuthError::invalid(AuthStep::Algorithm, "algorithm", detail)
                .with_remedy("if the issuer signs with it, add it to `algorithms`")
        })?;
        log.pass(AuthStep::Algorithm, || algorithm.name().to_owned());
        let found = issuer.text().profile.check_type(token.media_type.as_deref(), &token.claims)?;
        log.pass(AuthStep::TokenType, || found);
        Ok(Self { token, algorithm })
    }

    /// Whether the set has a key that the token may be signed with.
    pub(crate) fn has_key(&self, keys: &KeySet) -> bool {
        match &self.token.key_id {
            Some(id) => keys.has(id),
            None => keys.iter().any(|key| key.fits(self.algorithm)),
        }
    }

    /// Verifies signature and claims.
    pub(crate) fn verify(
        &self,
        issuer: &IssuerSpec,
        keys: &KeySet,
        hierarchy: &ScopeHierarchy,
        now_s: u64,
        log: &mut StepLog,
    ) -> Result<Verified, AuthError> {
        let key = self.verify_signature(keys, log)?;
        let claims = &self.token.claims;
        if claims.text(AuthStep::Issuer, "iss")? != Some(issuer.text().issuer.as_str()) {
            return Err(AuthError::invalid(AuthStep::Issuer, "issuer", "`iss` is not the issuer's"));
        }
        let other_audiences = check_audience(claims, issuer, log)?;
        let expires_s = check_time(claims, issuer.text().clock_skew_s, now_s, log)?;
        let id = claims.text(AuthStep::Identity, "jti")?.map(|id| Digest::of(id.as_bytes()));
        let identity = identity::read(claims, issuer, hierarchy, log)?;
        Ok(Verified { identity, expires_s, key, id, other_audiences })
    }

    fn verify_signature(&self, keys: &KeySet, log: &mut StepLog) -> Result<Digest, AuthError> {
        let is_named = |id: Option<&str>| match &self.token.key_id {
            Some(wanted) => id == Some(wanted.as_str()),
            None => true,
        };
        let fitting: Vec<_> = keys
            .iter()
            .filter(|key| is_named(key.id()) && key.fits(self.algorithm))
            .take(KEYS_TRIED_MAX)
            .collect();
        if fitting.is_empty() {
            let detail = format!("the key that `kid` names is not for {}", self.algorithm.name());
            return Err(AuthError::invalid(AuthStep::Key, "key", detail));
        }
        log.pass(AuthStep::Key, || format!("{} of {} keys fit", fitting.len(), keys.iter().count()));
        let signer = fitting.into_iter().find(|key| {
            jws::verify(self.algorithm, key.key(), self.token.signing_input, &self.token.signature)
        });
        let signer = signer.ok_or_else(|| {
            AuthError::invalid(
                AuthStep::Signature,
                "signature",
                "the signature is not by a key of the issuer",
            )
        })?;
        log.pass(AuthStep::Signature, || format!("by key {}", signer.id().unwrap_or("without id")));
        Ok(signer.key().fingerprint())
    }
}

/// Checks that the token is for this server. Returns the number of its other audiences.
fn check_audience(claims: &TokenClaims, issuer: &IssuerSpec, log: &mut StepLog) -> Result<usize, AuthError> {
    let refuse = |detail: String| AuthError::invalid(AuthStep::Audience, "audience", detail);
    let ours = |name: &str| issuer.text().audiences.iter().any(|audience| audience == name);
    if issuer.text().audience_from == AudienceFrom::Client {
        if claims.has("aud") {
            return Err(refuse("it has `aud`, and the issuer has audience_from = \"client_id\"".to_owned())
                .with_remedy("remove audience_from, and write the value of `aud` into `audiences`"));
        }
        let client = identity::client(claims, issuer)?.filter(|client| ours(client));
        let client = client.ok_or_else(|| refuse("its client is not one of `audiences`".to_owned()))?;
        log.pass(AuthStep::Audience, || format!("client {client}"));
        return Ok(0);
    }
    let all = match claims.get("aud") {
        None => {
            return Err(refuse("there is no `aud`: it could be for any server".to_owned())
                .with_remedy("let the issuer put this server's audience into its access tokens"));
        }
        Some(Json::String(one)) => vec![one.as_str()],
        Some(value) => strings(AuthStep::Audience, "aud", value)?,
    };
    if all.len() > AUDIENCES_MAX {
        return Err(refuse(format!("`aud` has more than {AUDIENCES_MAX} entries")));
    }
    let matching = all.iter().filter(|name| ours(name)).count();
    if matching == 0 {
        return Err(refuse(format!("`aud` is {all:?}, and none of it is in `audiences`")).with_remedy(
            "if this token is meant for this server, add its `aud` to the issuer's `audiences`",
        ));
    }
    log.pass(AuthStep::Audience, || format!("{all:?}"));
    Ok(all.len() - matching)
}

/// Checks that the token is valid now. Returns the second at which it stops counting.
fn check_time(claims: &TokenClaims, skew_s: u64, now_s: u64, log: &mut StepLog) -> Result<u64, AuthError> {
    let refuse = |detail: String| AuthError::invalid(AuthStep::Time, "time", detail);
    let expires_s = claims.date("exp")?.ok_or_else(|| refuse("there is no `exp`".to_owned()))? + skew_s;
    for name in ["nbf", "iat"] {
        if let Some(begins_s) = claims.date(name)?.filter(|begins_s| *begins_s > now_s + skew_s) {
            return Err(refuse(format!("`{name}` is {} s in the future", begins_s - now_s))
                .with_remedy("compare the clocks of the issuer and of this machine"));
        }
    }
    if expires_s <= now_s {
        let detail = format!("it expired {} s ago", now_s + skew_s - expires_s);
        return Err(AuthError::new(AuthFailure::Expired, AuthStep::Time, "expired", detail)
            .with_remedy("get a new token"));
    }
    log.pass(AuthStep::Time, || format!("valid for {} s", expires_s - now_s));
    Ok(expires_s)
}
