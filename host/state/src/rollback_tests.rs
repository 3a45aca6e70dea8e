//! Rollback protection of trust policies.

use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::trust::Parts;

use super::*;

const NOW: UnixTime = UnixTime(1_000);

fn trust(version: u64, file: &[u8]) -> TrustSpec {
    let policy = TrustPolicy::new(Parts { version, ..Parts::default() }).unwrap();
    TrustSpec { policy, anchors: Vec::new(), sha256: Digest::of(file) }
}

fn state() -> (tempfile::TempDir, StateDir) {
    let base = tempfile::tempdir().unwrap();
    let state = StateDir::open(&base.path().join("state")).unwrap();
    (base, state)
}

#[test]
fn a_version_never_goes_back_and_says_one_thing_also_over_restarts() {
    let (_base, state) = state();
    RollbackGuard::open(&state).unwrap().admit(&trust(3, b"a"), NOW).unwrap();
    let seen = RollbackGuard::open(&state).unwrap();
    assert!(matches!(seen.admit(&trust(2, b"a"), NOW), Err(RollbackError::Older { was: 3, is: 2 })));
    assert!(matches!(seen.admit(&trust(3, b"b"), NOW), Err(RollbackError::Changed(3))));
    let admitted = AdmittedPolicy { now: NOW, upgraded: false };
    assert_eq!(seen.admit(&trust(3, b"a"), NOW).unwrap(), admitted);
    assert_eq!(seen.admit(&trust(4, b"b"), NOW).unwrap(), admitted);
    assert!(seen.admit(&trust(3, b"a"), NOW).is_err());
    seen.judge(&trust(9, b"a"), NOW).unwrap();
    assert!(seen.admit(&trust(5, b"a"), NOW).is_ok(), "what was only looked at is not remembered");
}

#[test]
fn a_key_file_with_another_key_is_a_change_of_the_policy() {
    let signer = |key: &[u8]| Signer {
        id: "vendor".into(),
        key: KeyId::of_spki(key),
        identity: None,
        valid_from: None,
        valid_until: None,
    };
    let with = |version, key: &[u8]| {
        let policy = Parts { version, signers: vec![signer(key)], ..Parts::default() };
        TrustSpec { policy: TrustPolicy::new(policy).unwrap(), ..trust(version, b"file") }
    };
    let (_base, state) = state();
    let seen = RollbackGuard::open(&state).unwrap();
    seen.admit(&with(1, b"key"), NOW).unwrap();
    assert!(matches!(seen.admit(&with(1, b"other"), NOW), Err(RollbackError::Changed(1))));
    assert!(seen.admit(&with(2, b"other"), NOW).is_ok());
}

#[test]
fn a_clock_that_is_set_back_brings_no_time_back() {
    let (_base, state) = state();
    RollbackGuard::open(&state).unwrap().admit(&trust(1, b"a"), UnixTime(5_000)).unwrap();
    let judged = RollbackGuard::open(&state).unwrap().admit(&trust(1, b"a"), UnixTime(100)).unwrap();
    assert_eq!(judged.now, UnixTime(5_000));
}

#[test]
fn a_memory_that_is_gone_or_changed_is_refused_and_says_what_to_do() {
    let (base, state) = state();
    RollbackGuard::open(&state).unwrap().admit(&trust(7, b"a"), NOW).unwrap();
    let file = base.path().join("state").join(FILE);
    let written = std::fs::read(&file).unwrap();
    for at in 0..written.len() {
        let mut other = written.clone();
        *other.get_mut(at).unwrap() ^= 1;
        std::fs::write(&file, &other).unwrap();
        let read = RollbackGuard::open(&state).and_then(|seen| seen.read());
        // The line ending may differ, nothing else.
        assert!(read.is_err() || read.is_ok_and(|(last, _)| last.version == 7), "byte {at}");
    }
    std::fs::remove_file(&file).unwrap();
    let refused = RollbackGuard::open(&state).err().unwrap().to_string();
    assert!(refused.contains("trust.seen in the state directory is gone"), "{refused}");
    assert!(refused.contains("to begin anew, stop the servers that use this state directory, then remove keys/trust.key as well"), "{refused}");
    std::fs::remove_file(base.path().join("state/keys").join(KEY)).unwrap();
    assert!(RollbackGuard::open(&state).is_ok(), "to begin anew");
}

#[test]
fn the_former_form_is_taken_once_with_its_version_and_time() {
    let (base, state) = state();
    let seen = RollbackGuard::open(&state).unwrap();
    let former = r#"{"version":3,"said":"abc","release":"0.1.0","time":5000}"#;
    let put = |line: &str, key: &MacKey| {
        let tag = toolgate_policy::digest::hex(&key.tag(&[line.as_bytes()]));
        std::fs::write(base.path().join("state").join(FILE), format!("{line}\n{tag}\n")).unwrap();
    };
    let other = MacKey::load_or_make(&state.dir("keys").unwrap(), "other.key").unwrap();
    put(former, &other);
    assert!(RollbackGuard::open(&state).is_err(), "under another key it counts for nothing");
    put(former, &seen.key);
    let seen = RollbackGuard::open(&state).unwrap();
    assert!(matches!(seen.admit(&trust(2, b"a"), NOW), Err(RollbackError::Older { was: 3, is: 2 })));
    let upgraded = AdmittedPolicy { now: UnixTime(5_000), upgraded: true };
    assert_eq!(seen.admit(&trust(3, b"a"), NOW).unwrap(), upgraded);
    assert!(matches!(seen.admit(&trust(3, b"b"), NOW), Err(RollbackError::Changed(3))), "once");
    assert!(!seen.admit(&trust(3, b"a"), NOW).unwrap().upgraded);
    let file = base.path().join("state").join(FILE);
    let written = std::fs::read_to_string(&file).unwrap();
    let line = written.lines().next().unwrap();
    put(line, &seen.key);
    RollbackGuard::open(&state).unwrap();
    let without = |member: &str| {
        let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        members.remove(member).unwrap();
        serde_json::to_string(&members).unwrap()
    };
    for other in [without("sha256"), without("keys"), r#"{"format":3,"version":3}"#.to_owned()] {
        put(&other, &seen.key);
        assert!(RollbackGuard::open(&state).is_err(), "{other}");
    }
}

#[test]
fn processes_that_see_versions_at_once_remember_the_highest() {
    let (base, _state) = state();
    std::thread::scope(|scope| {
        for version in 1..=16 {
            let path = base.path().join("state");
            scope.spawn(move || {
                // Separate descriptors, as separate processes have.
                let seen = RollbackGuard::open(&StateDir::open(&path).unwrap()).unwrap();
                match seen.admit(&trust(version, b"a"), NOW) {
                    Ok(_) | Err(RollbackError::Older { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            });
        }
    });
    let seen = RollbackGuard::open(&StateDir::open(&base.path().join("state")).unwrap()).unwrap();
    assert_eq!(seen.read().unwrap().0.version, 16);
}

#[test]
fn a_memory_whose_key_is_gone_is_refused_and_is_not_begun_anew() {
    let (base, state) = state();
    RollbackGuard::open(&state).unwrap().admit(&trust(7, b"a"), NOW).unwrap();
    let (key, aside) = (base.path().join("state/keys").join(KEY), base.path().join("aside"));
    std::fs::rename(&key, &aside).unwrap();
    for _ in 0..2 {
        let refused = RollbackGuard::open(&state).err().unwrap().to_string();
        assert!(refused.contains("keys/trust.key in the state directory is gone"), "{refused}");
        assert!(refused.contains("to begin anew, stop the servers that use this state directory, then remove trust.seen as well"), "{refused}");
    }
    // A foreign key does not help, under either name.
    for name in [KEY, FRESH] {
        MacKey::load_or_make(&state.dir("keys").unwrap(), name).unwrap();
        assert!(RollbackGuard::open(&state).is_err(), "{name}");
        std::fs::remove_file(base.path().join("state/keys").join(name)).unwrap();
    }
    std::fs::rename(&aside, &key).unwrap();
    let seen = RollbackGuard::open(&state).unwrap();
    assert!(matches!(seen.admit(&trust(6, b"a"), NOW), Err(RollbackError::Older { was: 7, is: 6 })));
}

#[test]
fn a_first_start_that_was_interrupted_anywhere_goes_on_the_next_time() {
    let (base, state) = state();
    let keys = state.dir("keys").unwrap();
    let path = |name: &str| base.path().join("state").join(name);
    // Only the key has been created.
    MacKey::load_or_make(&keys, FRESH).unwrap();
    RollbackGuard::open(&state).unwrap();
    // The record is written, and the key is not renamed yet.
    std::fs::rename(path("keys/trust.key"), path("keys/trust.key.new")).unwrap();
    RollbackGuard::open(&state).unwrap().admit(&trust(7, b"a"), NOW).unwrap();
    assert!(path("keys/trust.key").exists() && !path("keys/trust.key.new").exists());
    // Simulating that state does not reset the protection.
    std::fs::rename(path("keys/trust.key"), path("keys/trust.key.new")).unwrap();
    let seen = RollbackGuard::open(&state).unwrap();
    assert!(matches!(seen.admit(&trust(6, b"a"), NOW), Err(RollbackError::Older { was: 7, is: 6 })));
    // A key without a record is not a first start.
    std::fs::remove_file(path(FILE)).unwrap();
    assert!(RollbackGuard::open(&state).is_err());
}

#[test]
fn a_policy_that_was_taken_is_judged_by_its_dates_though_another_process_took_a_newer_one() {
    let (_base, state) = state();
    let ours = RollbackGuard::open(&state).unwrap();
    ours.admit(&trust(1, b"a"), NOW).unwrap();
    RollbackGuard::open(&state).unwrap().admit(&trust(2, b"b"), UnixTime(2_000)).unwrap();
    assert_eq!(ours.time(NOW).unwrap(), UnixTime(2_000), "and at the latest time there was");
    assert_eq!(ours.time(UnixTime(3_000)).unwrap(), UnixTime(3_000));
    assert_eq!(
        RollbackGuard::open(&state).unwrap().time(NOW).unwrap(),
        UnixTime(3_000),
        "which is remembered"
    );
    assert!(ours.admit(&trust(1, b"a"), NOW).is_err(), "and the version is, too");
}

fn revoking(version: u64, file: &[u8], digests: impl IntoIterator<Item = Digest>) -> TrustSpec {
    let revoked = digests.into_iter().map(|digest| (digest, "a backdoor".to_owned())).collect();
    let policy = TrustPolicy::new(Parts { version, revoked, ..Parts::default() }).unwrap();
    TrustSpec { policy, ..trust(version, file) }
}

#[test]
fn what_the_newest_policy_revokes_is_remembered_until_a_newer_one_says_otherwise() {
    let (_base, state) = state();
    let seen = RollbackGuard::open(&state).unwrap();
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let stamp = seen.stamp();
    assert!(stamp.is_some() && stamp == seen.stamp());
    seen.admit(&revoking(2, b"2", [a, b]), NOW).unwrap();
    assert_ne!(seen.stamp(), stamp, "it is another file");
    let seen = RollbackGuard::open(&state).unwrap();
    assert_eq!(seen.revoked().unwrap(), Revoked { version: 2, digests: [a, b].into() });
    assert!(seen.admit(&trust(1, b"1"), NOW).is_err());
    assert_eq!(seen.time(UnixTime(9_000)).unwrap(), UnixTime(9_000));
    assert_eq!(seen.revoked().unwrap(), Revoked { version: 2, digests: [a, b].into() }, "and stays");
    seen.admit(&revoking(3, b"3", [b]), NOW).unwrap();
    assert_eq!(seen.revoked().unwrap(), Revoked { version: 3, digests: [b].into() });
}

#[test]
fn a_memory_without_revocations_is_read_and_has_them_from_the_next_look_on() {
    let (base, state) = state();
    let seen = RollbackGuard::open(&state).unwrap();
    let policy = revoking(2, b"2", [Digest::of(b"a")]);
    seen.write(&LastPolicy {
        revoked: BTreeSet::new(),
        ..next(&LastPolicy::at(0, 0), &policy, NOW).unwrap()
    })
    .unwrap();
    assert!(!std::fs::read_to_string(base.path().join("state").join(FILE)).unwrap().contains("revoked"));
    let seen = RollbackGuard::open(&state).unwrap();
    assert_eq!(seen.revoked().unwrap(), Revoked { version: 2, digests: BTreeSet::new() });
    seen.admit(&policy, NOW).unwrap();
    assert_eq!(seen.revoked().unwrap().digests, [Digest::of(b"a")].into());
}

#[test]
fn as_much_is_remembered_as_a_trust_policy_can_revoke() {
    let (base, state) = state();
    let seen = RollbackGuard::open(&state).unwrap();
    let entry = "{digest=\"sha256:\"},".len() + 64;
    let count = usize::try_from(toolgate_policy::limits::load::CONFIG_BYTES_MAX).unwrap() / entry;
    let digests: BTreeSet<_> = (0..count).map(|number| Digest::of(&number.to_le_bytes())).collect();
    seen.admit(&revoking(u64::MAX, b"2", digests.iter().copied()), UnixTime(i64::MAX)).unwrap();
    let bytes = std::fs::metadata(base.path().join("state").join(FILE)).unwrap().len();
    assert!(bytes < SEEN_BYTES_MAX, "{bytes}");
    assert_eq!(RollbackGuard::open(&state).unwrap().revoked().unwrap().digests, digests);
}
