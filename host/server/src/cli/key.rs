//! `toolgate key`: makes keys.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use toolgate_runtime::signature::key::PrivateKey;

use super::exit::Exit;
use super::output;

/// What `key` does.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a P-256 key pair: PATH (readable by you alone) and PATH.pub; never overwrites
    Generate {
        /// Where to write the private key
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    let Command::Generate { out } = command;
    let key = PrivateKey::generate().map_err(|error| Exit::host(&error))?;
    let public = key.public().map_err(|error| Exit::host(&error))?;
    let private_pem = key.to_pem().map_err(|error| Exit::host(&error))?;
    let public_pem = public.to_pem().map_err(|error| Exit::host(&error))?;
    let beside = PathBuf::from(format!("{}.pub", out.display()));
    if beside.exists() {
        return Err(Exit::usage(format!("{} exists already; nothing was written", beside.display())));
    }
    write(out, 0o600, private_pem.as_bytes())?;
    write(&beside, 0o644, public_pem.as_bytes())?;
    output::print(&format!("{} (keep it secret)\n{} (key {})", out.display(), beside.display(), public.id()));
    Ok(())
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Exit> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Exit::usage(format!("{} exists already; nothing was written", path.display()))
        }
        _ => Exit::usage(format!("{}: {error}", path.display())),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| Exit::host(&error))
}
