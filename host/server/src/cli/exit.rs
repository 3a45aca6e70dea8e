//! Exit codes: 0 done · 1 the thing asked for failed · 2 usage or configuration · 3 refused · 4 the host failed.

use std::process::ExitCode;

use toolgate_base::outcome::with_causes;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::Kind;
use toolgate_runtime::load::source::{FileError, SourceError};
use toolgate_runtime::reconcile::LoadReport;

use super::output;
use crate::config::ConfigError;

/// Failure of a command, with its exit code.
pub(super) struct Exit {
    code: u8,
    text: String,
}

impl Exit {
    /// The command failed, with the reason, if it is not told already.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// The command line, or a file that it names, is wrong.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// Trust, grant or policy refuses.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self { code: 3, text: text.into() }
    }

    /// The host failed with an error.
    pub(super) fn host(error: &dyn std::error::Error) -> Self {
        Self { code: 4, text: format!("failed to {}", with_causes(error)) }
    }

    /// A component was not fetched: nothing was available, or what was available is refused.
    pub(super) fn not_fetched(error: &SourceError) -> Self {
        let code = if error.is_absence() { 4 } else { 3 };
        Self { code, ..Self::host(error) }
    }

    /// A file that the command line names cannot be read.
    pub(super) fn unread(error: &FileError) -> Self {
        Self { code: 2, ..Self::host(error) }
    }

    /// The host failed, with a message.
    pub(super) fn host_failed(text: impl Into<String>) -> Self {
        Self { code: 4, text: text.into() }
    }

    /// The displayed data has changed or cannot be read any more, so nothing was written.
    pub(super) fn meanwhile(self) -> Self {
        Self { code: 3, ..self }
            .with("\nnothing was written, since not everything is known to be as it was shown")
    }

    /// The message.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Adds text to the message.
    pub(super) fn with(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self
    }

    /// Combines two failures. A refusal takes precedence over a failure of the host.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.code = self.code.min(other.code);
        if !self.text.lines().any(|line| line == other.text) {
            self.text.push_str(&format!("\n{}", other.text));
        }
        self
    }

    /// Prints the message now, and ends with another text.
    pub(super) fn tell_and_end_with(self, text: String) -> Self {
        output::complain(&self.text);
        Self { text, ..self }
    }

    /// Some plugins do not load: each of them, with every reason. A refusal takes precedence over a failure.
    pub(super) fn not_loaded(report: &LoadReport) -> Self {
        let code = match report.kind() {
            Some(Kind::Failed) => 4,
            Some(Kind::Refused | Kind::Held) | None => 3,
        };
        let mut lines: Vec<String> =
            report.problem.iter().map(|why| one_line(&format!("refused: {why}"))).collect();
        for (name, why, _) in report.refused() {
            let line = |reason| one_line(&format!("plugin {name}: {}: {reason}", why.kind().word()));
            lines.extend(why.reasons(name).iter().map(line));
        }
        lines.extend(report.folders.iter().map(|problem| one_line(&problem.to_string())));
        Self { code, text: lines.join("\n") }
    }
}

impl From<ConfigError> for Exit {
    fn from(problems: ConfigError) -> Self {
        Self::usage(problems.to_string())
    }
}

/// Escapes a sentence that quotes others into one line, so that no part of it passes for a line of ours.
fn one_line(text: &str) -> String {
    printable(text, usize::MAX)
}

/// Prints the failure of a command, and returns the exit code.
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

/// Prints the error or help text for a command line, and returns the exit code.
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
