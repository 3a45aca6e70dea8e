//! `toolgate explain`: a plugin's capabilities with reasons, the verdict on one use, or the unused parts of its grant.
//! Reports the decisions of the policy and makes none.

mod command;
mod overview;
mod question;
mod rules;
mod unused;

use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use toolgate_base::spec::PluginSpec;
use toolgate_policy::Capability;
use toolgate_policy::capability::files::Access;
use toolgate_policy::load::Effective;
use toolgate_runtime::gate::Gate;
use toolgate_runtime::snapshot::Snapshot;
use toolgate_runtime::snapshot::plugin::Plugin;
use toolgate_runtime::spec::Approvals;

use super::exit::Exit;
use super::{newest, output, serve};
use crate::config::Config;

pub(super) use command::Args;

/// Whether the plugin may do this one thing; exit code 0 when it may, 3 when it may not
#[derive(Subcommand)]
enum Question {
    /// May it read, or write, this file or folder?
    Files {
        /// By the name that the plugin has for it, such as /docs/a.txt
        path: String,
        /// The access
        #[arg(default_value = "read")]
        access: Wanted,
    },
    /// May it send this request?
    Http {
        /// The URL, after the method if it is not GET
        #[arg(num_args = 1..=2, required = true, value_names = ["METHOD", "URL"])]
        request: Vec<String>,
        /// Resolve the host's name too, and say where the request would connect to
        #[arg(long)]
        resolve: bool,
    },
    /// May it connect, or send datagrams, there?
    Sockets {
        /// HOST:PORT
        to: String,
        /// The protocol
        #[arg(default_value = "tcp")]
        by: By,
    },
    /// Does it see this environment variable?
    Environment {
        /// Its name
        name: String,
    },
    /// Does it see this configuration value?
    Config {
        /// Its key
        key: String,
    },
    /// May it keep anything?
    Keyvalue,
    /// May it look at a clock?
    Clock,
    /// May it draw random numbers?
    Random,
}

/// Access to a file.
#[derive(Clone, Copy, ValueEnum)]
enum Wanted {
    /// To look at it
    Read,
    /// To change it
    Write,
}

/// Protocol of a socket.
#[derive(Clone, Copy, ValueEnum)]
enum By {
    /// Connections
    Tcp,
    /// Datagrams
    Udp,
}

impl Question {
    fn capability(&self) -> Capability {
        match self {
            Self::Files { .. } => Capability::Files,
            Self::Http { .. } => Capability::Http,
            Self::Sockets { .. } => Capability::Sockets,
            Self::Environment { .. } => Capability::Environment,
            Self::Config { .. } => Capability::Config,
            Self::Keyvalue => Capability::Keyvalue,
            Self::Clock => Capability::Clock,
            Self::Random => Capability::Random,
        }
    }
}

/// A loaded plugin, with its place in the configuration.
struct Subject<'a> {
    config: &'a Config,
    index: usize,
    spec: &'a PluginSpec,
    plugin: Arc<Plugin>,
    /// The plugin alone, under the access rules.
    snapshot: Snapshot,
    gate: &'a Gate,
}

impl Subject<'_> {
    fn effective(&self) -> &Effective {
        self.plugin.clearance().effective()
    }

    /// Line of one of its keys, for people.
    fn at(&self, key: &str) -> String {
        let key = format!("plugin[{}].{key}", self.index);
        self.config.lines.get(&key).map(|line| format!("line {line}")).unwrap_or(key)
    }

    /// Explains a missing capability, with the remedy.
    fn without(&self, word: Capability) -> String {
        let asked = self.plugin.clearance().asked();
        if asked.covers(word) {
            format!("`{word}` is not granted; to grant it, add to its [plugin.grant]: {}", asked.remedy(word))
        } else {
            format!("it does not ask for `{word}`, so that a grant for it would be refused")
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    if args.unused && args.question.is_some() {
        return Err(Exit::usage("--unused is about all of a plugin's grants; leave out the question"));
    }
    let config = Config::load(&args.config.config)?;
    let (index, spec) = find(&config, &args.plugin)?;
    let gate = serve::open(&config)?;
    // Approval is not required, so that an operator can see the capabilities before approving.
    let (plugin, snapshot) = newest::plugin_with_rules(&gate, &config, spec, Approvals::NotAsked)?;
    let subject = Subject { config: &config, index, spec, plugin, snapshot, gate: &gate };
    if args.unused {
        return unused::run(&subject, args.json);
    }
    match &args.question {
        None => {
            overview::run(&subject, args.json);
            Ok(())
        }
        Some(question) => {
            let answer = question::ask(&subject, question)?;
            if args.json {
                output::print_json(&answer.as_json(&args.plugin, question.capability()));
            } else {
                output::print(&answer.as_text());
            }
            if answer.allowed { Ok(()) } else { Err(Exit::refused("")) }
        }
    }
}

/// The use of a folder that this access allows.
pub(super) fn verb(access: Access) -> &'static str {
    match access {
        Access::Nothing => "does not see",
        Access::Read => "reads",
        Access::ReadWrite => "reads and writes",
    }
}

/// The plugin of this name, and its index among `[[plugin]]`.
pub(super) fn find<'a>(config: &'a Config, name: &str) -> Result<(usize, &'a PluginSpec), Exit> {
    let mut all = config.spec.plugins.iter().enumerate();
    all.find(|(_, spec)| spec.name.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = config.spec.plugins.iter().map(|spec| spec.name.as_str()).collect();
        let name = toolgate_policy::redact::printable(name, 100);
        Exit::usage(format!("there is no [[plugin]] called `{name}`; there are: {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use clap::Subcommand as _;

    use super::*;

    #[test]
    fn every_capability_can_be_asked_about_by_its_word() {
        let command = Question::augment_subcommands(clap::Command::new("explain"));
        let words: Vec<&str> = command.get_subcommands().map(|command| command.get_name()).collect();
        for word in Capability::ALL {
            assert!(words.contains(&word.word()), "{word}");
        }
        assert_eq!(words.len(), Capability::ALL.len());
    }
}
