//! Last output of a plugin before it crashed: the line that gives the reason, sanitised for the caller. The text is
//! untrusted: secrets are removed, it is escaped and bounded.

use std::sync::Arc;

use toolgate_base::outcome::{FaultKind, Outcome};
use toolgate_net::egress::RuleClient;
use toolgate_policy::limits::call::CRASH_CHARS_MAX;
use toolgate_policy::redact::printable;

use crate::imports::host_calls::Powers;
use crate::imports::output::GuestOutput;

/// Finds the line with the reason: in most languages the last that is neither part of a stack trace nor a hint.
pub(super) fn find(text: &str) -> &str {
    // Go prints the reason first, then the stack of each goroutine.
    let says_first = |line: &&str| line.starts_with("panic: ") || line.starts_with("fatal error: ");
    // Rust ends a panic with a hint for its author. Stack traces are indented.
    let is_word = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    let is_set_in = |line: &&str| line.starts_with([' ', '\t']);
    let words = || text.lines().rev().filter(is_word);
    let last = || words().find(|line| !is_set_in(line)).or_else(|| words().next());
    text.lines().rev().find(says_first).or_else(last).unwrap_or_default()
}

/// Appends the reason to the fault of a crash. `powers`: the plugin's, or `None` if the caller must not see it.
pub(super) fn add(outcome: Outcome, written: &GuestOutput, powers: Option<&Powers>) -> Outcome {
    let (Outcome::Fault(fault), Some(powers)) = (&outcome, powers) else { return outcome };
    let is_crash = matches!(fault.kind(), FaultKind::Trap | FaultKind::Exit);
    // Dropped output is the last part; and the captured part may then end with half a secret.
    if !is_crash || written.dropped_bytes > 0 {
        return outcome;
    }
    let words = clean(&String::from_utf8_lossy(&written.text), &powers.links);
    if words.is_empty() { outcome } else { Outcome::Fault(fault.clone().telling(&words)) }
}

/// Removes secrets from the whole text, since one may span several lines.
fn clean(text: &str, links: &[Arc<RuleClient>]) -> String {
    let text = links.iter().fold(text.to_owned(), |text, link| link.without_secret(text));
    printable(find(&text).trim(), CRASH_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_why_is_found_in_what_each_language_writes() {
        for (text, why) in [
            (
                "\nthread '<unnamed>' panicked at src/lib.rs:8:9:\nno reason\nnote: run with `RUST_BACKTRACE=1`\n",
                "no reason",
            ),
            (
                "thread 'main' panicked at a.rs:1:1:\nassertion `left == right` failed\n  left: 1\n right: 2\n",
                "assertion `left == right` failed",
            ),
            (
                "Traceback (most recent call last):\n  File \"app.py\", line 3, in run\n    raise ValueError(\"boom\")\nValueError: boom\n",
                "ValueError: boom",
            ),
            ("Error: boom\n    at run (app.js:2:11)\n    at <anonymous>\n", "Error: boom"),
            (
                "fatal error: nanotime returning zero\n\ngoroutine 1 [running]:\nruntime.throw(...)\n\tasm_wasm.s:413 +0x1\n",
                "fatal error: nanotime returning zero",
            ),
            (
                "begun\npanic: boom [recovered]\n\ngoroutine 1 [running]:\nmain.main()\n",
                "panic: boom [recovered]",
            ),
            ("  set in only\n\n", "  set in only"),
            ("\n \n", ""),
        ] {
            assert_eq!(find(text), why, "{text}");
        }
    }
}
