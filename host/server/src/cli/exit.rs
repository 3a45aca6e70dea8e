//! Exit codes: 0 done · 1 the thing asked for failed · 2 usage or configuration · 3 refused · 4 the host failed.

use std::process::ExitCode;

use toolgate_base::outcome::with_causes;
use toolgate_policy::PluginName;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::source::{FileError, SourceError};
use toolgate_runtime::load::{Kind, LoadError};
use toolgate_runtime::reconcile::LoadReport;

use super::output;
use crate::config::ConfigError;

/// Why a command did not do what it was asked.
pub(super) struct Exit {
    code: u8,
    text: String,
}

impl Exit {
    /// The thing asked for failed.
    pub(super) fn failed() -> Self {
        Self { code: 1, text: String::new() }
    }

    /// The same, with the reason.
    pub(super) fn failed_with(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// The command line, or what it names, is wrong.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// Trust, grant or policy said no.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self { code: 3, text: text.into() }
    }

    /// The host cannot do it.
    pub(super) fn host(error: &dyn std::error::Error) -> Self {
        Self { code: 4, text: format!("failed to {}", with_causes(error)) }
    }

    /// A component was not fetched: nothing was there, or what was there is not taken.
    pub(super) fn not_fetched(error: &SourceError) -> Self {
        let code = if error.is_absence() { 4 } else { 3 };
        Self { code, ..Self::host(error) }
    }

    /// A file that the command line names cannot be read.
    pub(super) fn unread(error: &FileError) -> Self {
        Self { code: 2, ..Self::host(error) }
    }

    /// The host could not do it.
    pub(super) fn host_failed(text: impl Into<String>) -> Self {
        Self { code: 4, text: text.into() }
    }

    /// What was shown is not as it was any more, or cannot be read any more, which is as good a reason to write nothing.
    pub(super) fn meanwhile(self) -> Self {
        Self { code: 3, ..self }
            .with("\nnothing was written, since not everything is known to be as it was shown")
    }

    /// The same, with more to say.
    pub(super) fn with(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self
    }

    /// Both. What is not allowed comes before what does not work.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.code = self.code.min(other.code);
        if !self.text.lines().any(|line| line == other.text) {
            self.text.push_str(&format!("\n{}", other.text));
        }
        self
    }

    /// Says now why, and at the end something else.
    pub(super) fn tell_and_end_with(self, text: String) -> Self {
        output::complain(&self.text);
        Self { text, ..self }
    }

    /// Some plugins do not load. What is not allowed comes before what does not work.
    pub(super) fn not_loaded(report: &LoadReport) -> Self {
        let code = match report.kind() {
            Some(Kind::Failed) => 4,
            Some(Kind::Refused | Kind::Held) | None => 3,
        };
        Self { code, text: describe(report) }
    }
}

impl From<ConfigError> for Exit {
    fn from(problems: ConfigError) -> Self {
        Self::usage(problems.to_string())
    }
}

/// Each plugin that does not load, with every reason.
fn describe(report: &LoadReport) -> String {
    let mut lines: Vec<String> =
        report.problem.iter().map(|why| one_line(&format!("refused: {why}"))).collect();
    lines.extend(report.refused().flat_map(|(name, why, _)| reasons(name, why)));
    lines.extend(report.folders.iter().map(|problem| one_line(&problem.to_string())));
    lines.join("\n")
}

/// A sentence that quotes what others wrote, in one line: none of it passes for a line of ours.
fn one_line(text: &str) -> String {
    printable(text, usize::MAX)
}

/// One line for each reason.
fn reasons(name: &PluginName, why: &LoadError) -> Vec<String> {
    let word = why.kind().word();
    why.reasons(name).iter().map(|reason| one_line(&format!("plugin {name}: {word}: {reason}"))).collect()
}

/// Ends the process with what came of a command.
pub(super) fn code(result: Result<(), Exit>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit { code, text }) => {
            if !text.is_empty() {
                output::complain(&text);
            }
            ExitCode::from(code)
        }
    }
}

/// A command line that cannot be read, or that asked for help.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        output::complain(&text);
        ExitCode::from(2)
    } else {
        output::print(&text);
        ExitCode::SUCCESS
    }
}
