//! `file:` and `dir:` sources: a regular file, read once, with the signature files that lie beside it. A device, a pipe or a
//! folder is never read from, and never waited for. In a folder of plugins a link is followed where it ends inside that folder.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;
use rustix::io::Errno;
use toolgate_policy::limits::load::{
    ATTACHED_BYTES_MAX, ATTACHED_MAX, COMPONENT_BYTES_MAX, FOLDER_ENTRIES_MAX,
};

use super::Found;
use crate::artifact::{Artifact, TooMuch};
use crate::signature::name::{self, is_signature_of};
use crate::signature::{SignatureFile, Unread};

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum NotFile {
    /// It cannot be opened.
    #[error("open {0}")]
    Open(PathBuf, #[source] io::Error),
    /// It is something else.
    #[error("read {0}: it is not a regular file")]
    NotAFile(PathBuf),
    /// It is too large, or reading it failed.
    #[error("read {0}")]
    Read(PathBuf, #[source] TooMuch),
    /// It is a link that leads out of its folder of plugins, or nowhere.
    #[error("read {0}: it is a link, and does not lead to a file in its own folder")]
    Link(PathBuf),
    /// It is in a folder of plugins and others do not let us read it.
    #[error("read {0}: this user may not read it")]
    Forbidden(PathBuf),
    /// More lies in a folder than is looked at.
    #[error("read the folder {0}: it has more than {FOLDER_ENTRIES_MAX} entries")]
    TooManyEntries(PathBuf),
}

impl NotFile {
    /// Whether there was nothing to be had, rather than something that is not taken.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::Open(..) | Self::Read(_, TooMuch::Io(_)) => true,
            Self::NotAFile(_)
            | Self::Link(_)
            | Self::Forbidden(_)
            | Self::Read(_, TooMuch::Bytes(_))
            | Self::TooManyEntries(_) => false,
        }
    }
}

pub(super) fn fetch(path: &Path) -> Result<Found, NotFile> {
    fetch_with(path, read_regular)
}

/// The same in a folder of plugins. Whoever may put a file there chooses among the files of that folder, and no others.
pub(super) fn fetch_within(folder: &Path, name: &str) -> Result<Found, NotFile> {
    fetch_with(&folder.join(name), |path, bytes_max| read(path, open_within(folder, path)?, bytes_max))
}

fn fetch_with(path: &Path, read: impl Fn(&Path, u64) -> Result<Artifact, NotFile>) -> Result<Found, NotFile> {
    let mut found = Found::new(read(path, COMPONENT_BYTES_MAX)?, Vec::new());
    let mut bytes_left = ATTACHED_BYTES_MAX;
    for (beside, bytes_max) in first_beside(path)? {
        let name = beside.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if found.signatures.len() >= ATTACHED_MAX || bytes_left == 0 {
            found.unread.push(Unread::beyond(&name));
            continue;
        }
        // Whoever put it there must not keep the component from loading by it.
        match read(&beside, bytes_max.min(bytes_left)) {
            Ok(file) => {
                bytes_left -= file.bytes().len() as u64;
                found.signatures.push(SignatureFile { name, bytes: file.bytes().to_vec() });
            }
            Err(NotFile::Read(_, TooMuch::Bytes(bytes))) if bytes < bytes_max => {
                found.unread.push(Unread::beyond(&name));
            }
            Err(NotFile::Read(_, error)) => found.unread.push(Unread::because(&name, &error)),
            Err(NotFile::NotAFile(_)) => {
                found.unread.push(Unread { name, why: "it is not a regular file".to_owned() });
            }
            Err(NotFile::Link(_)) => {
                let why = "it is a link, and does not lead to a file in its own folder".to_owned();
                found.unread.push(Unread { name, why });
            }
            Err(error) => found.unread.push(Unread::because(&name, &error)),
        }
    }
    Ok(found)
}

/// Opens a file of a folder. Where a link leads is found out first and then opened beneath the folder: one that is changed
/// meanwhile leads nowhere else.
fn open_within(folder: &Path, path: &Path) -> Result<File, NotFile> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => NotFile::Forbidden(path.to_owned()),
        io::ErrorKind::NotFound if path.is_symlink() => NotFile::Link(path.to_owned()),
        _ if Errno::from_io_error(&error) == Some(Errno::LOOP) => NotFile::Link(path.to_owned()),
        _ => NotFile::Open(path.to_owned(), error),
    };
    let top = folder.canonicalize().map_err(fail)?;
    let real = path.canonicalize().map_err(fail)?;
    let inside = real.strip_prefix(&top).map_err(|_| NotFile::Link(path.to_owned()))?;
    let dir = Dir::open_ambient_dir(&top, ambient_authority()).map_err(fail)?;
    let mut options = OpenOptions::new();
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = dir.open_with(inside, options.read(true).custom_flags(flags)).map_err(fail)?;
    Ok(file.into_std())
}

/// The signature files beside a component: its name with an ending of a signature's, and, for further signers, with eight
/// hexadecimal digits before that. Sorted.
///
/// # Errors
/// When the folder cannot be read, or more lies in it than is looked at.
pub fn signature_names(component: &Path) -> Result<Vec<PathBuf>, NotFile> {
    Ok(signatures_beside(component)?.into_iter().map(|(path, _)| path).collect())
}

/// Those that are looked at, and one more where there are more: first the names without digits, which nobody else's can be in the way
/// of, then the others, sorted.
fn first_beside(component: &Path) -> Result<Vec<(PathBuf, u64)>, NotFile> {
    let mut all = signatures_beside(component)?;
    all.sort_by_key(|(path, _)| (!name::is_plain(&path.to_string_lossy()), path.clone()));
    all.truncate(ATTACHED_MAX + 1);
    Ok(all)
}

/// The same, each with how many bytes of it are read.
fn signatures_beside(component: &Path) -> Result<Vec<(PathBuf, u64)>, NotFile> {
    let (Some(folder), Some(name)) =
        (component.parent(), component.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let open = |error| NotFile::Open(folder.to_owned(), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(open)? {
        let entry = entry.map_err(open)?;
        let beside = entry.file_name();
        let form = beside.to_str().filter(|other| is_signature_of(name, other)).and_then(name::form);
        if let Some((_, bytes_max)) = form {
            found.push((entry.path(), bytes_max));
        }
    }
    found.sort();
    Ok(found)
}

/// The names of the components that lie directly in a folder, sorted: everything that ends in `.wasm`, whatever it is.
///
/// # Errors
/// When the folder cannot be read, or more lies in it than is looked at.
pub fn folder(folder: &Path) -> Result<Vec<String>, NotFile> {
    let open = |error| NotFile::Open(folder.to_owned(), error);
    let mut names = Vec::new();
    for (count, entry) in std::fs::read_dir(folder).map_err(open)?.enumerate() {
        if count >= FOLDER_ENTRIES_MAX {
            return Err(NotFile::TooManyEntries(folder.to_owned()));
        }
        let name = entry.map_err(open)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".wasm") && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a regular file that a command names, of at most so many bytes.
///
/// # Errors
/// [`NotFile`].
pub fn read_regular(path: &Path, bytes_max: u64) -> Result<Artifact, NotFile> {
    // Without this, opening a pipe would wait for somebody to write to it.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path);
    read(path, file.map_err(|error| NotFile::Open(path.to_owned(), error))?, bytes_max)
}

fn read(path: &Path, file: File, bytes_max: u64) -> Result<Artifact, NotFile> {
    let metadata = file.metadata().map_err(|error| NotFile::Open(path.to_owned(), error))?;
    if !metadata.is_file() {
        return Err(NotFile::NotAFile(path.to_owned()));
    }
    Artifact::read(file, bytes_max).map_err(|error| NotFile::Read(path.to_owned(), error))
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
            let refused = fetch_within(&inside, name).err().unwrap();
            assert!(matches!(refused, NotFile::Link(_)), "{name}: {refused}");
            assert!(!refused.is_absence(), "{name}");
            std::fs::remove_file(inside.join(name)).unwrap();
        }
        assert_eq!(folder(&inside).unwrap(), ["a.wasm", "b.wasm", "map.wasm", "whole.wasm"]);
        for (name, bytes) in [("a.wasm", "a.wasm"), ("map.wasm", "mapped"), ("whole.wasm", "a.wasm")] {
            let found = fetch_within(&inside, name).unwrap();
            assert_eq!(found.artifact.bytes(), bytes.as_bytes(), "{name}");
        }
        symlink(&outside, inside.join("a.wasm.sigstore.json")).unwrap();
        let found = fetch_within(&inside, "a.wasm").unwrap();
        assert!(found.signatures.is_empty(), "its component is read, and no signature comes from elsewhere");
        assert!(told(&found)[0].contains("it is a link"), "{:?}", told(&found));
        symlink("..2026_01", inside.join("folder.wasm")).unwrap();
        assert!(matches!(fetch_within(&inside, "folder.wasm"), Err(NotFile::NotAFile(_))));
    }

    #[test]
    fn a_file_with_one_byte_too_many_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a.wasm");
        File::create(&path).unwrap().set_len(COMPONENT_BYTES_MAX + 1).unwrap();
        assert!(matches!(fetch(&path), Err(NotFile::Read(_, TooMuch::Bytes(_)))));
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
        let found = fetch(&path).unwrap();
        assert_eq!((found.signatures.len(), found.unread.len()), (ATTACHED_MAX, 0));
        File::create(base.path().join("a.wasm.minisig")).unwrap();
        let found = fetch(&path).unwrap();
        assert_eq!(found.signatures.len(), ATTACHED_MAX);
        assert_eq!(found.signatures[0].name, "a.wasm.minisig", "no number of others is in its way");
        let told = told(&found);
        assert!(
            told.len() == 1 && told[0].starts_with("a.wasm.0000003f.sig: it is not looked at"),
            "{told:?}"
        );
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
        let found = fetch(&path).unwrap();
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
            assert_eq!(fetch(&path).unwrap().signatures.len(), 1, "{ending}");
            for length in [bytes_max + 1, 100 << 20] {
                signature.set_len(length).unwrap();
                let found = fetch(&path).unwrap();
                assert!(found.signatures.is_empty(), "{ending}");
                assert_eq!(told(&found), [format!("a.wasm{ending}: it has more than {bytes_max} bytes")]);
            }
        }
    }
}
