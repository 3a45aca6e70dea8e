//! `toolgate auth check`.

use std::io::{IsTerminal as _, Read as _};
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use toolgate_auth::authenticator::{Explanation, IssuerCheck};
use toolgate_auth::issuer::IssuerSpec;
use toolgate_auth::keys::KeysError;
use toolgate_policy::limits::auth::CREDENTIAL_BYTES_MAX;
use toolgate_policy::redact::printable;
use zeroize::Zeroizing;

use crate::auth::Auth;
use crate::cli::call::runtime;
use crate::cli::exit::Exit;
use crate::cli::{ConfigArg, output};
use crate::config::{AuthConfig, Config};

/// Arguments of `auth check`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Check this issuer alone, by its id
    #[arg(long, value_name = "ID")]
    issuer: Option<String>,
    /// The address that the credential is supposed to come from; it matters to API keys with `from`
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Finding about one issuer.
struct IssuerFinding {
    id: String,
    /// Usable keys, each as its algorithm and id; `None` if there are none at all.
    keys: Option<Vec<String>>,
    warnings: Vec<String>,
    error: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    let auth = config.auth.clone();
    let auth = auth.ok_or_else(|| Exit::usage("there is no [auth]: callers need no credential"))?;
    let issuers = chosen(&auth, args.issuer.as_deref())?;
    let credential = read_credential()?;
    let live = Auth::new(auth, config.server.name_servers.clone());
    let live = live.map_err(|error| Exit::usage(error.why))?;
    let (findings, explained) = runtime()?.block_on(async {
        let mut findings = Vec::new();
        for issuer in &issuers {
            let found = live.authenticator.check_issuer(issuer.id()).await;
            findings.extend(found.map(|found| IssuerFinding::of(issuer, &found)));
        }
        let explained = match &credential {
            Some(text) => Some(live.authenticator.explain(text, args.from).await),
            None => None,
        };
        (findings, explained)
    });
    if args.json {
        output::print_json(&as_json(&findings, explained.as_ref()));
    } else {
        output::print(&as_text(&findings, explained.as_ref()));
    }
    if let Some(Explanation { result: Err(error), .. }) = &explained
        && error.failure != toolgate_auth::AuthFailure::Unavailable
    {
        return Err(Exit::failed(""));
    }
    if findings.iter().any(|finding| finding.error.is_some()) {
        return Err(Exit::host_failed(""));
    }
    let refused = explained.is_some_and(|explained| explained.result.is_err());
    if refused { Err(Exit::host_failed("")) } else { Ok(()) }
}

/// The issuers to check: all, or the one of this id.
fn chosen(auth: &AuthConfig, id: Option<&str>) -> Result<Vec<IssuerSpec>, Exit> {
    let all = &auth.settings.issuers;
    let Some(id) = id else { return Ok(all.clone()) };
    match all.iter().find(|issuer| issuer.id() == id) {
        Some(issuer) => Ok(vec![issuer.clone()]),
        None => {
            let known: Vec<&str> = all.iter().map(IssuerSpec::id).collect();
            let id = printable(id, 100);
            Err(Exit::usage(format!("there is no [[auth.issuer]] `{id}`; there are: {}", known.join(", "))))
        }
    }
}

/// A credential from stdin, unless stdin is a terminal or empty. It is shown nowhere.
fn read_credential() -> Result<Option<Zeroizing<String>>, Exit> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(None);
    }
    let most = CREDENTIAL_BYTES_MAX.saturating_add(SURROUNDINGS_BYTES_MAX) as u64;
    // The whole capacity at once, so that no part of it stays behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(CREDENTIAL_BYTES_MAX + SURROUNDINGS_BYTES_MAX + 1));
    stdin.lock().take(most + 1).read_to_end(&mut bytes).map_err(|error| Exit::host(&error))?;
    if bytes.len() as u64 > most {
        return Err(Exit::usage(format!(
            "stdin has more than a credential; at most {CREDENTIAL_BYTES_MAX} bytes"
        )));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Exit::usage("stdin has bytes that are not text"))?;
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    Ok((!text.is_empty()).then(|| Zeroizing::new(text.to_owned())))
}

/// Bytes around a credential on stdin: `Bearer`, blanks and line ends.
const SURROUNDINGS_BYTES_MAX: usize = 64;

impl IssuerFinding {
    fn of(issuer: &IssuerSpec, found: &IssuerCheck) -> Self {
        let mut warnings = Vec::new();
        let keys = found.keys.as_ref().map(|keys| {
            let skipped = keys.skipped().len();
            if skipped > 0 {
                warnings.push(format!("{skipped} of its keys cannot be used and are left out"));
            }
            let name =
                |key: &toolgate_auth::jwks::IssuerKey| printable(key.id().unwrap_or("without an id"), 100);
            keys.iter().map(name).collect::<Vec<_>>()
        });
        let without = found.without_key.join(", ");
        let none_fits = found.without_key.len() == issuer.text().algorithms.len();
        let error = match (&keys, &found.error) {
            (None, Some(error)) => Some(with_remedy(issuer, error)),
            (None, None) => Some("it has no keys".to_owned()),
            (Some(_), _) if none_fits => Some(format!(
                "it has no key for any of its `algorithms` ({without}), so that every token is refused; write those that it signs with"
            )),
            (Some(_), error) => {
                warnings.extend(error.as_ref().map(|error| with_remedy(issuer, error)));
                None
            }
        };
        if !without.is_empty() && !none_fits {
            warnings.push(format!(
                "it has no key for {without}; leave it out of `algorithms` unless it will have one"
            ));
        }
        Self { id: issuer.id().to_owned(), keys, warnings, error }
    }
}

/// Words of the refusal of an address that is not public.
const BLOCKED: &str = "no address of the host may be reached";

/// An error with the key of `[[auth.issuer]]` that may help.
fn with_remedy(issuer: &IssuerSpec, error: &KeysError) -> String {
    let text = issuer.text();
    let is_blocked = [BLOCKED, "private = true"].iter().any(|words| error.why.contains(words));
    let remedy = if is_blocked && !text.private {
        "; write private = true into this [[auth.issuer]] if its servers are in your own network"
    } else if error.why.to_lowercase().contains("certificate") {
        "; write ca = \"FILE\" into this [[auth.issuer]] if its certificate is of an authority of your own"
    } else {
        ""
    };
    printable(&format!("{error}{remedy}"), 1_000)
}

fn as_text(findings: &[IssuerFinding], explained: Option<&Explanation>) -> String {
    let mut lines = Vec::new();
    for IssuerFinding { id, keys, warnings, error } in findings {
        lines.push(match (keys, error) {
            (_, Some(error)) => format!("issuer {id}: not ok: {error}"),
            (Some(keys), None) => format!("issuer {id}: ok: {} usable keys: {}", keys.len(), keys.join(", ")),
            (None, None) => format!("issuer {id}: not ok"),
        });
        lines.extend(warnings.iter().map(|warning| format!("  warning: {warning}")));
    }
    if lines.is_empty() && explained.is_none() {
        lines.push("there are no issuers; API keys alone are good. Give one on stdin to check it".to_owned());
    }
    if let Some(Explanation { steps, result }) = explained {
        lines.extend(steps.iter().map(|(step, found)| format!("{}: ok: {found}", step.name())));
        match result {
            Ok(holder) => lines.push(format!("good: {}", holder.principal)),
            Err(error) => {
                lines.push(format!("{}: refused: {}", error.step.name(), error.detail));
                lines.extend(error.remedy.iter().map(|remedy| format!("  {remedy}")));
                let failure = error.failure;
                lines.push(format!("a client is answered {}: {}", failure.status(), failure.public_text()));
            }
        }
    }
    lines.iter().map(|line| printable(line, 2_000)).collect::<Vec<_>>().join("\n")
}

fn as_json(findings: &[IssuerFinding], explained: Option<&Explanation>) -> Value {
    let issuers = findings.iter().map(|finding| {
        json!({
            "id": finding.id,
            "ok": finding.error.is_none(),
            "keys": finding.keys,
            "warnings": finding.warnings,
            "error": finding.error,
        })
    });
    let credential = explained.map(|Explanation { steps, result }| {
        let steps = steps.iter().map(|(step, found)| json!({ "step": step.name(), "found": found }));
        let error = result.as_ref().err();
        json!({
            "good": error.is_none(),
            "steps": steps.collect::<Vec<_>>(),
            "caller": result.as_ref().ok().map(|holder| holder.principal.to_string()),
            "refusedAt": error.map(|error| error.step.name()),
            "reason": error.map(|error| error.reason),
            "detail": error.map(|error| error.detail.as_str()),
            "remedy": error.and_then(|error| error.remedy.as_deref()),
            "status": error.map(|error| error.failure.status()),
        })
    });
    json!({ "issuers": issuers.collect::<Vec<_>>(), "credential": credential })
}
