//! The trust policy, and the only maker of [`Trusted`]: whether the required signers signed these bytes. Decided before
//! anything in the bytes is parsed.

use std::collections::BTreeMap;

use super::role::{self, Met, Role, RoleRule, UnmetRuleError};
use super::signer::{self, Claim, Signer, UnixTime, Validity, VerifiedSignature};
use crate::redact::{printable, quoted};
use crate::{Digest, InvalidValueError};

/// A checked trust policy: roles exist, thresholds can be met, a key counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy(Parts);

/// A trust policy before its check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Version; never decreases.
    pub version: u64,
    /// Time from which nothing new loads; approved plugins keep running.
    pub expires: Option<UnixTime>,
    /// Days for which approved plugins keep running after a signer's key expired.
    pub grace_days: u32,
    /// Signers whose signatures count.
    pub signers: Vec<Signer>,
    /// Roles of the signers.
    pub roles: Vec<Role>,
    /// Roles that each plugin needs.
    pub rules: Vec<RoleRule>,
    /// Digests that never load, with the reason.
    pub revoked: BTreeMap<Digest, String>,
}

/// Proof that the required signers signed these bytes as this plugin.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    plugin: String,
    digest: Digest,
    rules: Vec<RoleRule>,
    roles: Vec<Met>,
    signatures: Vec<VerifiedSignature>,
    overdue: Vec<OverdueError>,
    policy_version: u64,
}

/// Approval state of the bytes. Approved ones may keep running where new ones may not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not approved, or not known to be.
    New,
    /// Approved with exactly these bytes.
    Approved,
}

/// An overdue renewal, which allows approved plugins only. The operator must be notified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverdueError {
    /// The policy has expired.
    #[error(
        "the trust policy has expired; what was approved goes on, nothing new loads; renew `expires` in trust.toml"
    )]
    Policy,
    /// A signer's key has expired.
    #[error(
        "the key of signer `{id}` has expired; what was approved goes on for {days_left} more days; have it signed by a key that is valid"
    )]
    Signer {
        /// Id of the signer.
        id: String,
        /// Whole days until the key stops counting.
        days_left: i64,
    },
}

/// Signatures found beside a plugin's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// Verified signatures by known keys.
    pub signatures: &'a [VerifiedSignature],
    /// Signers that other signatures claim. Those are unverified and count for nothing.
    pub strangers: &'a [Claim],
}

/// Signatures sorted by whether they count.
#[derive(Default)]
struct Weighed<'a> {
    /// Ids of the signers who count.
    signed: Vec<&'a str>,
    overdue: Vec<OverdueError>,
    strangers: Vec<Claim>,
    out_of_time: Vec<(String, &'static str)>,
    elsewhere: Vec<(String, String)>,
}

/// Characters shown of the operator's reason, in one line.
const REASON_CHARS_MAX: usize = 1_000;

/// Reason why bytes are not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The digest is revoked.
    #[error("{digest} is revoked: {}", printable(reason, REASON_CHARS_MAX))]
    Revoked {
        /// Revoked digest.
        digest: Digest,
        /// Reason, as the operator wrote it.
        reason: String,
    },
    /// The configuration pins other bytes.
    #[error("the bytes are {found}, the configuration pins {pinned}")]
    OtherBytes {
        /// Digest of the bytes.
        found: Digest,
        /// Digest in the configuration.
        pinned: Digest,
    },
    /// The policy has expired.
    #[error("the trust policy has expired; renew `expires` in trust.toml")]
    PolicyExpired,
    /// No rule covers this plugin.
    #[error("no [[rule]] in trust.toml matches plugin `{0}`; add one that names the roles it needs")]
    NoRule(String),
    /// No signature was found.
    #[error("no signature was found beside it; have it signed by whom trust.toml asks for (`toolgate sign`)")]
    Unsigned,
    /// A rule's roles are not filled.
    #[error("{}{}", join(unmet), explain(strangers, out_of_time, elsewhere))]
    Unmet {
        /// Unmet roles.
        unmet: Vec<UnmetRuleError>,
        /// Unknown signers that signatures claim.
        strangers: Vec<Claim>,
        /// Verified signatures by signers outside their period: id and reason.
        out_of_time: Vec<(String, &'static str)>,
        /// Verified signatures over these bytes for another plugin: the signer's id and that plugin's.
        elsewhere: Vec<(String, String)>,
    },
}

impl TrustPolicy {
    /// Checks a policy. Names everything that is wrong, each with its place.
    pub fn new(parts: Parts) -> Result<Self, Vec<InvalidValueError>> {
        let mut problems = signer::check(&parts.signers);
        let ids: Vec<&str> = parts.signers.iter().map(|signer| signer.id.as_str()).collect();
        problems.extend(role::check(&parts.roles, &parts.rules, &ids));
        if parts.version == 0 {
            problems.push(InvalidValueError::at("version", "counts from 1 and never goes down"));
        }
        if problems.is_empty() { Ok(Self(parts)) } else { Err(problems) }
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// All its parts.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// Reason of this digest's revocation, if revoked.
    pub fn revoked(&self, digest: &Digest) -> Option<&str> {
        self.0.revoked.get(digest).map(String::as_str)
    }

    /// Checks revocation and pin, before any signature is examined.
    pub fn precheck(&self, digest: Digest, pinned: Option<Digest>) -> Result<(), TrustError> {
        if let Some(reason) = self.revoked(&digest) {
            return Err(TrustError::Revoked { digest, reason: reason.to_owned() });
        }
        match pinned {
            Some(pinned) if pinned != digest => Err(TrustError::OtherBytes { found: digest, pinned }),
            Some(_) | None => Ok(()),
        }
    }

    /// Decides whether `digest` is trusted as `plugin` at `now`. Signatures over another digest count for nothing. A
    /// signer's period is compared with the proven time of signing, else with `now`. Names every unmet role.
    pub fn trust(
        &self,
        plugin: &str,
        digest: Digest,
        pinned: Option<Digest>,
        found: Evidence<'_>,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Trusted, TrustError> {
        self.precheck(digest, pinned)?;
        let mut overdue = Vec::new();
        if self.0.expires.is_some_and(|expires| now >= expires) {
            match standing {
                Standing::New => return Err(TrustError::PolicyExpired),
                Standing::Approved => overdue.push(OverdueError::Policy),
            }
        }
        let rules = self.rules_for(plugin)?;
        let roles = self.roles_of(&rules);
        if found.signatures.is_empty() && found.strangers.is_empty() {
            return Err(TrustError::Unsigned);
        }
        let weighed = self.weigh(plugin, digest, &found, standing, now);
        overdue.extend(weighed.overdue);
        match role::fill(&roles, &weighed.signed) {
            Ok(roles) => Ok(Trusted {
                plugin: plugin.to_owned(),
                digest,
                rules: rules.into_iter().cloned().collect(),
                roles,
                signatures: found.signatures.to_vec(),
                overdue,
                policy_version: self.0.version,
            }),
            Err(unmet) => Err(TrustError::Unmet {
                unmet,
                strangers: weighed.strangers,
                out_of_time: weighed.out_of_time,
                elsewhere: weighed.elsewhere,
            }),
        }
    }

    /// Sorts signatures into those that count for these bytes as this plugin now, and the rest with reasons.
    fn weigh(
        &self,
        plugin: &str,
        digest: Digest,
        found: &Evidence<'_>,
        standing: Standing,
        now: UnixTime,
    ) -> Weighed<'_> {
        let mut weighed = Weighed { strangers: found.strangers.to_vec(), ..Weighed::default() };
        for signature in found.signatures.iter().filter(|signature| signature.digest() == digest) {
            let Some(signer) = self.0.signers.iter().find(|signer| signer.key == signature.key()) else {
                weighed.strangers.push(Claim::Key(signature.key()));
                continue;
            };
            if let Some(other) = signature.plugin().filter(|other| *other != plugin) {
                weighed.elsewhere.push((signer.id.clone(), other.to_owned()));
                continue;
            }
            let counted = weighed.signed.contains(&signer.id.as_str());
            match signer.at(signature.time().unwrap_or(now)) {
                Validity::Valid if counted => {}
                Validity::Valid => weighed.signed.push(&signer.id),
                Validity::NotYet => weighed.out_of_time.push((signer.id.clone(), "not valid yet")),
                Validity::Expired(until) => match (standing, self.days_left(until, now)) {
                    (Standing::Approved, Some(_)) if counted => {}
                    (Standing::Approved, Some(days_left)) => {
                        weighed.signed.push(&signer.id);
                        weighed.overdue.push(OverdueError::Signer { id: signer.id.clone(), days_left });
                    }
                    (Standing::Approved, None) | (Standing::New, _) => {
                        weighed.out_of_time.push((signer.id.clone(), "expired"));
                    }
                },
            }
        }
        weighed
    }

    /// Decides again, perhaps under a newer policy, with the signatures found before.
    pub fn again(&self, trusted: &Trusted, standing: Standing, now: UnixTime) -> Result<Trusted, TrustError> {
        let found = Evidence { signatures: &trusted.signatures, strangers: &[] };
        self.trust(&trusted.plugin, trusted.digest, None, found, standing, now)
    }

    /// Whole days for which a key expired at `until` still counts for approved plugins.
    fn days_left(&self, until: UnixTime, now: UnixTime) -> Option<i64> {
        const DAY_S: i64 = 86_400;
        let end = until.0.saturating_add(i64::from(self.0.grace_days).saturating_mul(DAY_S));
        (now.0 < end).then(|| end.saturating_sub(now.0) / DAY_S)
    }

    /// Every rule that matches, in the order of the file.
    fn rules_for(&self, plugin: &str) -> Result<Vec<&RoleRule>, TrustError> {
        let matching: Vec<&RoleRule> =
            self.0.rules.iter().filter(|rule| rule.plugin.matches(plugin)).collect();
        if matching.is_empty() { Err(TrustError::NoRule(plugin.to_owned())) } else { Ok(matching) }
    }

    /// The roles that these rules need, each once, in the order of the file.
    fn roles_of(&self, rules: &[&RoleRule]) -> Vec<&Role> {
        let needed = |role: &&Role| rules.iter().any(|rule| rule.require.contains(&role.name));
        self.0.roles.iter().filter(needed).collect()
    }
}

impl Trusted {
    /// Plugin id.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Digest of the component bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Rules that matched; each was met.
    pub fn rules(&self) -> &[RoleRule] {
        &self.rules
    }

    /// Roles that were met, with their signers.
    pub fn roles(&self) -> &[Met] {
        &self.roles
    }

    /// Signers by role, one line each: `role: signer, signer`.
    pub fn signed_by(&self) -> Vec<String> {
        self.roles.iter().map(|met| format!("{}: {}", met.role, met.signers.join(", "))).collect()
    }

    /// Overdue renewals that were tolerated because of an approval.
    pub fn overdue(&self) -> &[OverdueError] {
        &self.overdue
    }

    /// Version of the policy that decided.
    pub fn policy_version(&self) -> u64 {
        self.policy_version
    }
}

/// The reasons in one line.
pub(super) fn join(reasons: &[impl ToString]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn explain(
    strangers: &[Claim],
    out_of_time: &[(String, &'static str)],
    elsewhere: &[(String, String)],
) -> String {
    let mut parts: Vec<String> =
        out_of_time.iter().map(|(id, why)| format!("signer `{id}` is {why}")).collect();
    parts.extend(elsewhere.iter().map(|(id, plugin)| {
        format!(
            "signer `{id}` signed it as plugin `{}` and no other: if that plugin is meant, write `id = {}` into its [[plugin]], or say \
             `plugin add --id`",
            printable(plugin, 100),
            quoted(plugin)
        )
    }));
    parts.extend(
        strangers.iter().map(|claim| format!("there is a signature by {claim}, which is not a [[signer]]")),
    );
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what is weighed is made up there")]
#[path = "trust_tests.rs"]
mod tests;
