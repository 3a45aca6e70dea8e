//! Steps of a long command with their durations, so that slow ones are visible.

use std::fmt;
use std::time::{Duration, Instant};

use crate::shell::Outcome;

/// Completed steps.
pub(crate) struct Steps {
    started: Instant,
    without: Vec<String>,
    rows: Vec<(&'static str, Option<Duration>)>,
}

impl Steps {
    /// Starts without steps; those in `without` will be skipped.
    pub(crate) fn new(without: &[&str]) -> Self {
        let without = without.iter().map(|&name| name.to_owned()).collect();
        Self { started: Instant::now(), without, rows: Vec::new() }
    }

    /// Runs a step, unless it is skipped.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<Option<T>> {
        if self.without.iter().any(|left_out| left_out == name) {
            self.rows.push((name, None));
            return Ok(None);
        }
        eprintln!("── {name}");
        let started = Instant::now();
        let done = step();
        self.rows.push((name, Some(started.elapsed())));
        done.map(Some).map_err(|why| format!("{name}: {why}"))
    }

    /// Time since the first step began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, took) in &self.rows {
            match took {
                Some(took) => writeln!(f, "{name:<18}{:>7.1} s", took.as_secs_f64())?,
                None => writeln!(f, "{name:<18} left out")?,
            }
        }
        write!(f, "{:<18}{:>7.1} s", "all", self.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_in_the_table_whether_it_held_failed_or_was_left_out() {
        let mut steps = Steps::new(&["second"]);
        assert_eq!(steps.run("first", || Ok(1)), Ok(Some(1)));
        assert_eq!(steps.run("second", || -> Outcome<()> { unreachable!() }), Ok(None));
        assert_eq!(steps.run("third", || Err::<(), _>("no".to_owned())), Err("third: no".to_owned()));
        let table = steps.to_string();
        let names: Vec<&str> = table.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["first", "second", "third", "all"]);
    }
}
