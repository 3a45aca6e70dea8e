//! Bundles: what was written is read, and nothing else is.

use super::*;

/// One of each form, sorted.
const SIGNATURES: [&str; 3] = ["files.wasm.0123abcd.minisig", "files.wasm.sig", "files.wasm.sigstore.json"];

fn items() -> Vec<(Item, Interfaces)> {
    let signature = |name: &str| SignatureFile { name: name.to_owned(), bytes: name.as_bytes().to_vec() };
    let item = |name: &str, signatures| Item {
        name: name.to_owned(),
        artifact: Artifact::of(name.as_bytes()),
        signatures,
    };
    vec![
        (item("files", SIGNATURES.map(signature).to_vec()), Interfaces::default()),
        (item("unsigned", Vec::new()), Interfaces::default()),
    ]
}

fn told(mut items: Vec<Item>) -> Vec<(String, Vec<u8>, Vec<Vec<u8>>)> {
    items.sort_by(|a, b| a.name.cmp(&b.name));
    let told = |item: Item| {
        for file in &item.signatures {
            let genuine = String::from_utf8_lossy(&file.bytes);
            let same_form = |ending: &str| file.name.ends_with(ending) == genuine.ends_with(ending);
            assert!([".sigstore.json", ".sig", ".minisig"].into_iter().all(same_form), "{genuine}");
        }
        let mut signatures: Vec<Vec<u8>> = item.signatures.into_iter().map(|file| file.bytes).collect();
        signatures.sort();
        (item.name, item.artifact.bytes().to_vec(), signatures)
    };
    items.into_iter().map(told).collect()
}

#[test]
fn what_was_written_is_read_from_a_folder_and_from_a_tar() {
    let base = tempfile::tempdir().unwrap();
    for name in ["bundle", "bundle.tar"] {
        let path = base.path().join(name);
        write(&items(), Some(b"root"), &path).unwrap();
        let signed = SIGNATURES.map(|name| name.as_bytes().to_vec()).to_vec();
        let wanted = [
            ("files".to_owned(), b"files".to_vec(), signed),
            ("unsigned".to_owned(), b"unsigned".to_vec(), Vec::new()),
        ];
        let bundle = read(&path).unwrap();
        assert_eq!(bundle.root.as_deref(), Some(&b"root"[..]), "{name}");
        assert_eq!(told(bundle.items), wanted, "{name}");
        assert!(write(&items(), Some(b"root"), &path).is_err(), "{name}: what is there is not written over");
    }
}

#[test]
fn a_bundle_with_any_file_changed_missing_or_a_link_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let names: Vec<String> = laid_out(&items(), Some(b"root")).into_keys().collect();
    for name in &names {
        for (how, change) in [
            ("changed", (|path| std::fs::write(path, b"{}").unwrap()) as fn(&Path)),
            ("missing", |path| std::fs::remove_file(path).unwrap()),
            ("a link", |path| {
                let moved = path.with_extension("moved");
                std::fs::rename(path, &moved).unwrap();
                std::os::unix::fs::symlink(moved, path).unwrap();
            }),
        ] {
            let folder = base.path().join("bundle");
            drop(std::fs::remove_dir_all(&folder));
            write(&items(), Some(b"root"), &folder).unwrap();
            change(&folder.join(name));
            let unread = is_config(&folder.join(name));
            assert!(read(&folder).is_err() || unread, "{name} {how}");
        }
    }
}

/// Nobody reads the configuration of a component.
fn is_config(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let configs = items().into_iter().map(|(item, i)| artefact::config(item.artifact.digest(), &i));
    let mut configs = configs.chain([artefact::NOTHING.to_vec()]);
    configs.any(|config| Digest::of(&config).hex() == name)
}

#[test]
fn a_tar_with_links_devices_or_ways_out_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("bad.tar");
    for (name, kind) in [
        ("blobs/link", tar::EntryType::Symlink),
        ("blobs/hard", tar::EntryType::Link),
        ("blobs/pipe", tar::EntryType::Fifo),
        ("blobs/device", tar::EntryType::Block),
        ("../escape", tar::EntryType::Regular),
        ("/etc/escape", tar::EntryType::Regular),
        ("blobs/../../escape", tar::EntryType::Regular),
        ("blobs//escape", tar::EntryType::Regular),
    ] {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_ustar_mut().unwrap().linkname[..6].copy_from_slice(b"/etc/x");
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_cksum();
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        archive.append(&header, io::empty()).unwrap();
        drop(archive.into_inner().unwrap());
        assert!(matches!(read(&path), Err(NotABundle::Entry(..))), "{name}");
    }
}

#[test]
fn a_tar_that_says_it_is_huge_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("huge.tar");
    let mut header = tar::Header::new_ustar();
    header.set_path("index.json").unwrap();
    header.set_size(1 << 60);
    header.set_cksum();
    std::fs::write(&path, header.as_bytes()).unwrap();
    assert!(matches!(read(&path), Err(NotABundle::Large)));
}
