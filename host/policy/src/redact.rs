//! How text from outside appears in a record, in a log or on a terminal: visible, escaped, bounded. Nothing here decides
//! what may be shown to whom.

/// `text` with everything that could move a cursor, hide or reorder what people see written as `\u{…}`, cut after
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

/// Whether a character shows as itself wherever it stands: no control (C0, C1, DEL, ESC), no bidirectional control, no
/// zero-width or tag character, no line or paragraph separator (Unicode 15, UAX #9 and general category Cf).
pub fn is_plain(c: char) -> bool {
    !(c.is_control() || is_invisible(c))
}

/// Whether a character cannot be seen but changes what is seen around it.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` as a TOML basic string (TOML 1.0, "String"): reads back as exactly this text, and shows no character that steers a
/// terminal.
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

/// A table of texts as TOML writes it inline, such as `{ TZ = "UTC" }`.
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
        for hostile in
            ["\u{1b}[2J", "\r", "\u{9b}31m", "\u{202e}", "\u{200b}", "\u{7f}", "\n", "\u{e0041}", "\u{2066}"]
        {
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
    fn long_text_is_cut_and_says_by_how_much() {
        assert_eq!(printable("abcdef", 4), "abcd… (2 more)");
    }
}
