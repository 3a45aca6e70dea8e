//! From bytes to [`Trusted`]: revocation and pin first, then each signature by cryptography, then the policy's count. What
//! is in the bytes is not looked at.
//!
//! Whoever may attach something to a plugin must gain nothing by it: neither that it loads nor that it does not. So what is
//! beside it and is no genuine signature by a signer is set aside with its reason, whatever it is, and the rest is counted.

use toolgate_base::artifact::Artifact;
use toolgate_policy::Digest;
use toolgate_policy::load::signer::{Claim, Format, UnixTime, VerifiedSignature};
use toolgate_policy::load::trust::{Evidence, Standing};
use toolgate_policy::load::{TrustError, Trusted};
use toolgate_policy::redact::printable;
use toolgate_signature::trust::TrustSpec;
use toolgate_signature::{SignatureError, SignatureFile, name};
use toolgate_state::blobs::SignatureRank;

use super::source::Found;

/// How many of the things that were set aside are told in one sentence.
const TOLD_MAX: usize = 8;

/// Characters of one of them.
const SENTENCE_CHARS_MAX: usize = 800;

/// Why the bytes are not trusted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The policy says no, and nothing was set aside.
    #[error(transparent)]
    Policy(#[from] TrustError),
    /// Nothing counts of what was found.
    #[error("no signature that counts was found beside it: {}", listed(.0))]
    NoneCounts(Vec<String>),
    /// The policy says no; what was set aside, or where was looked, may say why.
    #[error("{}; {}", .0, listed(.1))]
    Beside(TrustError, Vec<String>),
}

/// Something that was found beside a plugin, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its file.
    pub file: String,
    /// The format that its name promises.
    pub format: Format,
    /// Whose it is.
    pub by: By,
}

/// Whose a signature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A signer's, and genuine.
    Signer(VerifiedSignature),
    /// It names nobody who is a signer. Nothing else is known about it.
    Stranger(Claim),
    /// It is no signature of these bytes by whom it names. It counts for nothing and keeps nothing from loading.
    Nobody(SignatureError),
}

/// Bytes that are trusted, and what was found beside them.
#[derive(Debug)]
pub struct Verified {
    /// On whose word.
    pub trusted: Trusted,
    /// Each signature file, in the order in which they were found.
    pub examined: Vec<Examined>,
    /// A sentence for each thing that was set aside.
    pub set_aside: Vec<String>,
}

/// Checks what was found against whom the operator trusts, as the plugin `id`, whose bytes `pin` may fix.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    trust: &TrustSpec,
    found: &Found,
    id: &str,
    pin: Option<Digest>,
    standing: Standing,
    now: UnixTime,
) -> Result<Verified, VerifyError> {
    trust.policy.precheck(found.artifact.digest(), pin)?;
    judge(trust, found, examine(trust, found), id, pin, standing, now)
}

/// The second half of [`verify`], for signatures that were examined already.
///
/// # Errors
/// [`VerifyError`].
pub fn judge(
    trust: &TrustSpec,
    found: &Found,
    examined: Vec<Examined>,
    id: &str,
    pin: Option<Digest>,
    standing: Standing,
    now: UnixTime,
) -> Result<Verified, VerifyError> {
    let mut signatures = Vec::new();
    let mut strangers = Vec::new();
    let mut set_aside = Vec::new();
    for one in &examined {
        match &one.by {
            By::Signer(signature) => signatures.push(signature.clone()),
            By::Stranger(claim) => strangers.push(claim.clone()),
            By::Nobody(why) => set_aside.push(printable(&why.to_string(), SENTENCE_CHARS_MAX)),
        }
    }
    set_aside.extend(found.unread.iter().map(ToString::to_string));
    let evidence = Evidence { signatures: &signatures, strangers: &strangers };
    match trust.policy.trust(id, found.artifact.digest(), pin, evidence, standing, now) {
        Ok(trusted) => Ok(Verified { trusted, examined, set_aside }),
        Err(distrust) => {
            let nothing = set_aside.is_empty();
            // Where nothing counts, it may be elsewhere.
            if distrust == TrustError::Unsigned {
                set_aside.extend(found.looked.iter().map(|place| format!("looked at {place}")));
            }
            Err(match distrust {
                distrust if set_aside.is_empty() => VerifyError::Policy(distrust),
                TrustError::Unsigned if !nothing => VerifyError::NoneCounts(set_aside),
                distrust => VerifyError::Beside(distrust, set_aside),
            })
        }
    }
}

/// Looks at every signature that was found, in the order in which they were. Each is verified here and nowhere else.
pub fn examine(trust: &TrustSpec, found: &Found) -> Vec<Examined> {
    found.signatures.iter().map(|file| examine_one(trust, &found.artifact, file)).collect()
}

pub(super) fn examine_one(trust: &TrustSpec, artifact: &Artifact, file: &SignatureFile) -> Examined {
    let format = name::form(&file.name).map_or(Format::Bundle, |(format, _)| format);
    let signature = match toolgate_signature::read(file) {
        Ok(signature) => signature,
        Err(why) => return Examined { file: file.name.clone(), format, by: By::Nobody(why) },
    };
    let claim = signature.claim();
    // More than one can be meant only where the number of a minisign key was copied.
    let named = trust.anchors.iter().filter(|anchor| anchor.is_named_by(&claim));
    let mut verdicts = named.map(|anchor| signature.verify(artifact, anchor)).peekable();
    let by = match verdicts.peek().cloned() {
        Some(first) => match verdicts.find(Result::is_ok).unwrap_or(first) {
            Ok(signature) => By::Signer(signature),
            Err(why) => By::Nobody(why),
        },
        None => By::Stranger(claim),
    };
    Examined { file: file.name.clone(), format: signature.format(), by }
}

/// Ranks signatures for keeping, one after the other: anybody can copy a signature and add a space to it.
#[derive(Default)]
pub(super) struct Ranking(Vec<VerifiedSignature>);

impl Ranking {
    pub(super) fn rank(&mut self, examined: &Examined) -> SignatureRank {
        match &examined.by {
            By::Signer(signature) if self.0.contains(signature) => SignatureRank::Copy,
            By::Signer(signature) => {
                self.0.push(signature.clone());
                SignatureRank::Counts
            }
            By::Stranger(_) => SignatureRank::MayCount,
            By::Nobody(_) => SignatureRank::Nothing,
        }
    }
}

/// The signatures that count, or may count some day: first one of each that counts, then others that prove the same, then those of
/// strangers.
pub fn worth_keeping(examined: &[Examined], found: &Found) -> Vec<SignatureFile> {
    let mut ranking = Ranking::default();
    let ranked =
        examined.iter().zip(&found.signatures).map(|(examined, file)| (ranking.rank(examined), file));
    let mut kept: Vec<_> = ranked.filter(|(rank, _)| *rank != SignatureRank::Nothing).collect();
    kept.sort_by_key(|(rank, _)| *rank);
    kept.into_iter().map(|(_, file)| file.clone()).collect()
}

fn listed(sentences: &[String]) -> String {
    let mut told = sentences.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
    let more = sentences.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        told.push_str(&format!("; and {more} more"));
    }
    told
}
