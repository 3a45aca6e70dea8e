//! Command line of `explain`. A plugin's name may equal the first word of a question, so the plugin is parsed first and
//! the rest as a separate question.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches, Parser};

use super::Question;
use crate::cli::ConfigArg;

/// Arguments of `explain`.
pub(in crate::cli) struct Args {
    pub(super) config: ConfigArg,
    pub(super) plugin: String,
    pub(super) unused: bool,
    pub(super) json: bool,
    pub(super) question: Option<Question>,
}

/// The same, with the question unparsed.
#[derive(clap::Args)]
struct Written {
    #[command(flatten)]
    config: ConfigArg,
    /// The plugin, by its name in the configuration
    plugin: String,
    /// Say instead which of its grants no recorded call used, and what recorded calls were refused
    #[arg(long)]
    unused: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Whether the plugin may do this one thing; exit code 0 when it may, 3 when it may not
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    question: Vec<OsString>,
}

/// A question, with the options that are allowed anywhere.
#[derive(Parser)]
#[command(
    name = "toolgate explain PLUGIN",
    bin_name = "toolgate explain PLUGIN",
    no_binary_name = true,
    subcommand_value_name = "QUESTION",
    subcommand_help_heading = "Questions",
    disable_help_subcommand = true
)]
struct ExplainArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    question: Question,
}

impl clap::Args for Args {
    fn augment_args(command: clap::Command) -> clap::Command {
        let words = ExplainArgs::command();
        let lines = words.get_subcommands().map(|word| {
            let about = word.get_about().map(ToString::to_string).unwrap_or_default();
            format!("\n  {:<12} {about}", word.get_name())
        });
        let questions: String = lines.collect();
        Written::augment_args(command).after_help(format!(
            "Questions:{questions}\n\n`toolgate explain PLUGIN QUESTION --help` says what a question takes."
        ))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Written { mut config, plugin, unused, mut json, question } = Written::from_arg_matches(matches)?;
        if question.is_empty() {
            return Ok(Self { config, plugin, unused, json, question: None });
        }
        let asked = ExplainArgs::try_parse_from(question)?;
        json |= asked.json;
        config.config = asked.config.unwrap_or(config.config);
        Ok(Self { config, plugin, unused, json, question: Some(asked.question) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }

    fn read(line: &str) -> Args {
        Alone::try_parse_from(line.split(' '))
            .map(|alone| alone.args)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_plugin_may_be_called_like_a_question() {
        for word in ExplainArgs::command().get_subcommands().map(|word| word.get_name().to_owned()) {
            let args = read(&format!("explain {word}"));
            assert!(args.plugin == word && args.question.is_none(), "{word}");
            let args = read(&format!("explain {word} clock"));
            assert!(args.plugin == word && matches!(args.question, Some(Question::Clock)), "{word}");
        }
    }

    #[test]
    fn options_may_stand_before_and_after_the_question() {
        for line in [
            "explain --json --config c http http a",
            "explain http --config c http --json a",
            "explain http http a --json --config c",
        ] {
            let args = read(line);
            assert!(args.json && args.config.config.as_os_str() == "c" && args.question.is_some(), "{line}");
        }
        assert!(read("explain --unused clock").unused && read("explain clock --unused").unused);
    }
}
