//! Errors in a configuration: file, line, key and remedy.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;

use toolgate_policy::redact::printable;

/// One error in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Path of the file.
    pub(crate) file: PathBuf,
    /// Line, from 1; `None` for the file as a whole.
    pub(crate) line: Option<usize>,
    /// Key, such as `plugin[0].grant.http[1].paths[0]`; empty if the error is about none.
    pub(crate) key: String,
    /// Fault and remedy.
    pub(crate) why: String,
}

/// All errors, collected during reading.
#[derive(Debug, Default)]
pub(crate) struct ConfigError(RefCell<Vec<Problem>>);

impl ConfigError {
    /// Adds a problem.
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Adds all problems of another.
    pub(super) fn take_over(&self, other: Self) {
        self.0.borrow_mut().extend(other.0.into_inner());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All of them, by file and line.
    pub(super) fn take(&self) -> Self {
        let mut all = self.0.take();
        all.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        all.dedup();
        Self(RefCell::new(all))
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Problem> {
        self.0.borrow().clone()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and values are quoted from files; none of them can begin a line.
        write!(f, "{}", printable(&self.file.display().to_string(), usize::MAX))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", printable(&self.key, usize::MAX))?;
        }
        write!(f, ": {}", printable(&self.why, usize::MAX))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.borrow().iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}
