//! Decodes one layer of escapes in text that servers return: percent-encoding, escapes of JSON and similar languages,
//! and HTML character references. Each character keeps its position in the raw text.

use super::pattern::Work;

/// Character with its position in the raw text.
#[derive(Clone, Copy, Default)]
pub(super) struct Unit {
    pub(super) byte: u8,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Longest escape that is decoded: `&#x000000;` and a few more zeros.
const ESCAPE_BYTES_MAX: usize = 12;

/// Decoder that buffers a possible beginning of an escape.
#[derive(Default)]
pub(super) struct Decoder {
    held: [Unit; ESCAPE_BYTES_MAX],
    length: usize,
}

/// Result of parsing the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Escape for this byte, and its length.
    Escape(u8, usize),
    /// Possibly an escape: more input is needed.
    More,
    /// Not an escape.
    Plain,
}

impl Decoder {
    /// Feeds one character; decoded characters go to `next`.
    pub(super) fn feed(&mut self, unit: Unit, work: &mut Work, next: &mut dyn FnMut(Unit, &mut Work)) {
        work.count();
        if self.length == 0 && !begins(unit.byte) {
            return next(unit, work);
        }
        // There is room: what is buffered is shorter than the longest escape, else it would have been decided.
        if let Some(slot) = self.held.get_mut(self.length) {
            *slot = unit;
            self.length += 1;
        }
        self.settle(false, work, next);
    }

    /// Ends the input.
    pub(super) fn finish(&mut self, work: &mut Work, next: &mut dyn FnMut(Unit, &mut Work)) {
        self.settle(true, work, next);
    }

    /// Position of the buffered beginning.
    pub(super) fn began(&self) -> Option<u64> {
        self.held.first().filter(|_| self.length > 0).map(|unit| unit.start)
    }

    fn settle(&mut self, is_last: bool, work: &mut Work, next: &mut dyn FnMut(Unit, &mut Work)) {
        while self.length > 0 {
            work.count();
            let first = self.held.first().copied().unwrap_or_default();
            let (unit, length) = match self.read() {
                Read::More if !is_last => return,
                Read::More | Read::Plain => (first, 1),
                Read::Escape(byte, length) => {
                    let last =
                        length.checked_sub(1).and_then(|at| self.held.get(at)).copied().unwrap_or(first);
                    (Unit { byte, start: first.start, end: last.end }, length)
                }
            };
            self.held.copy_within(length.., 0);
            self.length = self.length.saturating_sub(length);
            next(unit, work);
        }
    }

    fn read(&self) -> Read {
        let bytes = self.held.map(|unit| unit.byte);
        let bytes = bytes.get(..self.length).unwrap_or_default();
        let read = match bytes {
            [b'%', rest @ ..] => percent(rest),
            [b'\\', rest @ ..] => backslash(rest),
            [b'&', rest @ ..] => reference(rest),
            _ => Read::Plain,
        };
        match read {
            Read::More if bytes.len() >= ESCAPE_BYTES_MAX => Read::Plain,
            read => read,
        }
    }
}

/// Decodes one layer of a whole text.
pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let (mut out, mut decoder, mut work) = (Vec::new(), Decoder::default(), Work::default());
    for byte in text {
        let unit = Unit { byte: *byte, ..Unit::default() };
        decoder.feed(unit, &mut work, &mut |unit, _| out.push(unit.byte));
    }
    decoder.finish(&mut work, &mut |unit, _| out.push(unit.byte));
    out
}

fn begins(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&')
}

/// `%2f`, and `%u002f` of older scripts, after the percent sign.
fn percent(rest: &[u8]) -> Read {
    match rest {
        [b'u' | b'U', digits @ ..] => hex(digits, 4, 2),
        digits => hex(digits, 2, 1),
    }
}

/// RFC 8259, section 7, with `\x2f` and `\'` of other languages.
fn backslash(rest: &[u8]) -> Read {
    let Some((first, digits)) = rest.split_first() else { return Read::More };
    match first {
        b'u' => hex(digits, 4, 2),
        b'x' => hex(digits, 2, 2),
        b'n' => Read::Escape(b'\n', 2),
        b'r' => Read::Escape(b'\r', 2),
        b't' => Read::Escape(b'\t', 2),
        b'/' | b'"' | b'\\' | b'\'' => Read::Escape(*first, 2),
        _ => Read::Plain,
    }
}

/// Parses `count` hexadecimal digits that follow `before` characters. Secrets contain ASCII only, so others are plain.
fn hex(digits: &[u8], count: usize, before: usize) -> Read {
    let there = digits.get(..count.min(digits.len())).unwrap_or_default();
    let Some(value) = number(there, 16) else { return Read::Plain };
    if there.len() < count {
        return Read::More;
    }
    u8::try_from(value).map_or(Read::Plain, |byte| Read::Escape(byte, before + count))
}

/// Character references after the ampersand that can be part of a secret: numeric ones, and names of what HTML escapes
/// and what occurs in tokens.
fn reference(rest: &[u8]) -> Read {
    const NAMES: [(&[u8], u8); 9] = [
        (b"amp;", b'&'),
        (b"lt;", b'<'),
        (b"gt;", b'>'),
        (b"quot;", b'"'),
        (b"apos;", b'\''),
        (b"sol;", b'/'),
        (b"plus;", b'+'),
        (b"equals;", b'='),
        (b"nbsp;", b' '),
    ];
    if let Some(rest) = rest.strip_prefix(b"#") {
        let (digits, radix, before) = match rest.split_first() {
            Some((b'x' | b'X', digits)) => (digits, 16, 3),
            _ => (rest, 10, 2),
        };
        let count = digits.iter().take_while(|digit| char::from(**digit).is_digit(radix)).count();
        return match (digits.get(count), number(digits.get(..count).unwrap_or_default(), radix)) {
            (None, Some(_)) => Read::More,
            (Some(b';'), Some(value)) if count > 0 => {
                u8::try_from(value).map_or(Read::Plain, |byte| Read::Escape(byte, before + count + 1))
            }
            _ => Read::Plain,
        };
    }
    let whole = NAMES.iter().find(|(name, _)| rest.starts_with(name));
    match whole {
        Some((name, byte)) => Read::Escape(*byte, name.len() + 1),
        None if NAMES.iter().any(|(name, _)| name.starts_with(rest)) => Read::More,
        None => Read::Plain,
    }
}

/// Parses a number: 0 without digits, `None` for other characters or overflow.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| {
        value.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escape_is_its_character_and_everything_else_stays() {
        for (text, wanted) in [
            ("a%2Fb%2fc%u002fd", "a/b/c/d"),
            (r#"a\/b\"c\\d\u002fe\u002Ff\x2fg\'h"#, r#"a/b"c\d/e/f/g'h"#),
            (r"a\nb\r\n\t", "a\nb\r\n\t"),
            ("a&amp;b&#47;c&#x2f;d&#X2F;e&sol;f&#0047;g&quot;", r#"a&b/c/d/e/f/g""#),
            (
                "100% %zz %2 \\q & &x; &# &#; &#x; &#9999; &#256; \\u20ac %",
                "100% %zz %2 \\q & &x; &# &#; &#x; &#9999; &#256; \\u20ac %",
            ),
            // One layer at a time.
            ("%252F", "%2F"),
            (r"\\u002f", r"\u002f"),
            // An escape that begins within a possible one.
            ("%%2f&&amp;\\%2f&a%2f", "%/&&\\/&a/"),
            ("&#0000000000000000047;", "&#0000000000000000047;"),
        ] {
            assert_eq!(String::from_utf8_lossy(&decoded(text.as_bytes())), wanted, "{text}");
        }
    }

    #[test]
    fn what_an_escape_costs_is_bounded_however_many_begin_and_do_not_end() {
        for piece in ["%", "\\", "&", "&#", "&#x0", "&#00000000", "\\u00", "%u00", "&equal", "&amp"] {
            let (mut decoder, mut work) = (Decoder::default(), Work::default());
            let text = piece.repeat(10_000);
            for byte in text.bytes() {
                decoder.feed(Unit { byte, ..Unit::default() }, &mut work, &mut |_, _| {});
            }
            assert!(work.steps <= 4 * text.len() as u64, "{piece}: {} for {}", work.steps, text.len());
        }
    }
}
