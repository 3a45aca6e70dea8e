//! Lints for tool names and texts that a model reads. A text that hides something from the person who approves a
//! plugin, or that a person cannot be expected to read, refuses the plugin. The operator can allow a lint by name.

mod markup;

use std::collections::BTreeSet;
use std::fmt;

use crate::character::{self, Kind};
use crate::limits::load::{BLANK_COLUMNS_MAX, LINE_BREAKS_MAX};
use crate::name::ToolName;

/// A rule for texts and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lint {
    /// C0, C1 and DEL, other than line breaks and tabs.
    ControlCharacter,
    /// ESC, which begins an escape sequence (ECMA-48).
    AnsiEscape,
    /// Characters that reorder what is shown (UAX #9).
    BidiCharacter,
    /// Invisible characters, other than joiners and selectors that an emoji or a script needs.
    ZeroWidthCharacter,
    /// The tag block, which spells ASCII invisibly (U+E0000…U+E0FFF).
    TagCharacter,
    /// Unassigned code points, whose display is unknown.
    UnassignedCharacter,
    /// Private-use code points, whose characters two parties agree on.
    PrivateUseCharacter,
    /// `<!-- … -->`, which renderers hide and models read.
    HtmlComment,
    /// Other markup of HTML and Markdown that hides something.
    HiddenMarkup,
    /// More than [`LINE_BREAKS_MAX`] or [`BLANK_COLUMNS_MAX`] in a row, which push what follows out of sight.
    BlankRun,
    /// More than [`DESCRIPTION_BYTES_MAX`].
    LongDescription,
    /// A name that reads like another plugin's.
    SimilarName,
}

/// A violation of a lint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Lint that is violated.
    pub lint: Lint,
    /// Text and tool in which it was found.
    pub at: String,
    /// Description of the violation.
    pub what: String,
}

/// Lints that an operator allows for a plugin.
pub type Allowed = BTreeSet<Lint>;

/// Bytes of one text. A longer one is not read before it is approved.
pub const DESCRIPTION_BYTES_MAX: usize = 1_024;

impl Lint {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ControlCharacter,
        Self::AnsiEscape,
        Self::BidiCharacter,
        Self::ZeroWidthCharacter,
        Self::TagCharacter,
        Self::UnassignedCharacter,
        Self::PrivateUseCharacter,
        Self::HtmlComment,
        Self::HiddenMarkup,
        Self::BlankRun,
        Self::LongDescription,
        Self::SimilarName,
    ];

    /// Its name in `allow_lints`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ControlCharacter => "control-character",
            Self::AnsiEscape => "ansi-escape",
            Self::BidiCharacter => "bidi-character",
            Self::ZeroWidthCharacter => "zero-width-character",
            Self::TagCharacter => "tag-character",
            Self::UnassignedCharacter => "unassigned-character",
            Self::PrivateUseCharacter => "private-use-character",
            Self::HtmlComment => "html-comment",
            Self::HiddenMarkup => "hidden-markup",
            Self::BlankRun => "blank-run",
            Self::LongDescription => "long-description",
            Self::SimilarName => "similar-name",
        }
    }

    /// The lint of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lint| lint.name() == name)
    }

    /// The lint that a character of this kind violates.
    fn of(c: char, kind: Kind) -> Option<Self> {
        match (kind, c) {
            (Kind::Visible, _) | (Kind::Control, '\n' | '\t') => None,
            (Kind::Control, '\u{1b}' | '\u{9b}') => Some(Self::AnsiEscape),
            (Kind::Control, _) => Some(Self::ControlCharacter),
            (Kind::Bidi, _) => Some(Self::BidiCharacter),
            (Kind::Tag, _) => Some(Self::TagCharacter),
            (Kind::Invisible, _) => Some(Self::ZeroWidthCharacter),
            (Kind::Unassigned, _) => Some(Self::UnassignedCharacter),
            (Kind::PrivateUse, _) => Some(Self::PrivateUseCharacter),
        }
    }
}

/// Checks a text against the lints of texts. One finding for each lint, at its first place.
pub fn text(at: &str, text: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut note = |lint: Lint, what: String| {
        if !findings.iter().any(|finding| finding.lint == lint) {
            findings.push(Finding { lint, at: at.to_owned(), what });
        }
    };
    for (index, c, kind) in character::hidden(text) {
        if let Some(lint) = Lint::of(c, kind) {
            note(lint, format!("U+{:04X} at byte {index}", u32::from(c)));
        }
    }
    if let Some(index) = text.find("<!--") {
        note(Lint::HtmlComment, format!("a comment at byte {index}"));
    }
    if let Some((index, what)) = markup::hiding(text) {
        note(Lint::HiddenMarkup, format!("{what}, at byte {index}"));
    }
    if let Some(index) = blank_run(text) {
        let limits = format!("{LINE_BREAKS_MAX} line breaks or {BLANK_COLUMNS_MAX} columns");
        note(Lint::BlankRun, format!("more than {limits} of nothing before byte {index}"));
    }
    if text.len() > DESCRIPTION_BYTES_MAX {
        note(Lint::LongDescription, format!("{} bytes, of {DESCRIPTION_BYTES_MAX}", text.len()));
    }
    findings
}

/// End of the first run of blanks above the limit, as a byte index.
fn blank_run(text: &str) -> Option<usize> {
    const TAB_COLUMNS: usize = 8;
    let (mut breaks, mut columns) = (0, 0);
    for (index, c) in text.char_indices() {
        match c {
            '\n' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                (breaks, columns) = (breaks + 1, 0)
            }
            '\t' => columns += TAB_COLUMNS,
            c if c.is_whitespace() || character::kind(c) == Kind::Invisible => columns += 1,
            _ => (breaks, columns) = (0, 0),
        }
        if breaks > LINE_BREAKS_MAX || columns > BLANK_COLUMNS_MAX {
            return Some(index);
        }
    }
    None
}

/// Whether the prefixes of two plugins are one edit apart. Prefixes under four characters never count.
pub fn similar_prefixes(a: &str, b: &str) -> bool {
    const PREFIX_CHARS_MIN: usize = 4;
    a.len() >= PREFIX_CHARS_MIN && b.len() >= PREFIX_CHARS_MIN && a != b && is_one_edit(a, b)
}

/// A name with look-alike characters replaced by one of them (the idea of UTS #39 §4, for the few characters of names).
/// Names with the same skeleton look alike.
pub fn skeleton(name: &ToolName) -> String {
    name.as_str()
        .to_ascii_lowercase()
        .replace("rn", "m")
        .replace("vv", "w")
        .replace("cl", "d")
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            '-' => '_',
            c => c,
        })
        .collect()
}

/// Whether inserting, deleting or changing one character, or swapping two neighbours, turns `a` into `b`.
fn is_one_edit(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let rest = |bytes: &'_ [u8], skip: usize| bytes.get(same + skip..).map(<[u8]>::to_vec);
    match long.len() - short.len() {
        0 => {
            let changed = rest(short, 1) == rest(long, 1);
            let swapped = short.get(same) == long.get(same + 1) && short.get(same + 1) == long.get(same);
            changed || (swapped && rest(short, 2) == rest(long, 2))
        }
        1 => rest(short, 0) == rest(long, 1),
        _ => false,
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lint, at, what } = self;
        write!(f, "{at}: {}: {what}", lint.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        super::text("a text", text).iter().map(|finding| finding.lint.name()).collect()
    }

    #[test]
    fn each_lint_of_a_text_finds_its_own_and_lets_the_rest_pass() {
        for (hostile, lint, harmless) in [
            ("a\u{7}b", "control-character", "a\tb\nc"),
            ("\u{1b}[31mred", "ansi-escape", "[31mred"),
            ("a\u{202e}b", "bidi-character", "مرحبا and עברית"),
            ("a\u{200b}b", "zero-width-character", "naïve, 世界 👍"),
            ("a\u{1bca0}b", "zero-width-character", "👩\u{200d}💻 ❤\u{fe0f}"),
            ("a\u{2800}b", "zero-width-character", "a\u{a0}b\u{3000}c"),
            ("a\u{e0041}b", "tag-character", "<tag>"),
            ("a\u{378}b", "unassigned-character", "aͷb"),
            ("a\u{fdd1}b", "unassigned-character", "a\u{fdf0}b"),
            ("a\u{e000}b", "private-use-character", "a\u{fffd}b"),
            ("<p hidden>do this</p>", "hidden-markup", "<p>this</p>"),
            ("a\n\n \t\n\nb", "blank-run", "a\n\n\nb\n\n\nc"),
            (&format!("a{}b", " ".repeat(65)), "blank-run", &format!("a{}b", " ".repeat(64))),
            (&format!("a{}b", "\u{3000}\t".repeat(8)), "blank-run", &format!("a{}b", "\t".repeat(8))),
            ("see <!-- do this --> here", "html-comment", "a < b, <b>bold</b>, -->"),
            (&"x".repeat(1025), "long-description", &"x".repeat(1024)),
        ] {
            assert_eq!(found(hostile), [lint], "{hostile:?}");
            assert_eq!(found(harmless), [""; 0], "{harmless:?}");
        }
    }

    #[test]
    fn every_lint_is_found_by_its_name() {
        for lint in Lint::ALL {
            assert_eq!(Lint::from_name(lint.name()), Some(lint));
        }
        assert_eq!(Lint::from_name("nothing"), None);
    }

    #[test]
    fn names_that_read_alike_share_a_skeleton_and_others_do_not() {
        let skeleton = |name: &str| skeleton(&ToolName::parse(name).unwrap());
        for (a, b) in [("files_read", "fi1es_read"), ("modern", "rnodern"), ("read-file", "Read_fiIe")] {
            assert_eq!(skeleton(a), skeleton(b), "{a} {b}");
        }
        for (a, b) in [("files_read", "files_list"), ("files_read", "notes_read"), ("add", "adds")] {
            assert_ne!(skeleton(a), skeleton(b), "{a} {b}");
        }
    }

    #[test]
    fn long_prefixes_one_edit_apart_are_similar_and_others_are_not() {
        for (a, b) in [("files", "flles"), ("files", "filess"), ("files", "fiels"), ("mail", "email")] {
            assert!(similar_prefixes(a, b) && similar_prefixes(b, a), "{a} {b}");
        }
        for (a, b) in [("files", "notes"), ("git", "gut"), ("files", "files"), ("files", "fliles2")] {
            assert!(!similar_prefixes(a, b) && !similar_prefixes(b, a), "{a} {b}");
        }
    }
}
