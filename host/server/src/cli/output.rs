//! The only place that prints: text and JSON for people to stdout, diagnostics to stderr. Whatever the origin of a
//! text, no character of it controls a terminal or hides anything. A closed pipe is no error.
#![expect(clippy::disallowed_methods, reason = "all that is printed passes through here")]

use std::io::{IsTerminal as _, Write};

use toolgate_policy::redact::{is_plain, printable_lines};
use tracing_subscriber::EnvFilter;

/// Prints a text to stdout, with one line end.
pub(super) fn print(text: &str) {
    write(std::io::stdout().lock(), &visible(text));
}

/// Prints a JSON document to stdout. Characters that control a terminal are written as JSON escapes, so the document is
/// equivalent.
pub(super) fn print_json(value: &serde_json::Value) {
    write(std::io::stdout().lock(), &escaped(&format!("{value:#}")));
}

/// Whether stderr is a terminal.
pub(super) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Prints a text to stderr.
pub(super) fn complain(text: &str) {
    write(std::io::stderr().lock(), &visible(text));
}

fn write(mut to: impl Write, text: &str) {
    // A closed pipe (`toolgate tools | head`) means that the reader has seen enough.
    drop(to.write_all(format!("{text}\n").as_bytes()).and_then(|()| to.flush()));
}

/// A text whose unprintable characters are escaped, line breaks excepted.
fn visible(text: &str) -> String {
    printable_lines(text.trim_end_matches('\n'), usize::MAX)
}

/// A JSON document of printable characters. Others occur only in its strings, where `\u` means the same.
fn escaped(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || is_plain(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

/// Starts the developers' log on stderr.
pub(super) fn log(level: &str) {
    // The protocol library logs every request at INFO and whole arguments at DEBUG: only on explicit request.
    let quiet = |level: &str| format!("{level},rmcp=warn");
    let wanted = std::env::var("TOOLGATE_LOG").unwrap_or_else(|_| level.to_owned());
    let wanted = if wanted.contains("rmcp") { wanted } else { quiet(&wanted) };
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new(quiet(level)));
    // Without colours: the program writes no escape sequences.
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Log).with_ansi(false);
    if subscriber.with_target(false).try_init().is_err() {
        complain("the log was started twice");
    }
}

/// Prints panics through this module, because they may quote text from outside.
pub(super) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let trace = std::backtrace::Backtrace::capture();
        let trace = match trace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        complain(&format!("thread '{}' {panic}{trace}", thread.name().unwrap_or("unnamed")));
    }));
}

/// Writer of the log. Each event is written at once.
struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        complain(&one_event(&String::from_utf8_lossy(event)));
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An event with its further lines indented, so that none of them looks like another event.
fn one_event(event: &str) -> String {
    let lines = event.trim_end_matches('\n').split('\n').enumerate().map(|(number, line)| {
        if number == 0 || line.starts_with("    ") { line.to_owned() } else { format!("    {line}") }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}1m\u{202e}\u{200b}\u{7f}\u{e0041}\u{feff}b";

    #[test]
    fn json_is_the_same_document_and_shows_only_plain_characters() {
        let document = serde_json::json!({ HOSTILE: [HOSTILE, "Grüße", "line\nbreak", "\u{1f44d}"] });
        let text = escaped(&format!("{document:#}"));
        assert!(text.chars().all(|c| c == '\n' || is_plain(c)), "{text:?}");
        assert!(text.contains("Grüße") && text.contains("\u{1f44d}"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), document);
    }

    #[test]
    fn text_keeps_its_lines_and_escapes_the_rest() {
        assert_eq!(visible("one\ntwo\u{9b}\n"), "one\ntwo\\u{9b}");
        // Escaped text is not escaped again.
        assert_eq!(visible(&visible(HOSTILE)), visible(HOSTILE));
    }

    #[test]
    fn a_log_line_that_holds_a_line_break_does_not_look_like_two() {
        assert_eq!(one_event("WARN a\nERROR b\n    | c\n"), "WARN a\n    ERROR b\n    | c");
    }
}
