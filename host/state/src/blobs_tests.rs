//! Storing, evicting and reading back components.

use super::*;

fn kept(base: &tempfile::TempDir, bytes_max: u64) -> BlobStore {
    let state = StateDir::open(&base.path().join("state")).unwrap();
    BlobStore { bytes_max, ..BlobStore::open(&state).unwrap() }
}

fn signature(name: &str) -> SignatureFile {
    SignatureFile { name: name.to_owned(), bytes: name.as_bytes().to_vec() }
}

#[test]
fn what_is_kept_comes_back_with_the_signatures_of_the_last_time_alone() {
    let base = tempfile::tempdir().unwrap();
    let kept = kept(&base, 1_000);
    let artifact = Artifact::of(*b"component");
    assert!(kept.get(artifact.digest()).is_none());
    let first = ["a.wasm.sigstore.json", "a.wasm.0123abcd.sigstore.json", "../../escape"].map(signature);
    kept.put(&artifact, &first).unwrap();
    let names = |kept: &BlobStore| -> Vec<(String, Vec<u8>)> {
        let (again, signatures) = kept.get(artifact.digest()).unwrap();
        assert_eq!(again.bytes(), artifact.bytes());
        signatures.into_iter().map(|file| (file.name, file.bytes)).collect()
    };
    let hex = artifact.digest().hex();
    let both = [
        (format!("{hex}.0123abcd.sigstore.json"), b"a.wasm.0123abcd.sigstore.json".to_vec()),
        (format!("{hex}.sigstore.json"), b"a.wasm.sigstore.json".to_vec()),
    ];
    assert_eq!(names(&kept), both);
    kept.put(&artifact, &[signature("b.sigstore.json")]).unwrap();
    assert_eq!(names(&kept), [(format!("{hex}.sigstore.json"), b"b.sigstore.json".to_vec())]);
}

#[test]
fn signatures_that_come_later_stand_beside_those_that_still_count() {
    let base = tempfile::tempdir().unwrap();
    let kept = kept(&base, 100_000);
    let artifact = Artifact::of(*b"component");
    let said = |says: &str| SignatureFile { name: "a.wasm.sig".into(), bytes: says.as_bytes().to_vec() };
    let worth = |file: &SignatureFile| match file.bytes.as_slice() {
        b"forged" => SignatureRank::Nothing,
        b"one" | b"two" => SignatureRank::Counts,
        _ => SignatureRank::MayCount,
    };
    let add = |says: &str| kept.add(&artifact, &[said(says)], worth);
    let says = || -> Vec<String> {
        let (_, signatures) = kept.get(artifact.digest()).unwrap();
        signatures.into_iter().map(|file| String::from_utf8(file.bytes).unwrap()).collect()
    };
    kept.put(&artifact, &[said("forged")]).unwrap();
    for (says_now, together) in [("one", &["one"][..]), ("two", &["one", "two"]), ("two", &["one", "two"])] {
        add(says_now).unwrap();
        assert!(kept.has(artifact.digest(), &[said(says_now)]));
        let mut all = says();
        all.sort();
        assert_eq!(all, together);
    }
    assert!(kept.has(artifact.digest(), &[]) && !kept.has(artifact.digest(), &[said("three")]));
    for number in 0..40 {
        add(&number.to_string()).unwrap();
        let says = says();
        assert!(["one", "two", &number.to_string()].iter().all(|one| says.iter().any(|said| said == one)));
        assert!(says.len() <= SIGNATURES_MAX);
    }
}

#[test]
fn what_is_no_longer_what_it_was_counts_as_absent() {
    let base = tempfile::tempdir().unwrap();
    let kept = kept(&base, 1_000);
    let artifact = Artifact::of(*b"component");
    kept.put(&artifact, &[]).unwrap();
    let path = base.path().join("state/blobs/sha256").join(artifact.digest().hex());
    std::fs::write(&path, b"Component").unwrap();
    assert!(kept.get(artifact.digest()).is_none());
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(kept.get(artifact.digest()).is_none());
}

#[test]
fn what_was_left_half_written_is_cleared_away() {
    let base = tempfile::tempdir().unwrap();
    let kept = kept(&base, 1_000);
    let left = base.path().join("state/blobs/sha256/.left.1");
    let file = std::fs::File::create(&left).unwrap();
    kept.put(&Artifact::of(*b"one"), &[]).unwrap();
    assert!(left.exists(), "somebody may be at it");
    file.set_modified(SystemTime::now() - UNFINISHED * 2).unwrap();
    kept.put(&Artifact::of(*b"two"), &[]).unwrap();
    assert!(!left.exists());
}

#[test]
fn the_least_recently_used_makes_room_and_what_is_held_stays() {
    let base = tempfile::tempdir().unwrap();
    let kept = kept(&base, 20);
    let [first, second, third] = [*b"first_____", *b"second____", *b"third_____"].map(Artifact::of);
    let at = |artifact: &Artifact, seconds| {
        let path = base.path().join("state/blobs/sha256").join(artifact.digest().hex());
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    kept.put(&first, &[]).unwrap();
    kept.put(&second, &[]).unwrap();
    at(&first, 1);
    at(&second, 2);
    assert!(kept.get(first.digest()).is_some(), "it is used, and so the younger of the two");
    kept.put(&third, &[]).unwrap();
    assert!(kept.get(second.digest()).is_none());
    kept.hold([first.digest(), third.digest()].into());
    assert!(matches!(kept.put(&second, &[]), Err(BlobStoreError::Full(20))));
    assert!(kept.get(first.digest()).is_some() && kept.get(third.digest()).is_some());
    kept.hold([first.digest()].into());
    let large = Artifact::of(*b"eleven_____");
    assert!(matches!(kept.put(&large, &[]), Err(BlobStoreError::Full(20))));
    assert!(kept.get(third.digest()).is_some(), "nothing goes for what does not fit all the same");
}
