//! The trust policy, and the one maker of [`Trusted`]: are these bytes signed by whom the operator asks for? Decided
//! before anything in the bytes is parsed.

use std::collections::BTreeMap;

use super::role::{self, Met, Role, RoleRule, UnmetRuleError};
use super::signer::{self, Claim, Signer, UnixTime, Validity, VerifiedSignature};
use crate::redact::{printable, quoted};
use crate::{Digest, InvalidValueError};

/// Who is trusted with what. Checked: roles exist, thresholds can be met, a key counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy(Parts);

/// A trust policy before it is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Never goes down.
    pub version: u64,
    /// From this on nothing new loads; what was approved goes on.
    pub expires: Option<UnixTime>,
    /// For how many days what was approved goes on after a signer's key has expired.
    pub grace_days: u32,
    /// Whose signatures count.
    pub signers: Vec<Signer>,
    /// What parts they play.
    pub roles: Vec<Role>,
    /// Which plugin needs which.
    pub rules: Vec<RoleRule>,
    /// Digests that never load, with the reason.
    pub revoked: BTreeMap<Digest, String>,
}

/// These bytes, as this plugin, are signed by whom the operator asks for.
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

/// Whether the bytes are ones that were approved before: those may go on where new ones may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody approved them, or it is not known.
    New,
    /// They were approved, as these bytes.
    Approved,
}

/// What should have been renewed, and lets only go on what was approved before. The operator is to be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverdueError {
    /// The policy has run out.
    #[error(
        "the trust policy has expired; what was approved goes on, nothing new loads; renew `expires` in trust.toml"
    )]
    Policy,
    /// A signer's key has.
    #[error(
        "the key of signer `{id}` has expired; what was approved goes on for {days_left} more days; have it signed by a key that is valid"
    )]
    Signer {
        /// Whose.
        id: String,
        /// Whole days until it counts no more.
        days_left: i64,
    },
}

/// What was found beside a plugin's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// Genuine signatures by keys that are known.
    pub signatures: &'a [VerifiedSignature],
    /// Whom other signatures name. Nothing is known about those; they count for nothing.
    pub strangers: &'a [Claim],
}

/// Signatures by what they are worth.
#[derive(Default)]
struct Weighed<'a> {
    /// Signers who count, by id.
    signed: Vec<&'a str>,
    overdue: Vec<OverdueError>,
    strangers: Vec<Claim>,
    out_of_time: Vec<(String, &'static str)>,
    elsewhere: Vec<(String, String)>,
}

/// Characters of the operator's reason that are shown, in one line.
const REASON_CHARS_MAX: usize = 1_000;

/// Why they are not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The digest is on the list.
    #[error("{digest} is revoked: {}", printable(reason, REASON_CHARS_MAX))]
    Revoked {
        /// Which.
        digest: Digest,
        /// Why, in the operator's words.
        reason: String,
    },
    /// The configuration names other bytes.
    #[error("the bytes are {found}, the configuration pins {pinned}")]
    OtherBytes {
        /// What was read.
        found: Digest,
        /// What `digest` says.
        pinned: Digest,
    },
    /// The policy has run out.
    #[error("the trust policy has expired; renew `expires` in trust.toml")]
    PolicyExpired,
    /// No rule is about this plugin.
    #[error("no [[rule]] in trust.toml matches plugin `{0}`; add one that names the roles it needs")]
    NoRule(String),
    /// Nobody signed it.
    #[error("no signature was found beside it; have it signed by whom trust.toml asks for (`toolgate sign`)")]
    Unsigned,
    /// A rule's roles are not filled.
    #[error("{}{}", join(unmet), told(strangers, out_of_time, elsewhere))]
    Unmet {
        /// Which.
        unmet: Vec<UnmetRuleError>,
        /// Whom signatures name that are no signers.
        strangers: Vec<Claim>,
        /// Genuine signatures by signers who do not count now: id and why.
        out_of_time: Vec<(String, &'static str)>,
        /// Genuine signatures over these bytes as another plugin: the signer's id and that plugin's.
        elsewhere: Vec<(String, String)>,
    },
}

impl TrustPolicy {
    /// Checks a policy.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
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

    /// All that it says.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// Its signers.
    pub fn signers(&self) -> &[Signer] {
        &self.0.signers
    }

    /// Why this digest never loads, if so.
    pub fn revoked(&self, digest: &Digest) -> Option<&str> {
        self.0.revoked.get(digest).map(String::as_str)
    }

    /// What can be said before any signature is looked at: revocation and pin.
    ///
    /// # Errors
    /// [`TrustError::Revoked`] or [`TrustError::OtherBytes`].
    pub fn precheck(&self, digest: Digest, pinned: Option<Digest>) -> Result<(), TrustError> {
        if let Some(reason) = self.revoked(&digest) {
            return Err(TrustError::Revoked { digest, reason: reason.to_owned() });
        }
        match pinned {
            Some(pinned) if pinned != digest => Err(TrustError::OtherBytes { found: digest, pinned }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether `digest` may be trusted as `plugin` at `now`, given what was found. Signatures over another digest count
    /// for nothing. Whether a signer's time is over is judged at the time of signing where that is proved, else now.
    ///
    /// # Errors
    /// [`TrustError`]; every unmet role is named.
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
        let mut weighed = self.weigh(plugin, digest, &found, standing, now);
        overdue.append(&mut weighed.overdue);
        match role::fill(&roles, &weighed.signed) {
            Ok(roles) => {
                let rules = rules.into_iter().cloned().collect();
                Ok(Trusted {
                    plugin: plugin.to_owned(),
                    digest,
                    rules,
                    roles,
                    signatures: found.signatures.to_vec(),
                    overdue,
                    policy_version: self.0.version,
                })
            }
            Err(unmet) => Err(TrustError::Unmet {
                unmet,
                strangers: weighed.strangers,
                out_of_time: weighed.out_of_time,
                elsewhere: weighed.elsewhere,
            }),
        }
    }

    /// Whose signatures count for these bytes as this plugin now, and why the others do not.
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
                Validity::NotYet(_) => weighed.out_of_time.push((signer.id.clone(), "not valid yet")),
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

    /// The same question of what was trusted before, perhaps by another policy, with the signatures that were found then.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn again(&self, trusted: &Trusted, standing: Standing, now: UnixTime) -> Result<Trusted, TrustError> {
        let found = Evidence { signatures: &trusted.signatures, strangers: &[] };
        self.trust(&trusted.plugin, trusted.digest, None, found, standing, now)
    }

    /// Whole days for which a key that expired at `until` still counts for what was approved.
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
    /// As which plugin, by id.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Which bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Which rules matched; each was met.
    pub fn rules(&self) -> &[RoleRule] {
        &self.rules
    }

    /// Which roles were met, and by whom.
    pub fn roles(&self) -> &[Met] {
        &self.roles
    }

    /// Who signed them, a line for each role: `role: signer, signer`.
    pub fn signed_by(&self) -> Vec<String> {
        self.roles.iter().map(|met| format!("{}: {}", met.role, met.signers.join(", "))).collect()
    }

    /// What let it go on only because it was approved before.
    pub fn overdue(&self) -> &[OverdueError] {
        &self.overdue
    }

    /// Under which version of the policy.
    pub fn policy_version(&self) -> u64 {
        self.policy_version
    }
}

fn join(unmet: &[UnmetRuleError]) -> String {
    let told: Vec<String> = unmet.iter().map(UnmetRuleError::to_string).collect();
    told.join("; ")
}

fn told(
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
        strangers.iter().map(|claim| format!("there is a signature by {claim}, which is no [[signer]]")),
    );
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what is weighed is made up there")]
#[path = "trust_tests.rs"]
mod tests;
