//! Writes a bundle atomically, with modes that do not depend on the umask, and never over an existing file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use toolgate_policy::Digest;
use toolgate_policy::limits::load::BUNDLE_FILES_MAX;

use super::super::artefact::{self, ComponentInterfaces, Descriptor, INDEX, MANIFEST, REF_NAME};
use super::{BundleError, Item, blob_path};

type Layout<'a> = BTreeMap<String, Cow<'a, [u8]>>;

const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// Writes a bundle: a tar if the name ends in `.tar`, else a new folder. Equal items give equal bytes. The destination
/// must not exist.
pub fn write(
    items: &[(Item, ComponentInterfaces)],
    root: Option<&[u8]>,
    to: &Path,
) -> Result<(), BundleError> {
    let layout = laid_out(items, root);
    if layout.len() > BUNDLE_FILES_MAX {
        return Err(BundleError::Files(layout.len()));
    }
    let is_tar = to.extension().is_some_and(|extension| extension == "tar");
    let written = if is_tar { write_tar(&layout, to) } else { write_folder(&layout, to) };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory
            if to.symlink_metadata().is_ok() =>
        {
            BundleError::Exists(to.to_owned())
        }
        _ => BundleError::Io(to.to_owned(), error),
    })
}

pub(super) fn laid_out<'a>(items: &'a [(Item, ComponentInterfaces)], root: Option<&'a [u8]>) -> Layout<'a> {
    let mut files = Layout::from([("oci-layout".to_owned(), Cow::Borrowed(MARKER))]);
    let mut listed = Vec::new();
    let mut blob = |bytes: Cow<'a, [u8]>| drop(files.insert(blob_path(Digest::of(&bytes)), bytes));
    for (item, interfaces) in items {
        let config = artefact::config(item.artifact.digest(), interfaces);
        let manifest = artefact::component_manifest(&config, &item.artifact, &format!("{}.wasm", item.name));
        let subject = Descriptor::of(MANIFEST, &manifest);
        for bytes in [config.into(), item.artifact.bytes().into(), manifest.into()] {
            blob(bytes);
        }
        let mut referring = Vec::new();
        for file in &item.signatures {
            let made = artefact::signature_manifest(&subject, &file.name, &file.bytes);
            let Some((manifest, one)) = made else { continue };
            for bytes in [artefact::NOTHING.into(), file.bytes.as_slice().into(), manifest.into()] {
                blob(bytes);
            }
            referring.push(one);
        }
        listed.push(subject.clone().noting(REF_NAME, &item.name));
        if !referring.is_empty() {
            let index = artefact::index(&referring);
            let tag = artefact::fallback_tag(subject.digest);
            listed.push(Descriptor::of(INDEX, &index).noting(REF_NAME, &tag));
            blob(index.into());
        }
    }
    if let Some(root) = root {
        let (manifest, one) = artefact::root_manifest(root);
        for bytes in [artefact::NOTHING.into(), root.into(), manifest.into()] {
            blob(bytes);
        }
        listed.push(one);
    }
    files.insert("index.json".to_owned(), artefact::index(&listed).into());
    files
}

/// Writes to a temporary folder beside `to`, then renames it.
fn write_folder(layout: &Layout<'_>, to: &Path) -> io::Result<()> {
    let fresh = tempfile::Builder::new().prefix(".toolgate-").tempdir_in(parent(to))?;
    for folder in ["", "blobs", "blobs/sha256"] {
        let folder = fresh.path().join(folder);
        if !folder.exists() {
            std::fs::create_dir(&folder)?;
        }
        std::fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE))?;
    }
    for (path, bytes) in layout {
        let path = fresh.path().join(path);
        let mut file = std::fs::File::create_new(&path)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.write_all(bytes)?;
    }
    // An existing name, even a dangling link, is not replaced.
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(fresh.path(), to)?;
    // Renamed, so there is nothing left to remove.
    drop(fresh.keep());
    Ok(())
}

fn write_tar(layout: &Layout<'_>, to: &Path) -> io::Result<()> {
    let fresh = tempfile::Builder::new().prefix(".toolgate-").tempfile_in(parent(to))?;
    fresh.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
    let mut archive = tar::Builder::new(io::BufWriter::new(fresh.as_file()));
    for (path, bytes) in layout {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(FILE_MODE);
        archive.append_data(&mut header, path, &**bytes)?;
    }
    archive.into_inner()?.flush()?;
    fresh.persist_noclobber(to).map(drop).map_err(|error| error.error)
}

fn parent(to: &Path) -> &Path {
    to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
