//! `toolgate inspect`: the contents of a component, from its bytes. Compiles, runs and trusts nothing.

mod clients;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toolgate_base::spec::{EngineKind, Source};
use toolgate_mapping::shape::ShapeError;
use toolgate_net::remote::Fetcher;
use toolgate_policy::Digest;
use toolgate_policy::load::pin::Approval;
use toolgate_policy::name::Prefix;
use toolgate_policy::redact::{printable, printable_lines};
use toolgate_runtime::load::describe::Described;
use toolgate_runtime::load::source::{Found, Sources};
use toolgate_runtime::load::{describe, inspect, to_date};
use toolgate_runtime::snapshot::tool::ToolListing;
use toolgate_sandbox::inspect::Inspected;

use super::exit::Exit;
use super::{component, output};
use crate::config::read_lock;

/// Arguments of `inspect`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    component: PathBuf,
    /// The lock in which to look whether these bytes are approved
    #[arg(long, value_name = "FILE", default_value = "toolgate.lock")]
    lock: PathBuf,
    /// Say which clients take which tools, and what of the others they refuse (see docs/clients.md)
    #[arg(long)]
    clients: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let path = component::path(&args.component)?;
    let sources = Sources::new(Fetcher::new(Vec::new()));
    let found = sources.fetch(&Source::File(path), None, &[]).map_err(|error| Exit::host(&error))?;
    let name = args.component.display();
    let refused = |error: &dyn std::error::Error| Exit::refused(format!("{name}: refused: {error}"));
    let (inspected, engine) = inspect::inspect_any(&found.artifact).map_err(|error| refused(&error))?;
    let prefix = Prefix::parse("").map_err(|error| refused(&error))?;
    let described = describe::describe(&inspected, &prefix).map_err(|error| refused(&error))?;
    let approvals = approvals(&args.lock, inspected.digest)?;
    let shown = Shown { found, inspected, described, engine, approvals };
    let verdicts = if args.clients { clients::verdicts(&shown.described.listings) } else { Vec::new() };
    if args.json {
        let mut json = as_json(&shown);
        if let Some(document) = json.as_object_mut().filter(|_| args.clients) {
            let verdicts = verdicts.iter().map(clients::Verdict::json).collect();
            document.insert("clients".to_owned(), Value::Array(verdicts));
        }
        output::print_json(&json);
    } else {
        let mut text = as_text(&shown);
        for line in verdicts.iter().flat_map(clients::Verdict::lines) {
            text.push('\n');
            text.push_str(&line);
        }
        output::print(&text);
    }
    Ok(())
}

/// Contents of a component, for either form.
struct Shown {
    found: Found,
    inspected: Inspected,
    described: Described,
    engine: EngineKind,
    approvals: Vec<String>,
}

/// Names under which these bytes are approved, with approver and time.
fn approvals(lock: &Path, digest: Digest) -> Result<Vec<String>, Exit> {
    let lock = read_lock(lock).map_err(|why| Exit::usage(format!("{}: {why}", lock.display())))?;
    let these = lock.file.0.iter().filter(|(_, entry)| entry.pin.digest == digest);
    let lines = these.map(|(name, entry)| {
        let Approval { by, at } = &entry.pin.approval;
        let at = to_date(*at).unwrap_or_else(|| "a time that is not a date".to_owned());
        let revoked = entry.pin.revoked.as_ref().map(|why| format!("; taken back: {}", printable(why, 500)));
        format!("as {name} by {}, {at}{}", printable(by, 200), revoked.unwrap_or_default())
    });
    Ok(lines.collect())
}

fn hidden(inspected: &Inspected) -> impl Iterator<Item = (String, &ShapeError)> {
    inspected.functions.iter().filter_map(|(path, function)| {
        let why = function.as_ref().err()?;
        Some((printable(&path.to_string(), 200), why))
    })
}

/// Claimed signer of each signature file; nothing is verified here.
fn signatures(found: &Found) -> Vec<(String, String)> {
    let read = |file: &toolgate_signature::SignatureFile| match toolgate_signature::read(file) {
        Ok(read) => format!("{} that names {} (not verified here)", read.format(), read.claim()),
        Err(error) => format!("ignored: {}", printable(&error.to_string(), 800)),
    };
    let read = found.signatures.iter().map(|file| (file.name.clone(), read(file)));
    let unread = found.unread.iter().map(|unread| (unread.name.clone(), format!("ignored: {}", unread.why)));
    read.chain(unread).collect()
}

fn as_text(shown: &Shown) -> String {
    let Shown { found, inspected, described, engine, approvals } = shown;
    let mut lines = vec![
        format!("digest     {}", inspected.digest),
        format!("size       {} bytes", found.artifact.bytes().len()),
        format!("surface    {}", described.surface.digest()),
    ];
    if *engine == EngineKind::Async {
        lines.push(r#"engine     needs the asynchronous one: engine = "async""#.to_owned());
    }
    let manifest = &inspected.manifest;
    for (what, text) in [("says it is", &manifest.id), ("version", &manifest.version)] {
        lines.extend(text.iter().map(|text| format!("{what:<10} {}", printable(text, 200))));
    }
    let signatures = signatures(found);
    if signatures.is_empty() {
        lines.push("signatures none beside it".to_owned());
    }
    for (name, what) in signatures {
        lines.push(format!("signature  {}: {what}", printable(&name, 200)));
    }
    lines.extend(approvals.iter().map(|approval| format!("approved   {approval}")));
    for &word in inspected.requested.needs() {
        lines.push(match inspected.requested.toolchain_of(word) {
            None => format!("needs      {word}; to grant it: {}", word.suggestion()),
            Some(toolchain) => format!(
                "needs      {word}, imported by its toolchain ({toolchain}), whether its code uses it or not; to refuse every use: {}; to grant it: {}",
                word.nothing(),
                word.suggestion()
            ),
        });
    }
    for word in inspected.requested.may_use() {
        lines.push(format!("may use    {word}; to grant it: {}", word.suggestion()));
    }
    lines.extend(inspected.imports.iter().map(|import| format!("imports    {}", printable(import, 200))));
    for listing in &described.listings {
        lines.push(format!("tool       {}: {}", listing.name, listing.function));
        for (what, text) in [("title", listing.title.as_ref()), ("says", Some(&listing.description))] {
            let text = text.map(|text| printable_lines(text, 2_000).replace('\n', "\n                  "));
            lines.extend(text.map(|text| format!("           {what:<6} {text}")));
        }
        lines.push(format!("           input  {}", Value::Object(listing.input.clone())));
        if let Some(output) = &listing.output {
            lines.push(format!("           output {}", Value::Object(output.clone())));
        }
    }
    if let Some(interface) = &inspected.dynamic {
        let why = "dynamic tools are not listed: that would run the plugin; see `toolgate tools`";
        lines.push(format!("tools      {}: {why}", printable(interface, 200)));
    }
    lines.extend(described.findings.iter().map(|finding| format!("refused    {finding}")));
    lines.extend(hidden(inspected).map(|(path, why)| format!("no tool    {path}: {why}")));
    lines.join("\n")
}

fn as_json(shown: &Shown) -> Value {
    let Shown { found, inspected, described, engine, approvals } = shown;
    let tool = |listing: &ToolListing| {
        json!({
            "name": listing.name.as_str(),
            "export": listing.path.to_string(),
            "title": listing.title,
            "description": listing.description,
            "inputSchema": listing.input,
            "outputSchema": listing.output,
        })
    };
    json!({
        "digest": inspected.digest.to_string(),
        "bytes": found.artifact.bytes().len(),
        "signatures": signatures(found).into_iter().map(|(file, what)| json!({ "file": file, "is": what })).collect::<Vec<_>>(),
        "approved": approvals,
        "engine": engine.word(),
        "dynamicTools": inspected.dynamic,
        "surface": described.surface.digest().to_string(),
        "id": inspected.manifest.id,
        "version": inspected.manifest.version,
        "findings": described.findings.iter().map(|finding| {
            json!({ "lint": finding.lint.name(), "at": finding.at, "what": finding.what })
        }).collect::<Vec<_>>(),
        "needs": inspected.requested.needs().iter().map(|word| word.word()).collect::<Vec<_>>(),
        "importedByToolchain": inspected.requested.needs().iter().filter_map(|word| {
            Some((word.word().to_owned(), inspected.requested.toolchain_of(*word)?.to_string().into()))
        }).collect::<serde_json::Map<String, Value>>(),
        "mayUse": inspected.requested.may_use().iter().map(|word| word.word()).collect::<Vec<_>>(),
        "imports": inspected.imports,
        "tools": described.listings.iter().map(tool).collect::<Vec<_>>(),
        "noTools": hidden(inspected).map(|(path, why)| json!({ "export": path, "why": why.to_string() })).collect::<Vec<_>>(),
    })
}
