//! Stamps: every change of a signature is detected; crowded folders take bounded work and are reported.

use super::*;

/// A folder with two components and a policy, and the files that are watched.
fn folder() -> (tempfile::TempDir, Vec<PathBuf>, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let files = ["a.wasm", "b.wasm"].map(|name| base.path().join(name)).to_vec();
    let policy = base.path().join("trust.toml");
    for path in files.iter().chain([&policy]) {
        std::fs::write(path, b"x").unwrap();
    }
    (base, files, policy)
}

#[test]
fn every_change_of_a_signature_shows_and_of_other_files_none() {
    let (base, files, policy) = folder();
    let mut before = stamps(&files, &policy);
    assert_eq!(before, stamps(&files, &policy));
    let signature = base.path().join("b.wasm.0123abcd.sig");
    let moved = base.path().join("b.wasm.0123abce.sig");
    let steps: [(&str, bool, &dyn Fn()); 7] = [
        ("it comes", true, &|| std::fs::write(&signature, b"one").unwrap()),
        ("it has other bytes", true, &|| std::fs::write(&signature, b"other").unwrap()),
        ("it has another name", true, &|| std::fs::rename(&signature, &moved).unwrap()),
        ("it goes", true, &|| std::fs::remove_file(&moved).unwrap()),
        ("one of no component", false, &|| std::fs::write(base.path().join("c.wasm.sig"), b"x").unwrap()),
        ("another file", false, &|| std::fs::write(base.path().join("b.wasm.txt"), b"x").unwrap()),
        ("the folder goes", true, &|| std::fs::remove_dir_all(base.path()).unwrap()),
    ];
    for (what, shows, step) in steps {
        step();
        let now = stamps(&files, &policy);
        assert_eq!(now.signatures != before.signatures, shows, "{what}");
        before = now;
    }
}

#[test]
fn a_folder_that_is_gone_is_another_state_than_one_without_signatures() {
    let (base, files, policy) = folder();
    let empty = stamps(&files, &policy).signatures;
    std::fs::remove_dir_all(base.path()).unwrap();
    let gone = stamps(&files, &policy).signatures;
    assert_ne!(empty, gone);
    assert_eq!(gone[base.path()], Signatures::Unreadable(io::ErrorKind::NotFound));
}

#[test]
fn so_many_entries_are_looked_at_however_many_components_and_files_there_are() {
    let (base, files, policy) = folder();
    for number in 0..WATCH_ENTRIES_MAX - 3 {
        std::fs::write(base.path().join(format!("a.wasm.{number:08x}.sig")), b"").unwrap();
    }
    let full = stamps(&files, &policy);
    assert_eq!(full.crowded().count(), 0, "a folder is listed once, whatever lies in it");
    std::fs::write(base.path().join("one-more"), b"").unwrap();
    let crowded = stamps(&files, &policy);
    assert_eq!(crowded.crowded().collect::<Vec<_>>(), [base.path()]);
    assert_eq!(crowded.file(&files[0]), full.file(&files[0]));
    // The bound is shared by all folders.
    let names: BTreeSet<&str> = BTreeSet::from(["a.wasm"]);
    let mut entries_left = 5;
    assert_eq!(signatures(base.path(), &names, &mut entries_left).unwrap(), Signatures::Crowded);
    assert_eq!(entries_left, 0);
}
