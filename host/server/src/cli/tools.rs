//! `toolgate tools`: the answer to `tools/list`, and the effects of each tool.

use serde_json::{Value, json};
use toolgate_policy::call::Transport;
use toolgate_policy::load::Effective;
use toolgate_policy::redact::{printable, printable_lines};
use toolgate_runtime::snapshot::plugin::Plugin;

use super::exit::Exit;
use super::{PrintArgs, explain, newest, output, serve};
use crate::auth;
use crate::config::Config;

/// Characters shown of one line.
const SHOWN_CHARS_MAX: usize = 2_000;

pub(super) fn run(args: &PrintArgs) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    let gate = serve::open(&config)?;
    let report = newest::load(&config, |spec| gate.start(spec));
    if !report.serves {
        return Err(Exit::not_loaded(&report));
    }
    let serving = gate.now();
    let touches = |plugin: &str| {
        let plugin = serving.plugins().iter().find(|other| other.name().as_str() == plugin);
        plugin.map(|plugin| touched(plugin)).unwrap_or_default()
    };
    let snapshot = gate.now();
    let tools = snapshot.list(&auth::parent(), &snapshot.moment(None, Transport::Cli));
    if args.json {
        let listed = tools.iter().map(|tool| {
            json!({
                "name": tool.listing.name.as_str(),
                "description": tool.listing.description,
                "inputSchema": tool.listing.input,
                "outputSchema": tool.listing.output,
                "plugin": tool.target.plugin().as_str(),
                "digest": tool.target.digest().to_string(),
                "touches": touches(tool.target.plugin().as_str()),
            })
        });
        output::print_json(&json!({ "tools": listed.collect::<Vec<Value>>() }));
    } else {
        let lines = tools.iter().map(|tool| {
            let touches = touches(tool.target.plugin().as_str());
            let touches =
                if touches.is_empty() { "nothing outside the call".to_owned() } else { touches.join("; ") };
            let says = printable_lines(&tool.listing.description, SHOWN_CHARS_MAX).replace('\n', "\n  ");
            format!("{}\n  {says}\n  touches: {}", tool.listing.name, printable(&touches, SHOWN_CHARS_MAX))
        });
        output::print(&lines.collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

fn touched(plugin: &Plugin) -> Vec<String> {
    let Effective { files, http, environment, config, .. } = plugin.clearance().effective();
    let mut touched = Vec::new();
    for mount in files.mounts() {
        let how = explain::verb(mount.access);
        touched.push(format!("{how} {} (as {})", mount.host, mount.guest));
    }
    for rule in http.rules() {
        let secret = rule.secret.as_ref().map(|name| format!(", with secret {name}")).unwrap_or_default();
        let (methods, paths) = (rule.methods.join(" "), rule.paths.join(" "));
        let to = format!("{}://{}:{}", rule.scheme, rule.host, rule.port);
        touched.push(format!("sends {methods} to {to} {paths}{secret}"));
    }
    let names = |what: &str, names: Vec<&str>| {
        (!names.is_empty()).then(|| format!("sees {what} {}", names.join(", ")))
    };
    touched.extend(names("variables", environment.allow().variables().keys().map(String::as_str).collect()));
    touched.extend(names("configuration", config.allow().values().keys().map(String::as_str).collect()));
    touched
}
