//! Tables for trust: the signatures that make a plugin trusted.

use super::role::Pattern;
use super::*;
use crate::load::identity::Identity;
use crate::load::key_id::KeyId;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn key(id: &str) -> KeyId {
    KeyId::of_spki(id.as_bytes())
}

fn signer(id: &str) -> Signer {
    Signer { id: id.to_owned(), key: key(id), identity: None, valid_from: None, valid_until: None }
}

fn role(name: &str, threshold: u32, signers: &[&str]) -> Role {
    Role { name: name.to_owned(), threshold, signers: signers.iter().map(|s| (*s).to_owned()).collect() }
}

fn rule(plugin: &str, require: &[&str]) -> RoleRule {
    let require = require.iter().map(|s| (*s).to_owned()).collect();
    RoleRule { plugin: Pattern::parse(plugin).unwrap(), require }
}

fn parts() -> Parts {
    Parts {
        version: 3,
        signers: ["vendor", "sec-a", "sec-b", "sec-c"].map(signer).to_vec(),
        roles: vec![role("publisher", 1, &["vendor"]), role("vetting", 2, &["sec-a", "sec-b", "sec-c"])],
        rules: vec![rule("acme:*", &["publisher", "vetting"]), rule("tool", &["publisher"])],
        ..Parts::default()
    }
}

fn bytes() -> Digest {
    Digest::of(b"the component")
}

fn signed_by(ids: &[&str]) -> Vec<VerifiedSignature> {
    ids.iter().map(|id| VerifiedSignature::new(bytes(), key(id), None)).collect()
}

fn judge(parts: Parts, plugin: &str, ids: &[&str]) -> Result<Trusted, TrustError> {
    weigh(parts, plugin, &signed_by(ids), Standing::New, NOW)
}

fn weigh(
    parts: Parts,
    plugin: &str,
    signatures: &[VerifiedSignature],
    standing: Standing,
    now: UnixTime,
) -> Result<Trusted, TrustError> {
    let found = Evidence { signatures, strangers: &[] };
    TrustPolicy::new(parts).unwrap().trust(plugin, bytes(), None, found, standing, now)
}

#[test]
fn a_plugin_is_trusted_when_every_role_of_every_matching_rule_is_filled() {
    let trusted = judge(parts(), "acme:files", &["vendor", "sec-a", "sec-c"]).unwrap();
    assert_eq!((trusted.plugin(), trusted.digest(), trusted.policy_version()), ("acme:files", bytes(), 3));
    assert_eq!(trusted.roles().len(), 2);
    for too_few in
        [&["vendor"][..], &["vendor", "sec-a"], &["sec-a", "sec-b", "sec-c"], &["vendor", "sec-a", "sec-a"]]
    {
        assert!(
            matches!(judge(parts(), "acme:files", too_few), Err(TrustError::Unmet { .. })),
            "{too_few:?}"
        );
    }
}

#[test]
fn a_second_matching_rule_adds_its_roles() {
    let mut parts = parts();
    parts.rules.push(rule("*", &["vetting"]));
    assert!(judge(parts.clone(), "tool", &["vendor"]).is_err());
    assert!(judge(parts, "tool", &["vendor", "sec-a", "sec-b"]).is_ok());
}

#[test]
fn no_rule_means_no() {
    assert_eq!(judge(parts(), "other", &["vendor"]), Err(TrustError::NoRule("other".into())));
}

#[test]
fn a_stranger_counts_for_nothing_and_is_named() {
    let stranger = [Claim::Key(key("stranger"))];
    let policy = TrustPolicy::new(parts()).unwrap();
    for found in [
        Evidence { signatures: &signed_by(&["stranger"]), strangers: &[] },
        Evidence { signatures: &[], strangers: &stranger },
    ] {
        let told = policy.trust("tool", bytes(), None, found, Standing::New, NOW).unwrap_err().to_string();
        assert!(
            told.contains("needs 1 of [vendor], has none") && told.contains("is not a [[signer]]"),
            "{told}"
        );
    }
}

#[test]
fn nothing_signed_is_told_as_that() {
    assert_eq!(judge(parts(), "tool", &[]), Err(TrustError::Unsigned));
}

#[test]
fn a_signature_over_other_bytes_counts_for_nothing() {
    let other = VerifiedSignature::new(Digest::of(b"another component"), key("vendor"), None);
    let judged = weigh(parts(), "tool", &[other], Standing::New, NOW);
    assert!(matches!(judged, Err(TrustError::Unmet { .. })));
}

#[test]
fn a_revoked_digest_is_refused_whoever_signed() {
    let mut parts = parts();
    parts.revoked.insert(bytes(), "backdoor".into());
    let refused = judge(parts, "tool", &["vendor"]).unwrap_err();
    assert!(matches!(refused, TrustError::Revoked { .. }));
}

#[test]
fn a_pin_means_these_bytes_only() {
    let policy = TrustPolicy::new(parts()).unwrap();
    let signatures = signed_by(&["vendor"]);
    let found = Evidence { signatures: &signatures, strangers: &[] };
    let pinned = |pin| policy.trust("tool", bytes(), Some(pin), found, Standing::New, NOW);
    assert!(pinned(bytes()).is_ok());
    assert!(matches!(pinned(Digest::of(b"x")), Err(TrustError::OtherBytes { .. })));
}

#[test]
fn keys_and_policies_count_only_in_their_time() {
    let later = UnixTime(NOW.0 + 1);
    let with = |from, until| {
        let mut parts = parts();
        if let Some(vendor) = parts.signers.first_mut() {
            (vendor.valid_from, vendor.valid_until) = (from, until);
        }
        judge(parts, "tool", &["vendor"])
    };
    assert!(with(Some(NOW), Some(later)).is_ok());
    for (from, until, word) in [(Some(later), None, "not valid yet"), (None, Some(NOW), "expired")] {
        let told = with(from, until).unwrap_err().to_string();
        assert!(told.contains(word), "{told}");
    }
    let expired = Parts { expires: Some(NOW), ..parts() };
    assert_eq!(judge(expired, "tool", &["vendor"]), Err(TrustError::PolicyExpired));
    assert!(judge(Parts { expires: Some(later), ..parts() }, "tool", &["vendor"]).is_ok());
}

#[test]
fn a_signers_time_is_judged_when_they_signed_where_that_is_proved() {
    let mut parts = parts();
    let (from, until) = (UnixTime(NOW.0 - 20), UnixTime(NOW.0 - 10));
    if let Some(vendor) = parts.signers.first_mut() {
        (vendor.valid_from, vendor.valid_until) = (Some(from), Some(until));
    }
    let at = |time: Option<UnixTime>| {
        let signatures = [VerifiedSignature::new(bytes(), key("vendor"), time)];
        weigh(parts.clone(), "tool", &signatures, Standing::New, NOW).is_ok()
    };
    assert!(at(Some(from)) && at(Some(UnixTime(until.0 - 1))));
    assert!(!at(None) && !at(Some(until)) && !at(Some(NOW)) && !at(Some(UnixTime(from.0 - 1))));
}

#[test]
fn identities_that_one_person_could_have_are_refused() {
    let known = |id: &str, san: &str| {
        let identity = Identity::parse("https://issuer.example", san).unwrap();
        Signer { key: identity.id(Digest::of(b"root")), identity: Some(identity), ..signer(id) }
    };
    let with = |sans: [&str; 2]| {
        let mut parts = parts();
        parts.signers.extend([known("one", sans[0]), known("two", sans[1])]);
        TrustPolicy::new(parts)
            .map(drop)
            .map_err(|problems| problems.into_iter().map(|p| p.at).collect::<Vec<_>>())
    };
    assert_eq!(with(["*@example.com", "*@example.org"]), Ok(()));
    assert_eq!(with(["*@example.com", "a@example.com"]), Err(vec!["signer[5].san".to_owned()]));
    assert_eq!(with(["a@example.com", "a@example.com"]), Err(vec!["signer[5].key".to_owned()]));
}

#[test]
fn a_policy_that_counts_a_key_twice_is_refused() {
    let mut parts = parts();
    parts.signers.push(Signer { key: key("vendor"), ..signer("vendor-2") });
    parts.signers.push(signer("sec-a"));
    parts.version = 0;
    let places: Vec<String> = TrustPolicy::new(parts).unwrap_err().into_iter().map(|p| p.at).collect();
    assert_eq!(places, ["signer[4].key", "signer[5].id", "signer[5].key", "version"]);
}

#[test]
fn what_was_approved_goes_on_past_a_date_and_nothing_new_begins() {
    const DAY_S: i64 = 86_400;
    let judged = |parts: Parts, standing, now| weigh(parts, "tool", &signed_by(&["vendor"]), standing, now);
    let expired = Parts { expires: Some(NOW), ..parts() };
    assert_eq!(judged(expired.clone(), Standing::New, NOW), Err(TrustError::PolicyExpired));
    let goes_on = judged(expired, Standing::Approved, NOW).unwrap();
    assert_eq!(goes_on.overdue(), [OverdueError::Policy]);
    let mut parts = Parts { grace_days: 30, ..parts() };
    parts.signers.first_mut().unwrap().valid_until = Some(NOW);
    assert!(judged(parts.clone(), Standing::New, NOW).is_err());
    let last = UnixTime(NOW.0 + 30 * DAY_S - 1);
    for (now, days_left) in [(NOW, 30), (last, 0)] {
        let goes_on = judged(parts.clone(), Standing::Approved, now).unwrap();
        assert_eq!(goes_on.overdue(), [OverdueError::Signer { id: "vendor".into(), days_left }]);
    }
    assert!(judged(parts.clone(), Standing::Approved, UnixTime(last.0 + 1)).is_err());
    parts.signers.first_mut().unwrap().valid_until = None;
    parts.signers.first_mut().unwrap().valid_from = Some(last);
    assert!(judged(parts.clone(), Standing::Approved, NOW).is_err(), "no key counts before its time");
    parts.revoked.insert(bytes(), "backdoor".into());
    assert!(matches!(judged(parts, Standing::Approved, last), Err(TrustError::Revoked { .. })));
}

#[test]
fn what_was_trusted_by_another_policy_is_asked_again_with_the_same_signatures() {
    let trusted = judge(parts(), "tool", &["vendor"]).unwrap();
    let again = |parts| TrustPolicy::new(parts).unwrap().again(&trusted, Standing::Approved, NOW);
    assert_eq!(again(parts()), Ok(trusted.clone()));
    let mut without = parts();
    without.signers.push(signer("another"));
    without.roles.first_mut().unwrap().signers = vec!["another".into()];
    assert!(again(without).is_err());
    let mut revoked = parts();
    revoked.revoked.insert(bytes(), "backdoor".into());
    assert!(again(revoked).is_err());
}

#[test]
fn a_signature_that_says_which_plugin_it_is_for_counts_for_no_other() {
    let signed = |said: Option<&str>| {
        VerifiedSignature::new(bytes(), key("vendor"), None).for_plugin(said.map(str::to_owned))
    };
    let judge =
        |said: Option<&str>, plugin: &str| weigh(parts(), plugin, &[signed(said)], Standing::New, NOW);
    assert!(judge(Some("tool"), "tool").is_ok());
    assert!(judge(None, "tool").is_ok(), "what does not say it is for any plugin of these bytes");
    for other in ["acme:files", "tools", "TOOL", "too", "tool ", ""] {
        let refused = judge(Some(other), "tool").unwrap_err().to_string();
        let told = format!("signer `vendor` signed it as plugin `{other}` and no other");
        assert!(refused.contains(&told), "{refused}");
    }
    // A signature for another plugin does not devalue one for this.
    let both = [Some("other"), Some("tool")].map(signed);
    let trusted = weigh(parts(), "tool", &both, Standing::New, NOW).unwrap();
    assert!(TrustPolicy::new(parts()).unwrap().again(&trusted, Standing::New, NOW).is_ok());
}
