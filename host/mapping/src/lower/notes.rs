//! Bookkeeping while arguments are lowered: problems with their places, and memory taken.

use toolgate_policy::limits::wire::{PROBLEMS_COUNTED_MAX, PROBLEMS_MAX};
use toolgate_policy::redact::printable;
use toolgate_policy::suggest::nearest;

use super::Lowering;
use crate::problem::{Problem, escaped};

/// One step of a JSON Pointer.
#[derive(Clone, Copy)]
pub(super) enum Step<'j> {
    Key(&'j str),
    Index(usize),
}

impl<'j> Lowering<'j> {
    /// Notes a problem and returns `None`.
    pub(super) fn wrong<T>(
        &mut self,
        expected: impl FnOnce() -> String,
        got: impl FnOnce() -> String,
    ) -> Option<T> {
        if self.is_large {
            return None;
        }
        if self.problems.len() < PROBLEMS_MAX {
            let problem = Problem { at: self.pointer(), expected: expected(), got: got(), near: None };
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
        None
    }

    /// Whether lowering can stop: it has failed, and enough problems are counted.
    pub(super) fn is_over(&self) -> bool {
        self.is_large || self.problems.len() + self.more >= PROBLEMS_COUNTED_MAX
    }

    /// Takes memory for a value about to be built; `None` if there is not enough.
    pub(super) fn take(&mut self, bytes: usize) -> Option<()> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => self.left = left,
            None => self.is_large = true,
        }
        (!self.is_large).then_some(())
    }

    /// Copies a text, whose memory is counted beside its value.
    pub(super) fn text(&mut self, text: &str) -> Option<String> {
        self.take(text.len())?;
        Some(text.to_owned())
    }

    /// [`Self::wrong`] for an unknown name, with the most similar known one.
    pub(super) fn wrong_name<T>(
        &mut self,
        name: &str,
        known: &[impl AsRef<str>],
        expected: impl FnOnce() -> String,
        got: impl FnOnce() -> String,
    ) -> Option<T> {
        let before = self.problems.len();
        self.wrong::<()>(expected, got);
        if let Some(problem) = self.problems.get_mut(before) {
            problem.near = nearest(name, known.iter().map(AsRef::as_ref)).map(str::to_owned);
        }
        None
    }

    /// JSON Pointer to the current value (RFC 6901 §3).
    pub(super) fn pointer(&self) -> String {
        let step = |step: &Step<'_>| match step {
            Step::Key(key) => format!("/{}", escaped(&printable(key, 100))),
            Step::Index(index) => format!("/{index}"),
        };
        self.at.iter().map(step).collect()
    }

    pub(super) fn under<T>(&mut self, step: Step<'j>, make: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(step);
        let made = make(self);
        self.at.pop();
        made
    }
}
