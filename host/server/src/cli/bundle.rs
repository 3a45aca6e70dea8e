//! `toolgate bundle`: components with their signatures in one file or folder, for machines without a registry.

mod import;

use std::path::{Path, PathBuf};

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::Source;
use toolgate_net::remote::Fetcher;
use toolgate_net::remote::artefact::ComponentInterfaces;
use toolgate_net::remote::bundle::{self, BundleError, Item};
use toolgate_policy::limits::load::CONFIG_BYTES_MAX;
use toolgate_policy::redact::{self, printable};
use toolgate_runtime::load::source::{Found, Sources, read_regular};
use toolgate_sandbox::inspect;

use super::exit::Exit;
use super::{ConfigArg, component, output, progress, push};
use crate::config::Config;

/// Subcommands of `bundle`.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write components with their signatures into a bundle
    Export(Export),
    /// Verify the components of a bundle and put them into a folder, with their signatures
    Import(import::Args),
}

/// Arguments of `bundle export`.
#[derive(clap::Args)]
pub(super) struct Export {
    /// Plugins of the configuration, or components as files
    #[arg(required = true, value_name = "NAME|FILE")]
    what: Vec<String>,
    /// The bundle to write: a file that ends in .tar, or a new folder
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// The trusted_root.json of keyless signatures, to be carried along
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(command: &Command) -> Result<(), Exit> {
    match command {
        Command::Export(args) => export(args),
        Command::Import(args) => import::run(args),
    }
}

fn export(args: &Export) -> Result<(), Exit> {
    let progress = progress::bars();
    let items = args.what.iter().map(|what| {
        let (name, found) = find(args, what, &progress)?;
        let refused = |error| Exit::refused(format!("{}: not exported: {error}", printable(what, 300)));
        let (inspected, _) = inspect::inspect_any(&found.artifact).map_err(refused)?;
        let Found { artifact, signatures, unread, .. } = found;
        Ok((Item { name, artifact, signatures, unread }, push::interfaces(&inspected)))
    });
    let items = items.collect::<Result<Vec<(Item, ComponentInterfaces)>, Exit>>()?;
    for (at, (item, _)) in items.iter().enumerate() {
        if let Some((other, _)) = items.iter().take(at).find(|(other, _)| other.name == item.name) {
            return Err(Exit::usage(format!(
                "two components have the name `{}`: {} and {}; write them into two bundles",
                printable(&item.name, 100),
                other.artifact.digest(),
                item.artifact.digest()
            )));
        }
    }
    let read = |path| read_regular(path, CONFIG_BYTES_MAX).map_err(|error| Exit::unread(&error));
    let root = args.root.as_deref().map(read).transpose()?;
    bundle::write(&items, root.as_ref().map(Artifact::bytes), &args.out).map_err(|error| match error {
        BundleError::Exists(path) => {
            let path = path.display();
            Exit::usage(format!("{path}: something is there already; remove it, or say another --out"))
        }
        error => Exit::host(&error),
    })?;
    progress.end();
    let line = |(item, _): &(Item, ComponentInterfaces)| {
        let (name, digest) = (printable(&item.name, 100), item.artifact.digest());
        format!("{name}: {digest}, {} signature(s)", item.signatures.len())
    };
    output::print(&items.iter().map(line).collect::<Vec<_>>().join("\n"));
    Ok(())
}

/// Finds a file of this name, else a plugin of the configuration.
fn find(args: &Export, what: &str, progress: &progress::Bars) -> Result<(String, Found), Exit> {
    let path = Path::new(what);
    let (name, source, pin, fetcher, signers) = if path.is_file() {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let path = component::path(path)?;
        (stem, Source::File(path), None, Fetcher::new(Vec::new()), Vec::new())
    } else {
        let config = Config::load(&args.config.config)?;
        let spec = config.spec.plugins.into_iter().find(|spec| spec.name.as_str() == what);
        let spec = spec.ok_or_else(|| {
            let (what, config) = (redact::url(what, 300), args.config.config.display());
            Exit::usage(format!("`{what}` is neither a file nor a plugin of {config}"))
        })?;
        let signers = config.spec.trust.anchors.clone();
        (what.to_owned(), spec.source, spec.digest, Fetcher::new(config.server.name_servers), signers)
    };
    let sources = Sources::new(fetcher.telling(progress.teller()));
    let found = sources.fetch(&source, pin, &signers).map_err(|error| Exit::not_fetched(&error))?;
    Ok((name, found))
}
