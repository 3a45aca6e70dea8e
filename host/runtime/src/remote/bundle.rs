//! Components and their signatures as one OCI image layout, in a folder or a tar, for where no registry is reached. What is
//! read is held to the same rules as what a registry gives, and nothing outside the layout is opened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use toolgate_policy::Digest;
use toolgate_policy::limits::load::{
    ARTEFACT_CONFIG_BYTES_MAX, BUNDLE_BYTES_MAX, BUNDLE_FILES_MAX, COMPONENT_BYTES_MAX, MANIFEST_BYTES_MAX,
    SIGNATURES_MAX,
};

use super::artefact::{self, Descriptor, INDEX, Interfaces, MANIFEST, NotAnArtefact, REF_NAME};
use crate::artifact::{Artifact, TooMuch};
use crate::signature::SignatureFile;

/// One component of a bundle.
pub struct Item {
    /// What it is called there.
    pub name: String,
    /// Its bytes.
    pub artifact: Artifact,
    /// Its signatures.
    pub signatures: Vec<SignatureFile>,
}

/// What a bundle holds.
pub struct Bundle {
    /// Its components.
    pub items: Vec<Item>,
    /// The root by which its keyless signatures were made. It proves nothing: it came with what it would prove.
    pub root: Option<Vec<u8>>,
}

/// Why a bundle is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum NotABundle {
    /// The file system says no.
    #[error("use {0}")]
    Io(PathBuf, #[source] io::Error),
    /// Something in it is too large.
    #[error("read `{0}` of the bundle")]
    TooMuch(String, #[source] TooMuch),
    /// Something in it is no plain file, or lies outside.
    #[error("read `{0}` of the bundle: {1}")]
    Entry(String, &'static str),
    /// It holds more than is looked at.
    #[error("read the bundle: it has more than {BUNDLE_FILES_MAX} files, or {BUNDLE_BYTES_MAX} bytes in all")]
    Large,
    /// It is no layout, or holds what is no component.
    #[error("read the bundle")]
    Artefact(#[from] NotAnArtefact),
    /// It has a layout of another time.
    #[error("read the bundle: it is no OCI image layout of version 1.0.0")]
    Layout,
}

/// The files of a layout, by their paths in it.
type Files = BTreeMap<String, Vec<u8>>;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes a bundle: a tar where the name ends in `.tar`, else a new folder. The same items give the same bytes.
///
/// # Errors
/// [`NotABundle`]; also when something is there already.
pub fn write(items: &[(Item, Interfaces)], root: Option<&[u8]>, to: &Path) -> Result<(), NotABundle> {
    let files = laid_out(items, root);
    let written = if is_tar(to) { write_tar(&files, to) } else { write_folder(&files, to) };
    written.map_err(|error| NotABundle::Io(to.to_owned(), error))
}

/// Reads all of a bundle. Nothing is believed about its components but that each is what its digest says.
///
/// # Errors
/// [`NotABundle`].
pub fn read(from: &Path) -> Result<Bundle, NotABundle> {
    let io = |error| NotABundle::Io(from.to_owned(), error);
    let is_folder = std::fs::metadata(from).map_err(io)?.is_dir();
    let place = match is_folder {
        true => Place::Folder(Dir::open_ambient_dir(from, ambient_authority()).map_err(io)?),
        false => Place::Tar(read_tar(from)?),
    };
    let marker = place.get("oci-layout", ARTEFACT_CONFIG_BYTES_MAX)?;
    if !String::from_utf8_lossy(&marker).contains(r#""1.0.0""#) {
        return Err(NotABundle::Layout);
    }
    let mut listed = artefact::listed(&place.get("index.json", MANIFEST_BYTES_MAX)?)?;
    // Signatures may be listed by themselves, or in the index that stands in for a registry's list.
    for index in listed.clone().iter().filter(|one| one.media_type == INDEX).take(BUNDLE_FILES_MAX) {
        listed.extend(artefact::listed(&place.blob(index, MANIFEST_BYTES_MAX)?)?);
    }
    listed.retain(|one| one.media_type == MANIFEST);
    if listed.len() > BUNDLE_FILES_MAX {
        return Err(NotABundle::Large);
    }
    listed.sort_by_key(|one| one.digest);
    listed.dedup_by_key(|one| one.digest);
    let (mut signatures, mut components, mut root) = (Vec::new(), Vec::new(), None);
    for described in listed {
        let manifest = place.blob(&described, MANIFEST_BYTES_MAX)?;
        if let Some(layer) = artefact::root(&manifest)? {
            root = Some(place.blob(&layer, layer.size)?);
            continue;
        }
        match artefact::has_subject(&manifest)? {
            true => signatures.push((described, manifest)),
            false => components.push((described, manifest)),
        }
    }
    let (mut items, mut total) = (Vec::new(), 0);
    for (described, manifest) in &components {
        let item = place.item(described, manifest, &signatures)?;
        total += item.artifact.bytes().len() as u64;
        if total > BUNDLE_BYTES_MAX {
            return Err(NotABundle::Large);
        }
        items.push(item);
    }
    Ok(Bundle { items, root })
}

enum Place {
    Folder(Dir),
    Tar(Files),
}

impl Place {
    fn item(
        &self,
        described: &Descriptor,
        manifest: &[u8],
        signatures: &[(Descriptor, Vec<u8>)],
    ) -> Result<Item, NotABundle> {
        let layer = artefact::component(manifest)?;
        let bytes = self.blob(&layer, COMPONENT_BYTES_MAX)?;
        let title = layer.title().and_then(|title| title.strip_suffix(".wasm"));
        let name = title.or_else(|| described.note(REF_NAME)).unwrap_or("component").to_owned();
        let mut files = Vec::new();
        for (one, manifest) in signatures {
            let (layer, ending) = match artefact::signature(manifest, one, described.digest) {
                Ok(Some(found)) => found,
                Ok(None) | Err(NotAnArtefact::Subject(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if files.len() == SIGNATURES_MAX {
                return Err(NotAnArtefact::Signatures.into());
            }
            let bytes = self.blob(&layer, layer.size)?;
            files.push(SignatureFile { name: format!("component.{}{ending}", layer.digest.short(8)), bytes });
        }
        Ok(Item { name, artifact: Artifact::of(bytes), signatures: files })
    }

    fn blob(&self, wanted: &Descriptor, bytes_max: u64) -> Result<Vec<u8>, NotABundle> {
        let bytes = self.get(&blob_path(wanted.digest), bytes_max)?;
        Ok(artefact::checked(bytes, wanted)?.bytes().to_vec())
    }

    fn get(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, NotABundle> {
        let missing = || NotABundle::Entry(path.to_owned(), "it is not there");
        match self {
            Self::Tar(files) => files.get(path).cloned().ok_or_else(missing),
            Self::Folder(dir) => {
                let mut options = OpenOptions::new();
                let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
                let file = dir.open_with(path, options.read(true).custom_flags(flags));
                let file = file.map_err(|error| NotABundle::Io(path.into(), error))?;
                let metadata = file.metadata().map_err(|error| NotABundle::Io(path.into(), error))?;
                if !metadata.is_file() {
                    return Err(NotABundle::Entry(path.to_owned(), "it is no plain file"));
                }
                let read = Artifact::read(file, bytes_max);
                Ok(read.map_err(|error| NotABundle::TooMuch(path.to_owned(), error))?.bytes().to_vec())
            }
        }
    }
}

fn laid_out(items: &[(Item, Interfaces)], root: Option<&[u8]>) -> Files {
    let mut files = Files::from([("oci-layout".to_owned(), LAYOUT.to_vec())]);
    let mut listed = Vec::new();
    let mut blob = |bytes: &[u8]| drop(files.insert(blob_path(Digest::of(bytes)), bytes.to_vec()));
    for (item, interfaces) in items {
        let config = artefact::config(item.artifact.digest(), interfaces);
        let manifest = artefact::component_manifest(&config, &item.artifact, &format!("{}.wasm", item.name));
        let subject = Descriptor::of(MANIFEST, &manifest);
        for bytes in [&config, item.artifact.bytes(), &manifest] {
            blob(bytes);
        }
        let mut referring = Vec::new();
        for file in &item.signatures {
            let made = artefact::signature_manifest(&subject, &file.name, &file.bytes);
            let Some((manifest, one)) = made else { continue };
            for bytes in [artefact::NOTHING, &file.bytes, &manifest] {
                blob(bytes);
            }
            referring.push(one);
        }
        listed.push(subject.clone().noting(REF_NAME, &item.name));
        if !referring.is_empty() {
            let index = artefact::index(&referring);
            blob(&index);
            let tag = artefact::fallback_tag(subject.digest);
            listed.push(Descriptor::of(INDEX, &index).noting(REF_NAME, &tag));
        }
    }
    if let Some(root) = root {
        let (manifest, one) = artefact::root_manifest(root);
        for bytes in [artefact::NOTHING, root, &manifest] {
            blob(bytes);
        }
        listed.push(one);
    }
    files.insert("index.json".to_owned(), artefact::index(&listed));
    files
}

fn write_folder(files: &Files, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    std::fs::create_dir_all(to.join("blobs/sha256"))?;
    files.iter().try_for_each(|(path, bytes)| std::fs::write(to.join(path), bytes))
}

fn write_tar(files: &Files, to: &Path) -> io::Result<()> {
    let mut archive = tar::Builder::new(File::create_new(to)?);
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes.as_slice())?;
    }
    archive.into_inner()?.flush()
}

/// The plain files of a tar. Anything else in it but folders refuses all of it.
fn read_tar(from: &Path) -> Result<Files, NotABundle> {
    let io = |error| NotABundle::Io(from.to_owned(), error);
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = std::os::unix::fs::OpenOptionsExt::custom_flags(File::options().read(true), flags).open(from);
    let file = file.map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        return Err(NotABundle::Entry(from.display().to_string(), "it is no plain file"));
    }
    // What names and sparse files could add to the size of the whole is bounded by that of the file that is read.
    let mut archive = tar::Archive::new(file.take(BUNDLE_BYTES_MAX));
    let mut files = Files::new();
    let mut total = 0;
    for entry in archive.entries().map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let shown = || toolgate_policy::redact::printable(&path, 200);
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(NotABundle::Entry(shown(), "it is no plain file"));
        }
        let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(NotABundle::Entry(shown(), "it leads outside the bundle"));
        }
        total += entry.size();
        if total > BUNDLE_BYTES_MAX || files.len() >= BUNDLE_FILES_MAX {
            return Err(NotABundle::Large);
        }
        let bytes = Artifact::read(entry, COMPONENT_BYTES_MAX);
        let bytes = bytes.map_err(|error| NotABundle::TooMuch(shown(), error))?.bytes().to_vec();
        if files.insert(path.clone(), bytes).is_some() {
            return Err(NotABundle::Entry(path, "it stands twice"));
        }
    }
    Ok(files)
}

fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
