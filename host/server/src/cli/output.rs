//! The only place that prints: people's text and JSON to stdout, diagnostics to stderr. A reader that went away is no error.
#![expect(clippy::print_stderr, reason = "this is the door")]

use std::io::Write as _;

use tracing_subscriber::EnvFilter;

/// Prints a text to stdout, with one line end.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // A closed pipe (`toolgate tools | head`) is how people say that they have seen enough.
    drop(stdout.write_all(text.trim_end_matches('\n').as_bytes()));
    drop(stdout.write_all(b"\n"));
}

/// Prints a JSON document to stdout.
pub(super) fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}"));
}

/// Prints a text to stderr.
pub(super) fn complain(text: &str) {
    eprintln!("{}", text.trim_end_matches('\n'));
}

/// Starts the developers' log on stderr.
pub(super) fn log(level: &str) {
    // The protocol's library logs every request at INFO and whole arguments at DEBUG.
    let quiet = format!("{level},rmcp=warn");
    let filter = EnvFilter::try_from_env("TOOLGATE_LOG").unwrap_or_else(|_| EnvFilter::new(quiet));
    // Its colours are not built in, and asking for them has it print a line about that.
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    if subscriber.with_target(false).try_init().is_err() {
        complain("the log was started twice");
    }
}
