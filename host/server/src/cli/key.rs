//! `toolgate key`: generates keys.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toolgate_signature::key::{PrivateKey, PublicKey};

use super::exit::Exit;
use super::{output, place};

/// Subcommands of `key`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a P-256 key pair: PATH (readable by you alone) and PATH.pub; never overwrites
    Generate {
        /// File for the private key
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    let Command::Generate { out } = command;
    let pair = Pair::generate()?;
    let public = pair.write(out)?;
    output::print(&format!(
        "{} (keep it secret)\n{} (key {})",
        out.display(),
        public.display(),
        pair.public.id()
    ));
    Ok(())
}

/// A new key pair.
pub(super) struct Pair {
    private: PrivateKey,
    pub(super) public: PublicKey,
}

impl Pair {
    pub(super) fn generate() -> Result<Self, Exit> {
        let private = PrivateKey::generate().map_err(|error| Exit::host(&error))?;
        let public = private.public().map_err(|error| Exit::host(&error))?;
        Ok(Self { private, public })
    }

    /// Writes PATH, readable by its owner only, and PATH.pub, and returns the latter. Neither may exist.
    pub(super) fn write(&self, path: &Path) -> Result<PathBuf, Exit> {
        let private_pem = self.private.to_pem().map_err(|error| Exit::host(&error))?;
        let public_pem = self.public.to_pem().map_err(|error| Exit::host(&error))?;
        let beside = PathBuf::from(format!("{}.pub", path.display()));
        if beside.exists() {
            return Err(Exit::usage(format!("{} exists already; nothing was written", beside.display())));
        }
        write(path, 0o600, private_pem.as_bytes())?;
        write(&beside, 0o644, public_pem.as_bytes())?;
        Ok(beside)
    }
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Exit> {
    place::create(path, bytes, mode).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Exit::usage(format!("{} exists already; nothing was written", path.display()))
        }
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::InvalidFilename => Exit::usage(format!("{}: {error}", path.display())),
        _ => Exit::host_failed(format!("{} cannot be written: {error}", path.display())),
    })
}
