//! Sigstore bundles with a single-use certificate (keyless), verified offline: certificate, log entry and timestamps
//! must chain to a trusted root on disk. The strict parser here reads the file first; the library verifies its content.

use sigstore_verify::crypto::parse_certificate_info;
use sigstore_verify::types::Bundle;
use sigstore_verify::{IdentityMatcher, SubjectAltName, VerificationPolicy};
use toolgate_base::artifact::Artifact;
use toolgate_base::json::Json;
use toolgate_policy::limits::load::TIMESTAMPS_MAX;
use toolgate_policy::load::identity::San;
use toolgate_policy::load::signer::{Claim, Format, UnixTime, VerifiedSignature};
use toolgate_policy::redact::printable;
use toolgate_policy::{Digest, digest};

use super::anchor::Anchor;
use super::envelope::{About, canonical_base64, exactly, list, members, only, read_envelope};
use super::sign::BUNDLE_MEDIA_TYPE;
use super::{Signature, SignatureError, SignatureFile, unreadable};

/// A parsed keyless bundle.
pub struct Keyless {
    file: String,
    bundle: Bundle,
    about: About,
    issuer: String,
    san: San,
}

impl Keyless {
    /// Parses a bundle with a certificate.
    pub(super) fn read(file: &SignatureFile, json: &Json) -> Result<Self, SignatureError> {
        let about = read_bundle(json).map_err(|why| unreadable(file, why))?;
        let text = String::from_utf8_lossy(&file.bytes);
        let odd = |error: &dyn std::fmt::Display| unreadable(file, error.to_string());
        let bundle = Bundle::from_json(&text).map_err(|error| odd(&error))?;
        let certificate = bundle.signing_certificate().ok_or_else(|| odd(&"it has no certificate"))?;
        let certificate = parse_certificate_info(certificate).map_err(|error| odd(&error))?;
        let san = match certificate.identity {
            Some(SubjectAltName::Email(name)) => San::Email(name),
            Some(SubjectAltName::Uri(name)) => San::Uri(name),
            Some(_) | None => return Err(odd(&"its certificate names neither an address nor a URI")),
        };
        let issuer = certificate.issuer.ok_or_else(|| odd(&"its certificate names no issuer"))?;
        Ok(Self { file: file.name.clone(), bundle, about, issuer, san })
    }

    /// The bundle without timestamps that prove nothing, if it has any. A timestamp by an unknown authority could have
    /// been left out by anybody, so it must not refuse the bundle.
    fn with_proved_times(&self, proves: impl Fn(&Bundle) -> bool) -> Option<Bundle> {
        let times = &self.bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
        let with = |times| {
            let mut bundle = self.bundle.clone();
            bundle.verification_material.timestamp_verification_data.rfc3161_timestamps = times;
            bundle
        };
        let proved: Vec<_> =
            times.iter().filter(|time| proves(&with(vec![(*time).clone()]))).cloned().collect();
        (proved.len() < times.len()).then(|| with(proved))
    }
}

impl Signature for Keyless {
    fn format(&self) -> Format {
        Format::Keyless
    }

    fn claim(&self) -> Claim {
        Claim::Identity { issuer: self.issuer.clone(), san: self.san.clone() }
    }

    fn verify(&self, artifact: &Artifact, signer: &Anchor) -> Result<VerifiedSignature, SignatureError> {
        let unproved = |why: &dyn std::fmt::Display| SignatureError::Unproved {
            file: self.file.clone(),
            why: printable(&why.to_string(), 300),
        };
        let Anchor::Identity(signer) = signer else { return Err(unproved(&"it names no key")) };
        if self.about.digest != artifact.digest() {
            return Err(SignatureError::OtherBytes(self.file.clone()));
        }
        if !signer.identity.matches(&self.issuer, &self.san) {
            return Err(unproved(&"it names somebody else"));
        }
        let name = match &self.san {
            San::Email(name) => IdentityMatcher::Email(name.clone()),
            San::Uri(name) => IdentityMatcher::Uri(name.clone()),
        };
        let policy = VerificationPolicy::new(name, signer.identity.issuer());
        let prove = |bundle: &Bundle| signer.root.verifier.verify(artifact.bytes(), bundle, &policy);
        let proved = match prove(&self.bundle) {
            Err(error) => match self.with_proved_times(|bundle| prove(bundle).is_ok()) {
                Some(bundle) => prove(&bundle),
                None => Err(error),
            },
            proved => proved,
        };
        let proved = proved.map_err(|error| unproved(&error))?;
        // The policy requires these already; this check does not depend on the library's defaults.
        let all = [
            proved.certificate_verified(),
            proved.sct_verified(),
            proved.tlog_verified(),
            proved.identity_policy_checked(),
        ];
        let latest = proved.verified_timestamps().iter().max();
        match latest {
            Some(time) if all.iter().all(|one| *one) => {
                let time = Some(UnixTime(time.as_second()));
                #[expect(clippy::disallowed_methods, reason = "it was verified above")]
                let verified = VerifiedSignature::new(artifact.digest(), signer.id(), time);
                Ok(verified.for_plugin(self.about.plugin.clone()))
            }
            Some(_) | None => Err(unproved(&"a part of the proof is missing")),
        }
    }
}

/// Subject of the bundle.
fn read_bundle(bundle: &Json) -> Result<About, String> {
    let optional = ["dsseEnvelope", "messageSignature"];
    let ([media_type, material], [envelope, message]) =
        members(bundle, "the bundle", ["mediaType", "verificationMaterial"], &optional)?;
    exactly(media_type, BUNDLE_MEDIA_TYPE, "mediaType")?;
    read_material(material)?;
    match (envelope, message) {
        (Some(envelope), None) => match read_envelope(envelope)? {
            (about, "") => Ok(about),
            _ => Err("`keyid` names a key beside the certificate".to_owned()),
        },
        (None, Some(message)) => Ok(About { digest: read_message(message)?, plugin: None }),
        _ => Err("it has neither or both of `dsseEnvelope` and `messageSignature`".to_owned()),
    }
}

fn read_message(message: &Json) -> Result<Digest, String> {
    let [digest, signature] = members(message, "messageSignature", ["messageDigest", "signature"], &[])?.0;
    canonical_base64(signature, "signature")?;
    let [algorithm, bytes] = members(digest, "messageDigest", ["algorithm", "digest"], &[])?.0;
    exactly(algorithm, "SHA2_256", "algorithm")?;
    let hex = digest::hex(&canonical_base64(bytes, "digest")?);
    Digest::from_hex(&hex).map_err(|_| "`digest` is not a SHA-256 digest".to_owned())
}

fn read_material(material: &Json) -> Result<(), String> {
    let ([certificate, log], [times]) = members(
        material,
        "verificationMaterial",
        ["certificate", "tlogEntries"],
        &["timestampVerificationData"],
    )?;
    let [certificate] = members(certificate, "certificate", ["rawBytes"], &[])?.0;
    canonical_base64(certificate, "rawBytes")?;
    read_entry(only(log, "tlogEntries", "log entries")?)?;
    match times {
        None | Some(Json::Null) => Ok(()),
        Some(times) => read_times(times),
    }
}

fn read_times(times: &Json) -> Result<(), String> {
    let [times] = members::<0, 1>(times, "timestampVerificationData", [], &["rfc3161Timestamps"])?.1;
    let times = times.map_or(Ok(&[][..]), |times| list(times, "rfc3161Timestamps"))?;
    if times.len() > TIMESTAMPS_MAX {
        return Err(format!("it has more than {TIMESTAMPS_MAX} timestamps"));
    }
    for time in times {
        let [time] = members(time, "a timestamp", ["signedTimestamp"], &[])?.0;
        canonical_base64(time, "signedTimestamp")?;
    }
    Ok(())
}

fn read_entry(entry: &Json) -> Result<(), String> {
    let ([id, kind, proof, body], [_index, _time, promise]) = members(
        entry,
        "the log entry",
        ["logId", "kindVersion", "inclusionProof", "canonicalizedBody"],
        &["logIndex", "integratedTime", "inclusionPromise"],
    )?;
    let [id] = members(id, "logId", ["keyId"], &[])?.0;
    canonical_base64(id, "keyId")?;
    members(kind, "kindVersion", ["kind", "version"], &[])?;
    canonical_base64(body, "canonicalizedBody")?;
    if let Some(promise) = promise {
        let [promise] = members(promise, "inclusionPromise", ["signedEntryTimestamp"], &[])?.0;
        canonical_base64(promise, "signedEntryTimestamp")?;
    }
    let names = ["rootHash", "checkpoint"];
    let ([hash, checkpoint], [_index, _size, hashes]) =
        members(proof, "inclusionProof", names, &["logIndex", "treeSize", "hashes"])?;
    canonical_base64(hash, "rootHash")?;
    members(checkpoint, "checkpoint", ["envelope"], &[])?;
    let hashes = hashes.map_or(Ok(&[][..]), |hashes| list(hashes, "hashes"))?;
    hashes.iter().try_for_each(|hash| canonical_base64(hash, "hashes").map(drop))
}
