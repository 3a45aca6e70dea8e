//! Issuers of tokens: checked configuration. A specification that could accept what it should not cannot be made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toolgate_policy::InvalidValueError;
use toolgate_policy::limits::auth::{
    AUDIENCES_MAX, CLAIM_CHARS_MAX, CLOCK_SKEW_S, ISSUER_TIMEOUT_MS, KEYS_OUTAGE_S,
};
use toolgate_policy::principal::{API_KEY_ISSUER, Tenant};
use toolgate_policy::redact::{is_plain, printable};
use toolgate_signature::jws::JwsAlgorithm;
use url::{Host, Url};

use super::claim_path::ClaimPath;
use super::profile::Profile;
use super::scope;

/// One `[[auth.issuer]]` as it was written, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerText {
    /// Name in records, and before each group.
    pub id: String,
    /// `iss` of its tokens, byte for byte.
    pub issuer: String,
    /// Values of `aud` of which a token must have one.
    pub audiences: Vec<String>,
    /// Claim that says whom a token is for.
    pub audience_from: AudienceFrom,
    /// Algorithms that it signs with.
    pub algorithms: Vec<JwsAlgorithm>,
    /// Form of its tokens.
    pub profile: Profile,
    /// Scopes that a client can get here by asking.
    pub scopes: Vec<String>,
    /// Path of the groups; that of the profile if absent.
    pub groups: Option<String>,
    /// Tenant of its tokens.
    pub tenant: TenantRule,
    /// Place of its keys.
    pub keys: KeySource,
    /// Whether it may be at a private address, or on this machine.
    pub private: bool,
    /// File with the certificate authorities of its servers; those of the system if absent.
    pub ca: Option<PathBuf>,
    /// Time for one request to it.
    pub timeout: Duration,
    /// Difference of its clock, in seconds.
    pub clock_skew_s: u64,
    /// Age up to which its keys are used while it cannot be reached, in seconds.
    pub outage_s: u64,
}

/// A checked issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSpec {
    text: IssuerText,
    groups: ClaimPath,
}

/// Claim that says whom a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AudienceFrom {
    /// `aud`.
    #[default]
    Audience,
    /// The client, for access tokens of Cognito, which have no `aud`: `audiences` then lists client ids.
    Client,
}

/// Tenant of an issuer's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantRule {
    /// One for all.
    Fixed(Tenant),
    /// By a claim, from a closed list.
    Claim {
        /// Name of the claim.
        claim: String,
        /// Tenant for each value. A token with another value is refused.
        tenants: BTreeMap<String, Tenant>,
    },
}

/// Place of an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The issuer's metadata says it.
    Metadata,
    /// An address.
    Url(Url),
    /// A file.
    File(PathBuf),
}

impl IssuerText {
    /// An issuer with the defaults of everything that has one.
    pub fn new(id: impl Into<String>, issuer: impl Into<String>, audiences: Vec<String>) -> Self {
        Self {
            id: id.into(),
            issuer: issuer.into(),
            audiences,
            audience_from: AudienceFrom::default(),
            algorithms: vec![JwsAlgorithm::Es256, JwsAlgorithm::Rs256],
            profile: Profile::default(),
            scopes: Vec::new(),
            groups: None,
            tenant: TenantRule::Fixed(Tenant::default()),
            keys: KeySource::Metadata,
            private: false,
            ca: None,
            timeout: Duration::from_millis(ISSUER_TIMEOUT_MS.default),
            clock_skew_s: CLOCK_SKEW_S.default,
            outage_s: KEYS_OUTAGE_S.default,
        }
    }
}

impl IssuerSpec {
    /// Checks an issuer.
    ///
    /// # Errors
    /// [`InvalidValueError`] for the first fault, with its remedy.
    pub fn new(text: IssuerText) -> Result<Self, InvalidValueError> {
        check_id(&text.id)?;
        let url = check_url("issuer", &text.issuer, text.private || matches!(text.keys, KeySource::File(_)))?;
        if url.query().is_some() {
            return Err(invalid(format!("the issuer `{}` has a query", printable(&text.issuer, 200))));
        }
        if let KeySource::Url(url) = &text.keys {
            check_url("jwks", url.as_str(), text.private)?;
        }
        check_audiences(&text)?;
        if text.algorithms.is_empty() {
            return Err(invalid(r#"there are no algorithms; write such as ["ES256", "RS256"]"#));
        }
        scope::check_advertised(&text.scopes)?;
        check_tenants(&text.tenant)?;
        let longest = Duration::from_millis(ISSUER_TIMEOUT_MS.ceiling);
        if text.timeout.is_zero() || text.timeout > longest {
            return Err(invalid(format!(
                "timeout_ms is out of range; write 1 to {}",
                ISSUER_TIMEOUT_MS.ceiling
            )));
        }
        if text.clock_skew_s > CLOCK_SKEW_S.ceiling {
            return Err(invalid(format!(
                "clock_skew_s is out of range; write 0 to {}",
                CLOCK_SKEW_S.ceiling
            )));
        }
        if text.outage_s > KEYS_OUTAGE_S.ceiling {
            return Err(invalid(format!("outage_s is out of range; write 0 to {}", KEYS_OUTAGE_S.ceiling)));
        }
        let written = text.groups.as_deref().unwrap_or(text.profile.groups());
        let groups = ClaimPath::parse(written).ok_or_else(|| {
            invalid(format!("`{}` is not a path to groups; write such as \"groups\"", printable(written, 60)))
        })?;
        Ok(Self { text, groups })
    }

    /// The parts, as they were written.
    pub fn text(&self) -> &IssuerText {
        &self.text
    }

    /// Name in records.
    pub fn id(&self) -> &str {
        &self.text.id
    }

    /// Path of the groups.
    pub fn groups(&self) -> &ClaimPath {
        &self.groups
    }

    /// Whether keys of one are keys of the other: the same issuer, asked in the same way.
    pub fn has_keys_of(&self, other: &Self) -> bool {
        let (one, other) = (&self.text, &other.text);
        one.issuer == other.issuer
            && one.keys == other.keys
            && one.private == other.private
            && one.ca == other.ca
            && one.timeout == other.timeout
            && one.outage_s == other.outage_s
    }
}

/// Checks an address of an issuer: https, or http on this machine where `private` allows that.
///
/// # Errors
/// [`InvalidValueError`] for anything else, and for user names, passwords and fragments.
pub fn check_url(what: &str, text: &str, private: bool) -> Result<Url, InvalidValueError> {
    let shown = toolgate_policy::redact::url(text, 200);
    let url =
        Url::parse(text).map_err(|error| invalid(format!("{what}: `{shown}` is not a URL: {error}")))?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(invalid(format!("{what}: `{shown}` has no host"))),
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback && private => {}
        "http" if is_loopback => {
            return Err(invalid(format!(
                "{what}: `{shown}` is on this machine; set `private = true` to allow that"
            )));
        }
        _ => return Err(invalid(format!("{what}: `{shown}` must begin with https://"))),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(invalid(format!("{what}: `{shown}` has a user name, a password or a fragment")));
    }
    Ok(url)
}

fn check_id(id: &str) -> Result<(), InvalidValueError> {
    if id == API_KEY_ISSUER || id == "local" || id.parse::<Tenant>().is_err() {
        return Err(invalid(format!(
            "`{}` is not an id of an issuer: a small letter, then at most 31 small letters, digits and hyphens; \
             `{API_KEY_ISSUER}` and `local` are taken",
            printable(id, 40)
        )));
    }
    Ok(())
}

fn check_audiences(text: &IssuerText) -> Result<(), InvalidValueError> {
    let is_name =
        |name: &String| !name.is_empty() && name.len() <= CLAIM_CHARS_MAX && name.chars().all(is_plain);
    if text.audiences.is_empty()
        || text.audiences.len() > AUDIENCES_MAX
        || !text.audiences.iter().all(is_name)
    {
        return Err(invalid(format!(
            "audiences: write 1 to {AUDIENCES_MAX}, each of 1 to {CLAIM_CHARS_MAX} printable characters; without them a token \
             for any other server would count here"
        )));
    }
    if text.audience_from == AudienceFrom::Client && text.profile != Profile::Cognito {
        return Err(invalid(
            r#"audience_from = "client_id" is for profile = "cognito" only; others put `aud` into tokens"#,
        ));
    }
    Ok(())
}

fn check_tenants(rule: &TenantRule) -> Result<(), InvalidValueError> {
    let TenantRule::Claim { claim, tenants } = rule else { return Ok(()) };
    if claim.is_empty() || claim.len() > CLAIM_CHARS_MAX || !claim.chars().all(is_plain) {
        return Err(invalid("tenant_claim is not the name of a claim"));
    }
    if tenants.is_empty() {
        return Err(invalid("tenant_claim needs `tenants`, with each value of the claim and its tenant"));
    }
    Ok(())
}

fn invalid(why: impl Into<String>) -> InvalidValueError {
    InvalidValueError::new(why)
}

#[cfg(test)]
#[path = "issuer_tests.rs"]
mod tests;
