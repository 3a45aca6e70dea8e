//! `file:` sources: a regular file, read once, with the signature files that lie beside it. A device, a pipe or a folder
//! is never read from, and never waited for.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use toolgate_policy::limits::load::{COMPONENT_BYTES_MAX, SIGNATURES_MAX};

use super::Found;
use crate::artifact::{Artifact, TooMuch};
use crate::signature::SignatureFile;
use crate::signature::name::{self, is_signature_of};

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum NotFetched {
    /// It cannot be opened.
    #[error("open {0}")]
    Open(PathBuf, #[source] io::Error),
    /// It is something else.
    #[error("read {0}: it is not a regular file")]
    NotAFile(PathBuf),
    /// It is too large, or reading it failed.
    #[error("read {0}")]
    Read(PathBuf, #[source] TooMuch),
    /// There are more than are looked at.
    #[error("read the signatures of {0}: there are more than {SIGNATURES_MAX}")]
    TooManySignatures(PathBuf),
}

impl NotFetched {
    /// Whether there was nothing to be had, rather than something that is not taken.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::Open(..) | Self::Read(_, TooMuch::Io(_)) => true,
            Self::NotAFile(_) | Self::Read(_, TooMuch::Bytes(_)) | Self::TooManySignatures(_) => false,
        }
    }
}

pub(super) fn fetch(path: &Path) -> Result<Found, NotFetched> {
    let artifact = read(path, COMPONENT_BYTES_MAX)?;
    let mut signatures = Vec::new();
    for (beside, bytes_max) in signatures_beside(path)? {
        let name = beside.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let bytes = read(&beside, bytes_max)?.bytes().to_vec();
        signatures.push(SignatureFile { name, bytes });
    }
    Ok(Found { artifact, signatures })
}

/// The signature files beside a component: its name with an ending of a signature's, and, for further signers, with eight
/// hexadecimal digits before that. Sorted.
///
/// # Errors
/// When the folder cannot be read, or there are more than [`SIGNATURES_MAX`].
pub fn signature_names(component: &Path) -> Result<Vec<PathBuf>, NotFetched> {
    Ok(signatures_beside(component)?.into_iter().map(|(path, _)| path).collect())
}

/// The same, each with how many bytes of it are read.
fn signatures_beside(component: &Path) -> Result<Vec<(PathBuf, u64)>, NotFetched> {
    let (Some(folder), Some(name)) =
        (component.parent(), component.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let open = |error| NotFetched::Open(folder.to_owned(), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(open)? {
        let entry = entry.map_err(open)?;
        let beside = entry.file_name();
        let form = beside.to_str().filter(|other| is_signature_of(name, other)).and_then(name::form);
        if let Some((_, bytes_max)) = form {
            found.push((entry.path(), bytes_max));
        }
    }
    if found.len() > SIGNATURES_MAX {
        return Err(NotFetched::TooManySignatures(component.to_owned()));
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path, bytes_max: u64) -> Result<Artifact, NotFetched> {
    let open = |error| NotFetched::Open(path.to_owned(), error);
    // Without this, opening a pipe would wait for somebody to write to it.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options().read(true).custom_flags(flags.cast_signed()).open(path).map_err(open)?;
    if !file.metadata().map_err(open)?.is_file() {
        return Err(NotFetched::NotAFile(path.to_owned()));
    }
    Artifact::read(file, bytes_max).map_err(|error| NotFetched::Read(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_pipes_and_folders_are_not_read() {
        let base = tempfile::tempdir().unwrap();
        let pipe = base.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        for path in [Path::new("/dev/zero"), Path::new("/dev/tty"), &pipe, base.path()] {
            assert!(fetch(path).is_err(), "{}", path.display());
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
        let found = fetch(&base.path().join("a.wasm")).unwrap();
        let names: Vec<String> = found.signatures.into_iter().map(|file| file.name).collect();
        assert_eq!(
            names,
            [
                "a.wasm.0123abcd.sigstore.json",
                "a.wasm.89abcdef.sig",
                "a.wasm.minisig",
                "a.wasm.sig",
                "a.wasm.sigstore.json"
            ]
        );
    }

    #[test]
    fn a_file_with_one_byte_too_many_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a.wasm");
        File::create(&path).unwrap().set_len(COMPONENT_BYTES_MAX + 1).unwrap();
        assert!(matches!(fetch(&path), Err(NotFetched::Read(_, TooMuch::Bytes(_)))));
    }

    #[test]
    fn so_many_signatures_are_read_and_one_more_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a.wasm");
        File::create(&path).unwrap();
        for number in 0..SIGNATURES_MAX {
            File::create(base.path().join(format!("a.wasm.{number:08x}.sig"))).unwrap();
        }
        assert_eq!(fetch(&path).unwrap().signatures.len(), SIGNATURES_MAX);
        File::create(base.path().join("a.wasm.minisig")).unwrap();
        assert!(matches!(fetch(&path), Err(NotFetched::TooManySignatures(_))));
    }

    #[test]
    fn a_signature_with_one_byte_too_many_is_refused() {
        for (ending, _, bytes_max) in name::ENDINGS {
            let base = tempfile::tempdir().unwrap();
            let path = base.path().join("a.wasm");
            File::create(&path).unwrap();
            let signature = File::create(base.path().join(format!("a.wasm{ending}"))).unwrap();
            signature.set_len(bytes_max).unwrap();
            assert!(fetch(&path).is_ok(), "{ending}");
            signature.set_len(bytes_max + 1).unwrap();
            assert!(matches!(fetch(&path), Err(NotFetched::Read(_, TooMuch::Bytes(_)))), "{ending}");
            signature.set_len(100 << 20).unwrap();
            assert!(matches!(fetch(&path), Err(NotFetched::Read(_, TooMuch::Bytes(_)))), "{ending}");
        }
    }
}
