//! `toolgate bundle import`: verifies a bundle's components and writes them to a folder. Everything is verified before
//! any file gets its name. Existing files stay unless `--replace` is given.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::TempPath;
use toolgate_base::artifact::Artifact;
use toolgate_base::file::OPEN_FLAGS;
use toolgate_base::outcome::with_causes;
use toolgate_base::spec::Source;
use toolgate_net::remote::Fetcher;
use toolgate_net::remote::bundle::{self, BundleError, Item, Listed, PluginBundle};
use toolgate_policy::limits::load::{BUNDLE_BYTES_MAX, COMPONENT_BYTES_MAX, SIGNATURES_MAX};
use toolgate_policy::load::trust::Standing;
use toolgate_policy::redact::{self, printable};
use toolgate_policy::{Digest, PluginName};
use toolgate_runtime::load::now;
use toolgate_runtime::load::source::{Found, Sources, signature_names};
use toolgate_runtime::load::verify::{examine, judge, worth_keeping};
use toolgate_signature::trust::TrustSpec;

use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::place::{self, FILE_MODE};
use crate::cli::verify::{signed_id, signed_ids};
use crate::config::load_trust;

/// Arguments of `bundle import`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The bundle: an OCI image layout, as a folder or a tar
    bundle: PathBuf,
    /// The folder for components and signatures
    #[arg(long, value_name = "FOLDER", default_value = "plugins")]
    into: PathBuf,
    /// The trust policy
    #[arg(long, value_name = "FILE", default_value = "trust.toml")]
    trust: PathBuf,
    /// Put components in place of others of the same name that are there, and remove the signatures of those
    #[arg(long)]
    replace: bool,
    /// With --replace: a plugin, by the id in its signatures, that may take the place of one under another id or name
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Write the root that was carried along to this new file; only a trust policy that names it trusts it
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let trust = load_trust(&args.trust)?;
    let mut bundle = bundle::open(&args.bundle).map_err(|error| not_read(&error))?;
    let named = named(&bundle)?;
    place::folder(&args.into).map_err(|error| failed(&args.into, &error))?;
    let mut ready = Vec::new();
    let mut total = 0;
    for (name, listed) in named {
        let item = bundle.item(&listed, &trust.anchors).map_err(|error| not_read(&error))?;
        total += item.artifact.bytes().len() as u64;
        if total > BUNDLE_BYTES_MAX {
            return Err(not_read(&BundleError::Large));
        }
        ready.push(prepare(args, &trust, &name, item)?);
    }
    let mut lines = Vec::new();
    if let Some((staged, path, line)) = root(args, &mut bundle)? {
        staged.persist_noclobber(&path).map_err(|error| failed(&path, &error.error))?;
        lines.push(line);
    }
    for component in ready {
        lines.extend(component.put()?);
    }
    output::print(&lines.join("\n"));
    Ok(())
}

/// The components by the plugin names they would have.
fn named(bundle: &PluginBundle) -> Result<BTreeMap<PluginName, Listed>, Exit> {
    let mut named: BTreeMap<PluginName, Listed> = BTreeMap::new();
    for listed in bundle.components() {
        let shown = printable(&listed.name, 100);
        let refused = |error| Exit::refused(format!("{shown}: no plugin's name: {error}"));
        let name = listed.name.parse::<PluginName>().map_err(refused)?;
        if let Some(other) = named.insert(name, listed.clone()) {
            return Err(Exit::refused(format!(
                "the bundle has two components of the name `{shown}`: {} and {}; make a bundle of one of them",
                other.digest, listed.digest
            )));
        }
    }
    if named.is_empty() { Err(Exit::refused("there is no component in the bundle")) } else { Ok(named) }
}

/// A verified component, written under temporary names.
struct Component {
    path: PathBuf,
    digest: Digest,
    /// Its signatures, and the component last.
    files: Vec<(TempPath, PathBuf)>,
    /// Signatures of the replaced component.
    stale: Vec<PathBuf>,
    replace: bool,
    notes: Vec<String>,
}

/// Verifies a component, and writes it and its signatures where they differ from the existing files.
fn prepare(args: &Args, trust: &TrustSpec, name: &PluginName, item: Item) -> Result<Component, Exit> {
    let found = Found { unread: item.unread, ..Found::new(item.artifact, item.signatures) };
    let examined = examine(trust, &found);
    let id = signed_id(&examined, name.as_str());
    let verified = judge(trust, &found, examined, &id, None, Standing::New, now()).map_err(|error| {
        Exit::refused(format!("{name}: not trusted as `{}`: {error}", printable(&id, 100)))
    })?;
    let component = format!("{name}.wasm");
    let path = args.into.join(&component);
    let mut signatures = worth_keeping(&verified.examined, &found);
    signatures.truncate(SIGNATURES_MAX);
    let places = toolgate_signature::places(&component, &signatures, &trust.anchors);
    let mut wanted: Vec<(PathBuf, &[u8])> =
        places.into_iter().map(|(name, bytes)| (args.into.join(name), bytes)).collect();
    wanted.push((path.clone(), found.artifact.bytes()));
    let same = |path: &Path, bytes: &[u8]| is_there(path, bytes).map_err(|error| failed(path, &error));
    let is_same_component = same(&path, found.artifact.bytes())? == Existing::Same;
    // Further signatures of the same bytes may stay. Those of other bytes would be worthless.
    let beside = signature_names(&path).map_err(|error| Exit::host(&error))?;
    let stale = beside.into_iter().filter(|other| wanted.iter().all(|(path, _)| path != other));
    let stale: Vec<PathBuf> = if is_same_component { Vec::new() } else { stale.collect() };
    let mut conflicts = stale.clone();
    let mut files = Vec::new();
    for (to, bytes) in wanted {
        match same(&to, bytes)? {
            Existing::Same => continue,
            Existing::Other => conflicts.push(to.clone()),
            Existing::Nothing => {}
        }
        files.push((place::stage(&to, bytes, FILE_MODE).map_err(|error| failed(&to, &error))?, to));
    }
    if !conflicts.is_empty() && !args.replace {
        let there: Vec<String> = conflicts.iter().map(|path| path.display().to_string()).collect();
        return Err(Exit::refused(format!(
            "{name}: other files are there: {}; remove them, or say --replace",
            printable(&there.join(", "), 1_000)
        )));
    }
    if !conflicts.is_empty() && !args.id.contains(&id) {
        let is_signed = signed_ids(&verified.examined).contains(&id);
        hold_identity(trust, name, &path, &id, is_signed)?;
    }
    let (digest, replace) = (found.artifact.digest(), args.replace);
    let mut notes = Vec::new();
    if id != name.as_str() {
        let (shown, quoted) = (printable(&id, 100), redact::quoted(&id));
        notes.push(format!("signed as the plugin `{shown}`: its [[plugin]] needs `id = {quoted}`"));
    }
    notes.extend(verified.set_aside.iter().map(|aside| format!("set aside: {aside}")));
    Ok(Component { path, digest, files, stale, replace, notes })
}

/// The bundle's maker chose the name. So a component signed under ids is replaced only by one signed under one of
/// these, and an unsigned one only by a plugin whose id is the name.
fn hold_identity(
    trust: &TrustSpec,
    name: &PluginName,
    path: &Path,
    id: &str,
    is_signed: bool,
) -> Result<(), Exit> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let there = Sources::new(Fetcher::new(Vec::new()));
    let there = there.fetch(&Source::File(path.to_owned()), None, &trust.anchors);
    let ids = there.map(|found| signed_ids(&examine(trust, &found)));
    let may_replace = match &ids {
        Ok(ids) if ids.is_empty() => id == name.as_str(),
        Ok(ids) => is_signed && ids.contains(id),
        Err(_) => false,
    };
    if may_replace {
        return Ok(());
    }
    let shown = printable(id, 100);
    let comes = match is_signed {
        true => format!("it is signed as the plugin `{shown}`"),
        false => "it is signed under no id".to_owned(),
    };
    let there = match &ids {
        Ok(ids) if ids.is_empty() => format!("`{name}`"),
        Ok(ids) => format!("`{}`", printable(&ids.iter().cloned().collect::<Vec<_>>().join("`, `"), 300)),
        Err(error) => format!("what cannot be read ({})", printable(&error.to_string(), 300)),
    };
    Err(Exit::refused(format!(
        "{name}: {comes} and would take the place of {there} in {}; if that is meant, say --id {shown}",
        path.display()
    )))
}

impl Component {
    /// Renames everything into place: the signatures first, so that the component is never there without them.
    fn put(self) -> Result<Vec<String>, Exit> {
        for path in &self.stale {
            std::fs::remove_file(path).map_err(|error| failed(path, &error))?;
        }
        for (staged, to) in self.files {
            let put = if self.replace { staged.persist(&to) } else { staged.persist_noclobber(&to) };
            put.map_err(|error| failed(&to, &error.error))?;
        }
        let mut lines = vec![format!("{}: {}", self.path.display(), self.digest)];
        lines.extend(self.notes.iter().map(|note| format!("  {note}")));
        Ok(lines)
    }
}

/// The bundle's trusted root, written under a temporary name, with its path and a line about it.
fn root(args: &Args, bundle: &mut PluginBundle) -> Result<Option<(TempPath, PathBuf, String)>, Exit> {
    let Some(path) = args.root.clone() else { return Ok(None) };
    let Some(root) = bundle.root().map_err(|error| not_read(&error))? else { return Ok(None) };
    if path.symlink_metadata().is_ok() {
        return Err(Exit::usage(format!("{}: it is there already", path.display())));
    }
    let staged = place::stage(&path, root.bytes(), FILE_MODE).map_err(|error| failed(&path, &error))?;
    let line = format!("{}: {}, trusted by nobody who does not name it", path.display(), root.digest());
    Ok(Some((staged, path, line)))
}

/// Content of a path.
#[derive(PartialEq, Eq)]
enum Existing {
    Nothing,
    /// A file with these bytes.
    Same,
    /// A file with other bytes, a link, or anything else.
    Other,
}

fn is_there(path: &Path, bytes: &[u8]) -> io::Result<Existing> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Existing::Nothing),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_file() || metadata.len() != bytes.len() as u64 => {
            return Ok(Existing::Other);
        }
        Ok(_) => {}
    }
    let flags = OPEN_FLAGS | OFlags::NOFOLLOW.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let same = Artifact::read(file, COMPONENT_BYTES_MAX).is_ok_and(|there| there.bytes() == bytes);
    Ok(if same { Existing::Same } else { Existing::Other })
}

fn failed(path: &Path, error: &io::Error) -> Exit {
    Exit::usage(format!("{}: {error}", path.display()))
}

/// Usage error if the bundle named on the command line cannot be opened; any other error refuses the bundle.
fn not_read(error: &BundleError) -> Exit {
    let text = format!("failed to {}", printable(&with_causes(error), 1_000));
    match error {
        BundleError::Open(..) => Exit::usage(text),
        _ => Exit::refused(text),
    }
}
