//! Bundles: written ones read back, and anything else is refused.

use std::fs::File;

use super::write::laid_out;
use super::*;
use crate::remote::artefact::ComponentInterfaces;

/// One of each format, sorted.
const SIGNATURES: [&str; 3] = ["files.wasm.0123abcd.minisig", "files.wasm.sig", "files.wasm.sigstore.json"];

fn items() -> Vec<(Item, ComponentInterfaces)> {
    let signature = |name: &str| SignatureFile { name: name.to_owned(), bytes: name.as_bytes().to_vec() };
    let item = |name: &str, signatures| Item {
        name: name.to_owned(),
        artifact: Artifact::of(name.as_bytes()),
        signatures,
        unread: Vec::new(),
    };
    vec![
        (item("files", SIGNATURES.map(signature).to_vec()), ComponentInterfaces::default()),
        (item("unsigned", Vec::new()), ComponentInterfaces::default()),
    ]
}

/// Path of a tar in a folder of its own.
fn place() -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("b.tar");
    (base, path)
}

/// Header of a tar's entry, without its name and checksum.
fn header(kind: tar::EntryType, bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header
}

/// All contents of a bundle.
fn read(from: &Path) -> Result<(Vec<Item>, Option<Vec<u8>>), BundleError> {
    let mut bundle = open(from)?;
    let listed = bundle.components().to_vec();
    let items = listed.iter().map(|one| bundle.item(one, &[])).collect::<Result<_, _>>()?;
    Ok((items, bundle.root()?.map(|root| root.bytes().to_vec())))
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
        let (items_read, root) = read(&path).unwrap();
        assert_eq!(root.as_deref(), Some(&b"root"[..]), "{name}");
        assert_eq!(told(items_read), wanted, "{name}");
        assert!(write(&items(), Some(b"root"), &path).is_err(), "{name}: what is there is not written over");
    }
}

#[test]
fn a_bundle_with_any_file_changed_missing_or_a_link_is_refused_or_has_a_signature_less_and_says_so() {
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
            match read(&folder) {
                Err(_) => {}
                Ok((items, _)) => {
                    let found: usize = items.iter().map(|item| item.signatures.len()).sum();
                    let is_said = items.iter().any(|item| !item.unread.is_empty());
                    assert!(unread || (found == SIGNATURES.len() - 1 && is_said), "{name} {how}");
                }
            }
        }
    }
}

/// Whether a file is a component's configuration, which is never read.
fn is_config(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let configs = items().into_iter().map(|(item, i)| artefact::config(item.artifact.digest(), &i));
    let mut configs = configs.chain([artefact::NOTHING.to_vec()]);
    configs.any(|config| Digest::of(&config).hex() == name)
}

#[test]
fn a_tar_with_links_devices_or_ways_out_is_refused() {
    let (_base, path) = place();
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
        let mut header = header(kind, 0);
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_ustar_mut().unwrap().linkname[..6].copy_from_slice(b"/etc/x");
        header.set_cksum();
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        archive.append(&header, io::empty()).unwrap();
        drop(archive.into_inner().unwrap());
        assert!(matches!(read(&path), Err(BundleError::Entry(..))), "{name}");
    }
}

#[test]
fn a_tar_that_says_it_is_huge_is_refused() {
    let (_base, path) = place();
    let mut header = header(tar::EntryType::Regular, 1 << 60);
    header.set_path("index.json").unwrap();
    header.set_cksum();
    std::fs::write(&path, header.as_bytes()).unwrap();
    assert!(matches!(read(&path), Err(BundleError::Large)));
}

fn tar_of(files: &[(String, Vec<u8>)], to: &Path) {
    let mut archive = tar::Builder::new(File::create(to).unwrap());
    for (path, bytes) in files {
        let mut header = header(tar::EntryType::Regular, bytes.len() as u64);
        archive.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    drop(archive.into_inner().unwrap());
}

fn blob(bytes: Vec<u8>) -> (String, Vec<u8>) {
    (blob_path(Digest::of(&bytes)), bytes)
}

/// A layout with this index and these blobs.
fn layout(listed: &[Descriptor], blobs: impl IntoIterator<Item = Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let mut files: BTreeMap<String, Vec<u8>> = blobs.into_iter().map(blob).collect();
    files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    files.insert("index.json".to_owned(), artefact::index(listed));
    files.into_iter().collect()
}

/// Bytes read when everything in a bundle is requested.
fn work(path: &Path) -> u64 {
    let mut bundle = open(path).unwrap();
    for listed in bundle.components().to_vec() {
        drop(bundle.item(&listed, &[]).unwrap());
    }
    bundle.files.read()
}

#[test]
fn what_is_named_a_thousand_times_is_read_once() {
    let (_base, path) = place();
    // Signatures of another subject, in one large index that is listed again and again.
    let subject = Descriptor::of(MANIFEST, b"subject");
    let made: Vec<_> = (0..300)
        .map(|n: u32| artefact::signature_manifest(&subject, "a.wasm.sig", &n.to_le_bytes()).unwrap())
        .collect();
    let listed: Vec<_> = made.iter().map(|(_, listed)| listed.clone()).collect();
    let index = artefact::index(&vec![listed; 30].concat());
    let named = vec![Descriptor::of(INDEX, &index); 1_000];
    tar_of(&layout(&named, made.into_iter().map(|(manifest, _)| manifest).chain([index])), &path);
    assert!(work(&path) <= path.metadata().unwrap().len(), "{}", work(&path));

    // One component under three hundred names.
    let component = Artifact::of(vec![7; 1 << 20]);
    let manifests: Vec<_> =
        (0..300).map(|n| artefact::component_manifest(b"{}", &component, &format!("p{n}.wasm"))).collect();
    let named: Vec<_> = manifests.iter().map(|manifest| Descriptor::of(MANIFEST, manifest)).collect();
    tar_of(
        &layout(&vec![named; 3].concat(), manifests.into_iter().chain([component.bytes().to_vec()])),
        &path,
    );
    assert!(work(&path) <= path.metadata().unwrap().len(), "{}", work(&path));
}

#[test]
fn each_signature_is_read_for_the_component_that_it_is_of_and_no_other() {
    let (_base, path) = place();
    let (mut named, mut blobs) = (Vec::new(), Vec::new());
    for number in 0_u32..200 {
        let component = Artifact::of(number.to_le_bytes().to_vec());
        let manifest = artefact::component_manifest(b"{}", &component, &format!("p{number}.wasm"));
        let subject = Descriptor::of(MANIFEST, &manifest);
        let signature = format!("signature of {number}").into_bytes();
        let (made, listed) = artefact::signature_manifest(&subject, "a.wasm.sig", &signature).unwrap();
        named.extend([subject, listed]);
        blobs.extend([component.bytes().to_vec(), manifest, signature, made]);
    }
    tar_of(&layout(&named, blobs), &path);
    assert!(work(&path) <= path.metadata().unwrap().len());
    let (items, _) = read(&path).unwrap();
    assert_eq!(items.len(), 200);
    for item in items {
        let signatures: Vec<_> = item.signatures.iter().map(|file| file.bytes.as_slice()).collect();
        let number = item.name.strip_prefix('p').unwrap();
        assert_eq!(signatures, [format!("signature of {number}").as_bytes()]);
    }
}

#[test]
fn more_manifests_or_bytes_of_them_than_are_looked_at_refuse_a_bundle() {
    let (_base, path) = place();
    let many: Vec<_> = (0_u32..1_025).map(|number| Descriptor::of(MANIFEST, &number.to_le_bytes())).collect();
    tar_of(&layout(&many, []), &path);
    assert!(matches!(read(&path), Err(BundleError::Large)));
    // Five indices of almost four megabytes each.
    let indices: Vec<Vec<u8>> = (0..5)
        .map(|number| {
            let mut index = artefact::index(&[]);
            index.extend(vec![b' '; (4 << 20) - 200 + number]);
            index
        })
        .collect();
    let named: Vec<_> = indices.iter().map(|index| Descriptor::of(INDEX, index)).collect();
    tar_of(&layout(&named, indices), &path);
    assert!(matches!(read(&path), Err(BundleError::Large)));
}

#[test]
fn an_entry_that_gives_the_next_one_another_name_or_size_refuses_a_tar() {
    let (_base, path) = place();
    let good = layout(&[], []);
    for (kind, text, reads) in [
        (tar::EntryType::XHeader, "20 mtime=1700000000\n".to_owned(), true),
        (tar::EntryType::XHeader, "19 path=index.json\n".to_owned(), false),
        (tar::EntryType::XHeader, "14 size=10000\n".to_owned(), false),
        (tar::EntryType::XHeader, "22 GNU.sparse.major=1\n".to_owned(), false),
        (tar::EntryType::XGlobalHeader, "20 mtime=1700000000\n".to_owned(), false),
        (tar::EntryType::GNULongName, "index.json".to_owned(), false),
        (tar::EntryType::XHeader, format!("70000 a={}\n", "x".repeat(69_990)), false),
    ] {
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        for (name, bytes) in [("extension".to_owned(), text.as_bytes().to_vec())].iter().chain(&good) {
            let kind = if name == "extension" { kind } else { tar::EntryType::Regular };
            let mut header = header(kind, bytes.len() as u64);
            header.set_path(name).unwrap();
            header.set_cksum();
            archive.append(&header, bytes.as_slice()).unwrap();
        }
        drop(archive.into_inner().unwrap());
        assert_eq!(open(&path).is_ok(), reads, "{kind:?} {}", text.get(..20).unwrap_or(&text));
    }
}

#[test]
fn a_tar_of_folders_without_number_is_refused() {
    let (_base, path) = place();
    let mut archive = tar::Builder::new(File::create(&path).unwrap());
    for number in 0..=toolgate_policy::limits::load::BUNDLE_ENTRIES_MAX {
        let mut header = header(tar::EntryType::Directory, 0);
        header.set_path(format!("d{number}/")).unwrap();
        header.set_cksum();
        archive.append(&header, io::empty()).unwrap();
    }
    drop(archive.into_inner().unwrap());
    assert!(matches!(read(&path), Err(BundleError::Large)));
}
