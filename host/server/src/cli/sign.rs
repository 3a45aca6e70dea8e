//! `toolgate sign`: writes a signature beside a component.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use toolgate_policy::limits::load::COMPONENT_BYTES_MAX;
use toolgate_policy::load::signer::Claim;
use toolgate_runtime::artifact::Artifact;
use toolgate_runtime::load::inspect;
use toolgate_runtime::signature::key::PrivateKey;
use toolgate_runtime::signature::sign::{Signed, sign};
use toolgate_runtime::signature::{self, SignatureFile};

use super::exit::Exit;
use super::{component, output};
use crate::config::read_key;

/// What `sign` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    component: PathBuf,
    /// The private key that `toolgate key generate` made
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    component::path(&args.component)?;
    let pem = read_key(&args.key).map_err(|why| Exit::usage(format!("{}: {why}", args.key.display())))?;
    let key = PrivateKey::from_pem(&pem)
        .map_err(|error| Exit::usage(format!("{}: {error}", args.key.display())))?;
    let failed =
        |error: &dyn std::fmt::Display| Exit::usage(format!("{}: {error}", args.component.display()));
    let file = std::fs::File::open(&args.component).map_err(|error| failed(&error))?;
    let artifact = Artifact::read(file, COMPONENT_BYTES_MAX).map_err(|error| failed(&error))?;
    // A signature under something that could never load would only mislead.
    inspect::inspect_any(&artifact)
        .map_err(|error| Exit::refused(format!("{}: not signed: {error}", args.component.display())))?;
    let name = args.component.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let signed = sign(&artifact, &name, &key).map_err(|error| Exit::host(&error))?;
    let out = place(&args.component, &signed)?;
    write(&out, signed.text.as_bytes())
        .map_err(|error| Exit::usage(format!("{}: {error}", out.display())))?;
    output::print(&format!("{} (key {}, {})", out.display(), signed.key, artifact.digest()));
    Ok(())
}

/// `NAME.sigstore.json`, or, where another key's signature is there already, one with this key's first digits in its name.
fn place(component: &Path, signed: &Signed) -> Result<PathBuf, Exit> {
    let plain = PathBuf::from(format!("{}.sigstore.json", component.display()));
    let bytes = match std::fs::read(&plain) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(plain),
        Err(error) => return Err(Exit::usage(format!("{}: {error}", plain.display()))),
    };
    let file = SignatureFile { name: plain.display().to_string(), bytes };
    let ours = signature::read(&file).is_ok_and(|other| other.claim() == Claim::Key(signed.key));
    let digits: String = signed.key.hex().chars().take(8).collect();
    Ok(if ours { plain } else { PathBuf::from(format!("{}.{digits}.sigstore.json", component.display())) })
}

/// Whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = PathBuf::from(format!("{}.{}.new", path.display(), std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&fresh)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        drop(std::fs::remove_file(&fresh));
    }
    written
}
