//! Text from outside for records, logs and terminals: visible, escaped, bounded. Nothing here decides what may be shown
//! to anyone.

use crate::character::{self, Kind};

/// `text` with every character that could move a cursor, hide or reorder others written as `\u{…}`, cut after
/// `chars_max` characters with `… (N more)`.
pub fn printable(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars_max));
    let mut chars = text.chars();
    for c in chars.by_ref().take(chars_max) {
        if is_plain(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    let more = chars.count();
    if more > 0 {
        out.push_str(&format!("… ({more} more)"));
    }
    out
}

/// [`printable`] for text of several lines, as a terminal shows it: line breaks stay.
pub fn printable_lines(text: &str, chars_max: usize) -> String {
    let lines: Vec<String> = text.lines().map(|line| printable(line, chars_max)).collect();
    lines.join("\n")
}

/// A URL or a reference for people: [`printable`], without user name, password and query. It may be malformed, so
/// everything before the last `@` that begins no digest counts as a password.
pub fn url(text: &str, chars_max: usize) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let is_digest = |tail: &str| ["sha256:", "sha384:", "sha512:"].iter().any(|kind| tail.starts_with(kind));
    let mut tails = rest.match_indices('@').filter_map(|(at, _)| rest.get(at + 1..));
    let (hidden, rest) = match tails.rfind(|tail| !is_digest(tail)) {
        Some(tail) => ("…@", tail),
        None => ("", rest),
    };
    let (path, query) = match rest.find(['?', '#']).and_then(|at| rest.split_at_checked(at)) {
        Some((path, _)) => (path, "?…"),
        None => (rest, ""),
    };
    // A password written before the scheme is hidden, too.
    let scheme = if scheme.contains('@') { "…".to_owned() } else { scheme };
    format!("{}{hidden}{}{query}", printable(&scheme, 40), printable(path, chars_max))
}

/// Whether a character shows as itself in any context: no control character, no reordering or hiding one, none without
/// an agreed form ([`character::kind`]).
pub fn is_plain(c: char) -> bool {
    character::kind(c) == Kind::Visible
}

/// Whether a character is not reliably visible, but can change its surroundings.
pub fn is_invisible(c: char) -> bool {
    !matches!(character::kind(c), Kind::Visible | Kind::Control)
}

/// `text` as a TOML basic string (TOML 1.0, "String"): parses to exactly this text, and has no character that controls
/// a terminal.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_plain(c) => out.push(c),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// A TOML inline table of texts, such as `{ TZ = "UTC" }`.
pub fn inline_table<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let is_bare = |key: &str| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let entry = |(key, value): (&String, &String)| {
        let key = if is_bare(key) { key.clone() } else { quoted(key) };
        format!("{key} = {}", quoted(value))
    };
    let entries: Vec<String> = entries.into_iter().map(entry).collect();
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        for hostile in [
            "\u{1b}[2J",
            "\r",
            "\u{9b}31m",
            "\u{202e}",
            "\u{200b}",
            "\u{7f}",
            "\n",
            "\u{e0041}",
            "\u{2066}",
            "\u{1bca0}",
            "\u{2800}",
            "\u{e000}",
            "\u{fdd0}",
        ] {
            let shown = printable(hostile, 100);
            assert!(shown.chars().all(is_plain), "{hostile:?} became {shown:?}");
        }
    }

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        for text in ["Grüße, 世界", "naïve – “quoted”", "مرحبا", "👍"] {
            assert_eq!(printable(text, 100), text);
        }
    }

    #[test]
    fn a_quoted_text_cannot_end_its_string() {
        assert_eq!(quoted("a\"b\\c\n\u{202e}"), r#""a\"b\\c\U0000000A\U0000202E""#);
        let map = std::collections::BTreeMap::from([("a b".to_owned(), "x".to_owned())]);
        assert_eq!(
            (inline_table(&map), inline_table([])),
            (r#"{ "a b" = "x" }"#.to_owned(), "{}".to_owned())
        );
    }

    #[test]
    fn a_url_is_shown_without_its_user_password_and_query() {
        for (text, shown) in [
            ("https://example.com/a.wasm", "https://example.com/a.wasm"),
            ("https://me:hunter2@example.com/a.wasm", "https://…@example.com/a.wasm"),
            ("https://me:hun/ter2@example.com/a.wasm", "https://…@example.com/a.wasm"),
            ("https://me:hun?ter2@example.com/a", "https://…@example.com/a"),
            ("https://me:hun#ter@2@example.com/a", "https://…@example.com/a"),
            ("https://hunter2@[::1]:80/a", "https://…@[::1]:80/a"),
            ("https://example.com/a?token=hunter2", "https://example.com/a?…"),
            ("https://example.com/a#hunter2", "https://example.com/a?…"),
            ("me:hunter2@ghcr.io/a:1@sha256:00", "…@ghcr.io/a:1@sha256:00"),
            ("oci://ghcr.io/a@sha256:00", "oci://ghcr.io/a@sha256:00"),
            ("oci:me:hunter2@ghcr.io/a:1", "…@ghcr.io/a:1"),
            ("me:hunter2@https://example.com/", "…example.com/"),
            ("https://e\u{1b}xample.com", "https://e\\u{1b}xample.com"),
        ] {
            assert_eq!(url(text, 100), shown, "{text}");
            assert!(!url(text, 100).contains("hun"), "{text}");
        }
    }

    #[test]
    fn long_text_is_cut_and_says_by_how_much() {
        assert_eq!(printable("abcdef", 4), "abcd… (2 more)");
    }
}
