//! From bytes to [`Trusted`]: revocation and pin first, then each signature by cryptography, then the policy's count.
//! The content of the bytes is not examined.
//!
//! An attached file must not decide that a plugin loads, nor that it does not. So every file that is not a genuine
//! signature by a signer is set aside with its reason, and the rest is counted.

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

/// Maximum number of set-aside files listed in one message.
const TOLD_MAX: usize = 8;

/// Maximum length of the sentence about one, in characters.
const SENTENCE_CHARS_MAX: usize = 800;

/// Reasons why the bytes are not trusted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The policy refuses, and nothing was set aside.
    #[error(transparent)]
    Policy(#[from] TrustError),
    /// None of the signatures found counts.
    #[error("no signature that counts was found beside it: {}", listed(.0))]
    NoneCounts(Vec<String>),
    /// The policy refuses; the files set aside, or the places searched, may explain it.
    #[error("{}; {}", .0, listed(.1))]
    Beside(TrustError, Vec<String>),
}

/// A signature file found beside a plugin, and the result of its verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Name of the file.
    pub file: String,
    /// Format that its name implies.
    pub format: Format,
    /// Signer, or reason why there is none.
    pub by: By,
}

/// Signer of a signature, as far as known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Genuine signature by a trusted signer.
    Signer(VerifiedSignature),
    /// It names no trusted signer. It was not verified.
    Stranger(Claim),
    /// Not a signature of these bytes by the named signer. It counts for nothing and prevents nothing.
    Nobody(SignatureError),
}

/// Proof that bytes are trusted, and the files found beside them.
#[derive(Debug)]
pub struct Verified {
    /// Proof of trust.
    pub trusted: Trusted,
    /// Signature files in the order in which they were found.
    pub examined: Vec<Examined>,
    /// One sentence for each file that was set aside.
    pub set_aside: Vec<String>,
}

/// Verifies bytes and signatures by the operator's trust policy, for the plugin `id` with an optional pinned digest.
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

/// Second half of [`verify`], for signatures that were examined already.
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
            // The missing signatures may be in a place that was not searched.
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

/// Examines every signature found, in order. Signatures are verified only here.
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
    // Several match only if the key number of a minisign key was copied.
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

/// Ranks signatures for storage. Copies rank lower, since anyone can add a space to a copied signature.
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

/// Signatures worth storing: first one of each that counts, then others that prove the same, then those of unknown
/// signers.
pub fn worth_keeping(examined: &[Examined], found: &Found) -> Vec<SignatureFile> {
    let mut ranking = Ranking::default();
    let ranked =
        examined.iter().zip(&found.signatures).map(|(examined, file)| (ranking.rank(examined), file));
    let mut ranked_files: Vec<_> = ranked.filter(|(rank, _)| *rank != SignatureRank::Nothing).collect();
    ranked_files.sort_by_key(|(rank, _)| *rank);
    ranked_files.into_iter().map(|(_, file)| file.clone()).collect()
}

fn listed(sentences: &[String]) -> String {
    let mut text = sentences.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
    let more = sentences.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
