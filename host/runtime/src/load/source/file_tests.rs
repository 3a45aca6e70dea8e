//! Files, and the signature files beside them.

use toolgate_policy::limits::load::{ATTACHED_BYTES_MAX, ATTACHED_MAX};

use super::*;

#[test]
fn devices_pipes_and_folders_are_not_read() {
    let base = tempfile::tempdir().unwrap();
    let pipe = base.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    for path in [Path::new("/dev/zero"), Path::new("/dev/tty"), &pipe, base.path()] {
        assert!(fetch(path, &[]).is_err(), "{}", path.display());
    }
}

#[test]
fn signatures_are_found_by_their_names_alone() {
    let base = tempfile::tempdir().unwrap();
    let all = [
        "a.wasm",
        "a.wasm.sigstore.json",
        "a.wasm.0123abcd.sigstore.json",
        "a.wasm.0123ABCD.sigstore.json",
        "a.wasm.x.sigstore.json",
        "b.wasm.sigstore.json",
        "a.wasm.sig",
        "a.wasm.89abcdef.sig",
        "a.wasm.89abcdef0.sig",
        "a.wasm.sig.sig",
        "a.wasm.minisig",
        "a.wasm.asc",
    ];
    for name in all {
        std::fs::write(base.path().join(name), name).unwrap();
    }
    let found = fetch(&base.path().join("a.wasm"), &[]).unwrap();
    let names: Vec<String> = found.signatures.into_iter().map(|file| file.name).collect();
    assert_eq!(
        names,
        [
            "a.wasm.minisig",
            "a.wasm.sig",
            "a.wasm.sigstore.json",
            "a.wasm.0123abcd.sigstore.json",
            "a.wasm.89abcdef.sig"
        ]
    );
}

#[test]
fn a_link_in_a_folder_of_plugins_is_followed_where_it_ends_inside() {
    use std::os::unix::fs::symlink;
    let base = tempfile::tempdir().unwrap();
    let (inside, outside) = (base.path().join("plugins"), base.path().join("outside"));
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(&outside, "component").unwrap();
    for name in ["b.wasm", "a.wasm", ".c.wasm", "d.wasm.sigstore.json", "e.txt"] {
        std::fs::write(inside.join(name), name).unwrap();
    }
    // As Kubernetes mounts a ConfigMap.
    std::fs::create_dir(inside.join("..2026_01")).unwrap();
    std::fs::write(inside.join("..2026_01/map.wasm"), "mapped").unwrap();
    symlink("..2026_01", inside.join("..data")).unwrap();
    symlink("..data/map.wasm", inside.join("map.wasm")).unwrap();
    symlink(inside.join("a.wasm"), inside.join("whole.wasm")).unwrap();
    for (to, name) in [
        (outside.as_path(), "out.wasm"),
        (Path::new("../outside"), "up.wasm"),
        (Path::new("gone"), "gone.wasm"),
        (Path::new("round.wasm"), "round.wasm"),
        (Path::new("/dev/zero"), "zero.wasm"),
    ] {
        symlink(to, inside.join(name)).unwrap();
        let refused = fetch_within(&inside, name, &[]).err().unwrap();
        assert!(matches!(refused, FileError::Link(_)), "{name}: {refused}");
        assert!(!refused.is_absence(), "{name}");
        std::fs::remove_file(inside.join(name)).unwrap();
    }
    assert_eq!(folder(&inside).unwrap(), ["a.wasm", "b.wasm", "map.wasm", "whole.wasm"]);
    for (name, bytes) in [("a.wasm", "a.wasm"), ("map.wasm", "mapped"), ("whole.wasm", "a.wasm")] {
        let found = fetch_within(&inside, name, &[]).unwrap();
        assert_eq!(found.artifact.bytes(), bytes.as_bytes(), "{name}");
    }
    symlink(&outside, inside.join("a.wasm.sigstore.json")).unwrap();
    let found = fetch_within(&inside, "a.wasm", &[]).unwrap();
    assert!(found.signatures.is_empty(), "its component is read, and no signature comes from elsewhere");
    assert!(told(&found)[0].contains("it is a link"), "{:?}", told(&found));
    symlink("..2026_01", inside.join("folder.wasm")).unwrap();
    assert!(matches!(fetch_within(&inside, "folder.wasm", &[]), Err(FileError::NotAFile(_))));
}

#[test]
fn a_file_with_one_byte_too_many_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("a.wasm");
    File::create(&path).unwrap().set_len(COMPONENT_BYTES_MAX + 1).unwrap();
    assert!(matches!(fetch(&path, &[]), Err(FileError::Read(_, TooLargeError::Bytes(_)))));
}

fn told(found: &Found) -> Vec<String> {
    found.unread.iter().map(ToString::to_string).collect()
}

#[test]
fn so_many_signatures_are_read_and_of_one_more_it_is_said_that_it_is_not() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("a.wasm");
    File::create(&path).unwrap();
    for number in 0..ATTACHED_MAX {
        File::create(base.path().join(format!("a.wasm.{number:08x}.sig"))).unwrap();
    }
    let found = fetch(&path, &[]).unwrap();
    assert_eq!((found.signatures.len(), found.unread.len()), (ATTACHED_MAX, 0));
    File::create(base.path().join("a.wasm.minisig")).unwrap();
    let found = fetch(&path, &[]).unwrap();
    assert_eq!(found.signatures.len(), ATTACHED_MAX);
    assert_eq!(found.signatures[0].name, "a.wasm.minisig", "no number of others is in its way");
    let told = told(&found);
    assert!(told.len() == 1 && told[0].starts_with("a.wasm.0000003f.sig: it is not looked at"), "{told:?}");
}

#[test]
fn of_all_signatures_together_so_many_bytes_are_read() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("a.wasm");
    File::create(&path).unwrap();
    for number in 0..=8 {
        let file = File::create(base.path().join(format!("a.wasm.{number:08x}.sigstore.json"))).unwrap();
        file.set_len(ATTACHED_BYTES_MAX / 8).unwrap();
    }
    let found = fetch(&path, &[]).unwrap();
    assert_eq!((found.signatures.len(), found.unread.len()), (8, 1));
}

#[test]
fn a_signature_with_one_byte_too_many_is_not_read_and_the_component_is() {
    for (ending, _, bytes_max) in name::ENDINGS {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a.wasm");
        File::create(&path).unwrap();
        let signature = File::create(base.path().join(format!("a.wasm{ending}"))).unwrap();
        signature.set_len(bytes_max).unwrap();
        assert_eq!(fetch(&path, &[]).unwrap().signatures.len(), 1, "{ending}");
        for length in [bytes_max + 1, 100 << 20] {
            signature.set_len(length).unwrap();
            let found = fetch(&path, &[]).unwrap();
            assert!(found.signatures.is_empty(), "{ending}");
            assert_eq!(told(&found), [format!("a.wasm{ending}: it has more than {bytes_max} bytes")]);
        }
    }
}
