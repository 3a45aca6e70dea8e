//! `toolgate sign`: writes a signature beside a component.

use std::path::{Path, PathBuf};

use toolgate_policy::limits::load::{
    ATTACHED_MAX, COMPONENT_BYTES_MAX, CONFIG_BYTES_MAX, PLUGIN_ID_BYTES_MAX, SIGNATURE_BYTES_MAX,
};
use toolgate_policy::load::signer::Claim;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::source::{FileError, read_regular};
use toolgate_sandbox::inspect;
use toolgate_signature::key::PrivateKey;
use toolgate_signature::sign::{Signed, sign_as};
use toolgate_signature::ssh::NAMESPACE;
use toolgate_signature::{SignatureFile, key_file};

use super::exit::Exit;
use super::{component, output, place};
use crate::config::read_key;

/// Arguments of `sign`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    component: PathBuf,
    /// The private key that `toolgate key generate` made
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The plugin's id, as trust rules match it: the signature counts for no other plugin; by default the id in the
    /// component
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    component::path(&args.component)?;
    let key = private_key(args)?;
    let artifact =
        read_regular(&args.component, COMPONENT_BYTES_MAX).map_err(|error| Exit::unread(&error))?;
    // Signing a component that can never load would only mislead.
    let (inspected, _) = inspect::inspect_any(&artifact)
        .map_err(|error| Exit::refused(format!("{}: not signed: {error}", args.component.display())))?;
    let id = id(args, inspected.manifest.id.as_deref())?;
    let name = args.component.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let signed = sign_as(&artifact, &name, id.as_deref(), &key).map_err(|error| Exit::host(&error))?;
    let out = path_of(&args.component, &signed)?;
    place::write(&out, signed.text.as_bytes())
        .map_err(|error| Exit::usage(format!("{}: {error}", out.display())))?;
    let plugin = id.as_ref().map(|id| format!(", for plugin `{}`", printable(id, 100)));
    let (key, digest) = (signed.key, artifact.digest());
    output::print(&format!("{} (key {key}, {digest}{})", out.display(), plugin.unwrap_or_default()));
    if id.is_none() {
        output::complain(
            "the signature does not say which plugin this is, so it counts for any that trust.toml lets you sign; \
             say --id, or write an id into the component (`toolgate pack`)",
        );
    }
    Ok(())
}

/// Reads the key. A wrong kind of key is reported before wrong file permissions.
fn private_key(args: &Args) -> Result<PrivateKey, Exit> {
    let read =
        read_key(&args.key).and_then(|pem| PrivateKey::from_pem(&pem).map_err(|error| error.to_string()));
    read.map_err(|why| {
        let why = other_kind(args).unwrap_or(why);
        Exit::usage(format!("{}: {why}", args.key.display()))
    })
}

/// Remedy for a key of a kind that `sign` does not take.
fn other_kind(args: &Args) -> Option<String> {
    let file = read_regular(&args.key, CONFIG_BYTES_MAX).ok()?;
    let text = std::str::from_utf8(file.bytes()).ok()?;
    if text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let component = args.component.display();
        return Some(format!(
            "it is a private key of OpenSSH; sign with `ssh-keygen -Y sign -n {NAMESPACE} -f {} {component}`",
            args.key.display()
        ));
    }
    key_file::read(text).ok()?;
    let private = args.key.extension().filter(|ending| *ending == "pub").map(|_| args.key.with_extension(""));
    let private = private.map_or_else(String::new, |path| format!(", `{}`", path.display()));
    Some(format!("it is a public key; sign with the private one that belongs to it{private}"))
}

/// The id to be signed: the given one, which must equal the component's own if it has one.
fn id(args: &Args, own: Option<&str>) -> Result<Option<String>, Exit> {
    let Some(given) = args.id.as_deref() else { return Ok(own.map(str::to_owned)) };
    if let Some(own) = own.filter(|own| *own != given) {
        return Err(Exit::refused(format!(
            "{}: not signed: it says that it is `{}`, so it would never load as `{}`; leave out --id",
            args.component.display(),
            printable(own, 100),
            printable(given, 100)
        )));
    }
    if given.is_empty() || given.len() > PLUGIN_ID_BYTES_MAX {
        return Err(Exit::usage(format!("--id: write 1 to {PLUGIN_ID_BYTES_MAX} bytes")));
    }
    Ok(Some(given.to_owned()))
}

/// `NAME.sigstore.json`. If another file has that name, one with the first digits of this key's id, or a number. Only
/// this key's own signature of a plugin is replaced.
fn path_of(component: &Path, signed: &Signed) -> Result<PathBuf, Exit> {
    let digits: String = signed.key.hex().chars().take(8).collect();
    let numbered = (0..ATTACHED_MAX).map(|number| format!(".{number:08x}"));
    let tails = [String::new(), format!(".{digits}")].into_iter().chain(numbered);
    for path in tails.map(|tail| PathBuf::from(format!("{}{tail}.sigstore.json", component.display()))) {
        let there = match read_regular(&path, SIGNATURE_BYTES_MAX) {
            Ok(there) => there,
            Err(FileError::Open(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(path);
            }
            Err(error @ FileError::Open(..)) => return Err(Exit::unread(&error)),
            Err(_) => continue,
        };
        let file = SignatureFile { name: path.display().to_string(), bytes: there.bytes().to_vec() };
        if toolgate_signature::read(&file).is_ok_and(|other| other.claim() == Claim::Key(signed.key)) {
            return Ok(path);
        }
    }
    Err(Exit::usage(format!("{}: there is no name left for a signature", component.display())))
}
