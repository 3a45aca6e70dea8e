//! `toolgate push`: uploads a component and its signatures to a registry.

use std::path::PathBuf;

use toolgate_base::spec::{Remote, Source};
use toolgate_net::remote::artefact::ComponentInterfaces;
use toolgate_net::remote::{Fetcher, Parts};
use toolgate_policy::load::fetch::TokenService;
use toolgate_policy::load::reference::{Reference, Version};
use toolgate_runtime::load::source::Sources;
use toolgate_sandbox::inspect::{self, Inspected};

use super::exit::Exit;
use super::{component, output, progress};
use crate::config;

/// Arguments of `push`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component; its signatures lie beside it
    component: PathBuf,
    /// The artefact to write, such as oci://registry.example.com/team/files:1.0
    #[arg(value_name = "REFERENCE")]
    to: String,
    #[command(flatten)]
    terms: Terms,
}

/// Options for access to a registry.
#[derive(clap::Args)]
pub(super) struct Terms {
    /// The registry may lie in a private network
    #[arg(long)]
    private: bool,
    /// Certificate authorities, in PEM, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The service on another host that gives the registry's tokens, and so may be told its credentials
    #[arg(long, value_name = "URL")]
    realm: Option<String>,
    /// The registry's name at that service, if it is not its host
    #[arg(long, value_name = "NAME", requires = "realm")]
    service: Option<String>,
}

impl Terms {
    /// The artefact, with access to its registry by the credentials in docker's configuration.
    pub(super) fn oci(&self, text: &str) -> Result<(Reference, Remote), Exit> {
        let tokens = self.realm.as_deref().map(|realm| TokenService::new(realm, self.service.clone()));
        let tokens = tokens.transpose().map_err(|error| Exit::usage(format!("--realm: {error}")))?;
        let remote = Remote { ca: self.ca.clone(), docker: config::docker(), tokens };
        Ok((config::oci(text, self.private).map_err(Exit::usage)?, remote))
    }
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let (reference, remote) = args.terms.oci(&args.to)?;
    let Version::Tag(_) = reference.version() else {
        return Err(Exit::usage(format!(
            "{reference}: write a tag to push to; the digest is what comes of it"
        )));
    };
    let path = component::path(&args.component)?;
    let progress = progress::bars();
    let fetcher = Fetcher::new(Vec::new()).telling(progress.teller());
    let found = Sources::new(fetcher.clone()).fetch(&Source::File(path), None, &[]);
    let found = found.map_err(|error| Exit::not_fetched(&error))?;
    let inspected = inspect::inspect_any(&found.artifact)
        .map_err(|error| Exit::refused(format!("{}: not pushed: {error}", args.component.display())))?;
    let title = args.component.file_name().map(|name| name.to_string_lossy().into_owned());
    let parts = Parts {
        artifact: &found.artifact,
        title: &title.unwrap_or_default(),
        signatures: &found.signatures,
        interfaces: &interfaces(&inspected.0),
    };
    let pushed = fetcher.push(&reference, &remote, &parts).map_err(|error| Exit::host(&error))?;
    progress.end();
    output::print(&pushed.reference.to_string());
    let (digest, signatures) = (found.artifact.digest(), pushed.signatures);
    output::complain(&format!("pushed {digest} with {signatures} signature(s)"));
    if signatures == 0 {
        output::complain("no signature lies beside it, so nobody will load it; see `toolgate sign`");
    }
    Ok(())
}

/// Exports and imports of a component, as shown to a registry's users.
pub(super) fn interfaces(inspected: &Inspected) -> ComponentInterfaces {
    let mut exports: Vec<String> = inspected.functions.keys().map(ToString::to_string).collect();
    exports.extend(inspected.dynamic.clone());
    ComponentInterfaces { exports, imports: inspected.imports.clone() }
}
