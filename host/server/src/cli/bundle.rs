//! `toolgate bundle`: components with their signatures in one file or folder, to carry them where no registry is reached.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use toolgate_policy::limits::load::CONFIG_BYTES_MAX;
use toolgate_policy::redact::{self, printable};
use toolgate_policy::{Digest, PluginName};
use toolgate_runtime::artifact::Artifact;
use toolgate_runtime::load::inspect;
use toolgate_runtime::load::source::{Found, Sources, signature_names};
use toolgate_runtime::remote::Away;
use toolgate_runtime::remote::artefact::Interfaces;
use toolgate_runtime::remote::bundle::{self, Bundle, Item};
use toolgate_runtime::signature::{self, SignatureFile};
use toolgate_runtime::spec::Source;

use super::exit::Exit;
use super::{ConfigArg, output, progress, push, sign, verify};
use crate::config::{Config, load_trust};

/// What can be done with a bundle.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write components with their signatures into a bundle
    Export(Export),
    /// Verify the components of a bundle and put them into a folder, with their signatures
    Import(Import),
}

/// What `bundle export` takes.
#[derive(clap::Args)]
pub(super) struct Export {
    /// Plugins of the configuration, or components as files
    #[arg(required = true, value_name = "NAME|FILE")]
    what: Vec<String>,
    /// Where to: a file that ends in .tar, or a new folder
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// The trusted_root.json of keyless signatures, to be carried along
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

/// What `bundle import` takes.
#[derive(clap::Args)]
pub(super) struct Import {
    /// The bundle: an OCI image layout, as a folder or a tar
    bundle: PathBuf,
    /// The folder for components and signatures
    #[arg(long, value_name = "FOLDER", default_value = "plugins")]
    into: PathBuf,
    /// The trust policy
    #[arg(long, value_name = "FILE", default_value = "trust.toml")]
    trust: PathBuf,
    /// Write the root that was carried along to this new file; only a trust policy that names it trusts it
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    match command {
        Command::Export(args) => export(args),
        Command::Import(args) => import(args),
    }
}

fn export(args: &Export) -> Result<(), Exit> {
    let progress = progress::bars();
    let items = args.what.iter().map(|what| {
        let (name, found) = find(args, what, &progress)?;
        let refused = |error| Exit::refused(format!("{what}: not exported: {error}"));
        let (inspected, _) = inspect::inspect_any(&found.artifact).map_err(refused)?;
        let Found { artifact, signatures } = found;
        Ok((Item { name, artifact, signatures }, push::interfaces(&inspected)))
    });
    let items = items.collect::<Result<Vec<(Item, Interfaces)>, Exit>>()?;
    let root = args.root.as_deref().map(read_root).transpose()?;
    bundle::write(&items, root.as_ref().map(Artifact::bytes), &args.out)
        .map_err(|error| Exit::host(&error))?;
    progress.end();
    let line = |(item, _): &(Item, Interfaces)| {
        format!("{}: {}, {} signature(s)", item.name, item.artifact.digest(), item.signatures.len())
    };
    output::print(&items.iter().map(line).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn read_root(path: &Path) -> Result<Artifact, Exit> {
    let failed = |why: String| Exit::usage(format!("{}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    Artifact::read(file, CONFIG_BYTES_MAX).map_err(|error| failed(error.to_string()))
}

/// A file where one is named, else a plugin of the configuration.
fn find(args: &Export, what: &str, progress: &progress::Bars) -> Result<(String, Found), Exit> {
    let path = Path::new(what);
    let (name, source, pin, away) = if path.is_file() {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let path = std::path::absolute(path).map_err(|error| Exit::host(&error))?;
        (stem, Source::File(path), None, Away::new(Vec::new()))
    } else {
        let config = Config::load(&args.config.config)?;
        let spec = config.spec.plugins.into_iter().find(|spec| spec.name.as_str() == what);
        let spec = spec.ok_or_else(|| {
            Exit::usage(format!(
                "`{}` is neither a file nor a plugin of {}",
                redact::url(what, 300),
                args.config.config.display()
            ))
        })?;
        (what.to_owned(), spec.source, spec.digest, Away::new(config.server.name_servers))
    };
    let sources = Sources::new(away.telling(progress.teller()));
    let found = sources.fetch(&source, pin, &[]).map_err(|error| Exit::not_fetched(&error))?;
    Ok((name, found))
}

fn import(args: &Import) -> Result<(), Exit> {
    let trust = load_trust(&args.trust)?;
    let bundle =
        bundle::read(&args.bundle).map_err(|error| Exit::refused(format!("failed to {}", chain(&error))))?;
    let Bundle { items, root } = bundle;
    if items.is_empty() {
        return Err(Exit::refused("there is no component in the bundle"));
    }
    // All of it is verified before any of it is put anywhere.
    let mut verified = Vec::new();
    for item in items {
        let shown = printable(&item.name, 100);
        let name: PluginName = item
            .name
            .parse()
            .map_err(|error| Exit::refused(format!("{shown}: no plugin's name: {error}")))?;
        let found = Found { artifact: item.artifact, signatures: item.signatures };
        let trusted = verify::judge(&trust, &found, name.as_str())
            .map_err(|error| Exit::refused(format!("{shown}: not trusted as `{name}`: {error}")))?;
        verified.push((name, found, trusted.digest()));
    }
    std::fs::create_dir_all(&args.into)
        .map_err(|error| Exit::usage(format!("{}: {error}", args.into.display())))?;
    let mut lines = Vec::new();
    if let (Some(path), Some(root)) = (&args.root, root) {
        let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(&root));
        written.map_err(|error| Exit::usage(format!("{}: {error}", path.display())))?;
        lines.push(format!(
            "{}: {}, trusted by nobody who does not name it",
            path.display(),
            Digest::of(&root)
        ));
    }
    for (name, found, digest) in verified {
        let component = args.into.join(format!("{name}.wasm"));
        place(&component, &found)
            .map_err(|error| Exit::usage(format!("{}: {error}", component.display())))?;
        lines.push(format!("{}: {digest}", component.display()));
    }
    output::print(&lines.join("\n"));
    Ok(())
}

/// In place of what was there; its signatures would be over other bytes.
fn place(component: &Path, found: &Found) -> std::io::Result<()> {
    let beside = |file: &SignatureFile| {
        Some(PathBuf::from(format!("{}{}", component.display(), signature::tail(&file.name)?)))
    };
    let new: BTreeSet<PathBuf> = found.signatures.iter().filter_map(beside).collect();
    for old in signature_names(component).map_err(std::io::Error::other)? {
        if !new.contains(&old) {
            std::fs::remove_file(old)?;
        }
    }
    for file in &found.signatures {
        if let Some(path) = beside(file) {
            sign::write(&path, &file.bytes)?;
        }
    }
    sign::write(component, found.artifact.bytes())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
