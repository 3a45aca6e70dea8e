//! Characters by their Unicode properties: visible ones, and those that reorder, hide or have no agreed form. Nothing
//! here decides what may be loaded or shown.

use icu_properties::props::{
    BidiControl, CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier,
    ExtendedPictographic, GeneralCategory, JoiningType, PrependedConcatenationMark,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Display of a character on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Shows as itself; spaces included.
    Visible,
    /// C0, C1 and DEL (general category Cc).
    Control,
    /// Reorders the text around it (`Bidi_Control`, UAX #9).
    Bidi,
    /// Tag characters, which spell ASCII invisibly, and the selectors after them (U+E0000…U+E0FFF).
    Tag,
    /// Shows nothing: `Default_Ignorable_Code_Point`, format characters (Cf), separators (Zl, Zp), blank letters.
    Invisible,
    /// Unassigned code points and noncharacters (Cn).
    Unassigned,
    /// Private use (Co).
    PrivateUse,
}

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';

/// The kind of a character, regardless of its context.
pub fn kind(c: char) -> Kind {
    match c {
        ' '..='~' => return Kind::Visible,
        '\u{e0000}'..='\u{e0fff}' => return Kind::Tag,
        // Blank glyphs that no property marks: Braille, musical, Khitan, hieroglyphic.
        '\u{2800}' | '\u{1d159}' | '\u{16fe4}' | '\u{13441}' | '\u{13442}' => return Kind::Invisible,
        _ => {}
    }
    if CodePointSetData::new::<BidiControl>().contains(c) {
        return Kind::Bidi;
    }
    if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) {
        return Kind::Invisible;
    }
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control => Kind::Control,
        // Signs around numbers in Arabic and Kaithi are visible.
        GeneralCategory::Format if CodePointSetData::new::<PrependedConcatenationMark>().contains(c) => {
            Kind::Visible
        }
        GeneralCategory::Format | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => {
            Kind::Invisible
        }
        GeneralCategory::PrivateUse => Kind::PrivateUse,
        GeneralCategory::Unassigned | GeneralCategory::Surrogate => Kind::Unassigned,
        _ => Kind::Visible,
    }
}

/// Characters that do not show as themselves, each with its byte index. Joiners and selectors that an emoji or a script
/// needs are left out.
pub fn hidden(text: &str) -> Vec<(usize, char, Kind)> {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Vec::new();
    }
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let mut hidden = Vec::new();
    for (at, &(index, c)) in chars.iter().enumerate() {
        let kind = kind(c);
        let (before, after) = (chars.get(..at).unwrap_or_default(), chars.get(at + 1..).unwrap_or_default());
        if kind != Kind::Visible && !is_needed(before, c, after) {
            hidden.push((index, c, kind));
        }
    }
    hidden
}

/// Whether a joiner or a selector changes what is seen in this context.
fn is_needed(before: &[(usize, char)], c: char, after: &[(usize, char)]) -> bool {
    let last = |nth: usize| before.iter().rev().nth(nth).map(|(_, c)| *c);
    let Some(previous) = last(0) else { return false };
    let next = after.first().map(|(_, c)| *c);
    match c {
        // Digits, # and * are emoji only before a keycap.
        EMOJI_STYLE if previous.is_ascii() => is_emoji(previous) && next == Some(KEYCAP),
        EMOJI_STYLE | TEXT_STYLE => !previous.is_ascii() && is_emoji(previous),
        ZERO_WIDTH_JOINER => {
            let base =
                if previous == EMOJI_STYLE || is_modifier(previous) { last(1) } else { Some(previous) };
            let joins_emoji = base.is_some_and(is_pictographic) && next.is_some_and(is_pictographic);
            joins_emoji || is_virama(previous) || (is_letter(previous) && next.is_some_and(is_virama))
        }
        ZERO_WIDTH_NON_JOINER => is_virama(previous) || parts_joined_letters(before, after),
        _ => false,
    }
}

/// RFC 5892, appendix A.1: a joining letter on both sides.
fn parts_joined_letters(before: &[(usize, char)], after: &[(usize, char)]) -> bool {
    let joining = |c: char| CodePointMapData::<JoiningType>::new().get(c);
    let is_beside = |&c: &char| joining(c) != JoiningType::Transparent;
    let left = before.iter().rev().map(|(_, c)| *c).find(is_beside).map(joining);
    let right = after.iter().map(|(_, c)| *c).find(is_beside).map(joining);
    matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

fn is_emoji(c: char) -> bool {
    CodePointSetData::new::<Emoji>().contains(c)
}

fn is_modifier(c: char) -> bool {
    CodePointSetData::new::<EmojiModifier>().contains(c)
}

fn is_pictographic(c: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(c)
}

fn is_virama(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

fn is_letter(c: char) -> bool {
    CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::OtherLetter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_known_by_its_properties() {
        for (kind, chars) in [
            (Kind::Control, "\0\t\n\r\u{7f}\u{85}\u{9b}"),
            (Kind::Bidi, "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}"),
            (Kind::Tag, "\u{e0000}\u{e0001}\u{e0041}\u{e007f}\u{e0100}\u{e01ef}\u{e0fff}"),
            (
                Kind::Invisible,
                "\u{ad}\u{34f}\u{115f}\u{1160}\u{17b4}\u{180b}\u{180e}\u{180f}\u{200b}\u{200c}\u{200d}\u{2028}\u{2029}\
                 \u{2060}\u{2061}\u{2064}\u{2065}\u{206a}\u{2800}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\u{fff9}\
                 \u{13430}\u{13441}\u{16fe4}\u{1bca0}\u{1bca3}\u{1d159}\u{1d173}\u{1d17a}",
            ),
            (Kind::Unassigned, "\u{378}\u{fdd0}\u{fffe}\u{1ffff}\u{40000}\u{efffe}\u{10ffff}"),
            (Kind::PrivateUse, "\u{e000}\u{f8ff}\u{f0000}\u{10fffd}"),
            (Kind::Visible, " ~aß世\u{a0}\u{3000}👍\u{600}\u{6dd}\u{301}\u{fffd}"),
        ] {
            for c in chars.chars() {
                assert_eq!(super::kind(c), kind, "U+{:04X}", u32::from(c));
            }
        }
    }

    #[test]
    fn joiners_and_selectors_pass_where_emoji_and_scripts_need_them() {
        for text in ["❤️ 1️⃣ #️⃣ ☎︎", "👩‍💻 👩🏽‍💻 👨‍👩‍👧 🏳️‍🌈 ❤️‍🔥 🧔🏻‍♂️", "می‌خواهم", "क्‍ष क्‌ष", "র‍্য", "مرحبا שלום"]
        {
            assert_eq!(hidden(text), [], "{text}");
        }
    }

    #[test]
    fn joiners_and_selectors_anywhere_else_are_found() {
        for text in [
            "\u{200d}a",
            "a\u{200d}b",
            "a\u{200c}b",
            "1\u{fe0f}2",
            "a\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            "❤\u{fe01}",
            "👩\u{200d}\u{200d}💻",
            "👩\u{200d}a",
            "می\u{200c}\u{200c}خ",
            "世\u{e0100}",
            "1\u{fe0f}",
        ] {
            assert_ne!(hidden(text), [], "{text:?}");
        }
    }
}
