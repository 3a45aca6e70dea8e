//! `toolgate verify`: who signed a component, and whether that is enough.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toolgate_base::spec::Source;
use toolgate_net::remote::Fetcher;
use toolgate_policy::load::trust::Standing;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::now;
use toolgate_runtime::load::source::{Found, Sources};
use toolgate_runtime::load::verify::{self, By, Examined, Verified, examine};
use toolgate_signature::trust::TrustSpec;

use super::exit::Exit;
use super::push::Terms;
use super::{component, output, progress};
use crate::config::load_trust;

/// Arguments of `verify`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component, as a file or as oci://registry.example.com/team/files:1.0
    component: String,
    /// The trust policy
    #[arg(long, value_name = "FILE", default_value = "trust.toml")]
    trust: PathBuf,
    /// As which plugin, by id; by default the one that its signatures are for, or else the file's name without
    /// its ending
    #[arg(long, value_name = "ID")]
    plugin: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let trust = load_trust(&args.trust)?;
    let (source, stem) = source(args)?;
    let progress = progress::bars();
    let sources = Sources::new(Fetcher::new(Vec::new()).telling(progress.teller()));
    let found = sources.fetch(&source, None, &trust.anchors).map_err(|error| Exit::not_fetched(&error))?;
    progress.end();
    let examined = examine(&trust, &found);
    let id = args.plugin.clone().unwrap_or_else(|| signed_id(&examined, &stem));
    let signatures = signatures(&trust, &found, &examined);
    let verdict = verify::judge(&trust, &found, examined, &id, None, Standing::New, now());
    let Verified { trusted, .. } = verdict.map_err(|error| {
        if !signatures.is_empty() {
            output::print(&signatures.join("\n"));
        }
        Exit::refused(format!("{}: not trusted as `{id}`: {error}", args.component))
    })?;
    let mut lines = vec![format!("{}: trusted as `{}`", trusted.digest(), trusted.plugin())];
    lines
        .extend(trusted.roles().iter().map(|met| format!("  role {}: {}", met.role, met.signers.join(", "))));
    lines.extend(signatures);
    output::print(&lines.join("\n"));
    Ok(())
}

/// Formats a line for each signature file: its name, its format, and its signer or the reason why it is invalid.
fn signatures(trust: &TrustSpec, found: &Found, examined: &[Examined]) -> Vec<String> {
    let line = |file: &str, rest: String| format!("  {}: {rest}", printable(file, 200));
    let lines = examined.iter().map(|one| match &one.by {
        By::Signer(signature) => {
            let mut signers = trust.policy.parts().signers.iter();
            let signer = signers.find(|signer| signer.key == signature.key());
            let id = signer.map_or("?", |signer| signer.id.as_str());
            let plugin =
                signature.plugin().map(|plugin| format!(", for plugin `{}`", printable(plugin, 100)));
            line(&one.file, format!("{} by signer `{id}`, genuine{}", one.format, plugin.unwrap_or_default()))
        }
        By::Stranger(claim) => {
            line(&one.file, format!("{} by {claim}, which is not a [[signer]]; not looked at", one.format))
        }
        By::Nobody(why) => line(&one.file, format!("ignored: {}", printable(&why.to_string(), 800))),
    });
    let unread = found
        .unread
        .iter()
        .map(|unread| format!("  {}: ignored: {}", printable(&unread.name, 200), unread.why));
    lines.chain(unread).collect()
}

/// Where the component is, and what it is called there.
fn source(args: &Args) -> Result<(Source, String), Exit> {
    if args.component.starts_with("oci://") {
        let (reference, remote) = args.terms.oci(&args.component)?;
        let name = reference.repository().rsplit('/').next().unwrap_or_default().to_owned();
        return Ok((Source::Oci { reference, remote }, name));
    }
    let path = component::path(Path::new(&args.component))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((Source::File(path), stem))
}

/// The id that the genuine signatures of it are for, if it is one; or else `name`.
pub(super) fn signed_id(examined: &[Examined], name: &str) -> String {
    let mut ids = signed_ids(examined).into_iter();
    match (ids.next(), ids.next()) {
        (Some(id), None) => id,
        _ => name.to_owned(),
    }
}

/// The ids that the genuine signatures of it are for.
pub(super) fn signed_ids(examined: &[Examined]) -> BTreeSet<String> {
    let signed = examined.iter().filter_map(|one| match &one.by {
        By::Signer(signature) => signature.plugin().map(str::to_owned),
        By::Stranger(_) | By::Nobody(_) => None,
    });
    signed.collect()
}
