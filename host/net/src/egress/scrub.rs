//! Removes a secret from a stream, even if it is split across chunks. It is found as it is; escaped as in URLs, JSON
//! and HTML, wholly or in part, once or twice; and in base64, at any offset and with line breaks. Other encodings by
//! the server are a documented limit. Work per byte and buffered bytes are bounded.

mod decode;
mod pattern;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use toolgate_policy::limits::http::{SECRET_BREAK_BYTES_MAX, SECRET_FORM_BYTES_MIN};
use zeroize::Zeroizing;

use decode::{Decoder, Unit, decoded};
use pattern::{Form, Patterns, Search, Work};

/// Replacement for the secret.
const INSTEAD: &[u8] = b"[secret]";

/// Layers of escapes that are decoded and searched.
const LAYERS: usize = 2;

/// Forms of one secret, built once.
pub(super) struct Forms {
    raw: Patterns,
    /// By number of decoded layers.
    text: [Patterns; LAYERS],
    base64: Patterns,
    /// Whether the search ignores case.
    folds: bool,
}

impl Forms {
    /// Builds the forms of the secret, and of the whole value of the header that carries it. With `folds` case is
    /// ignored.
    pub(super) fn new(values: [&str; 2], folds: bool) -> Self {
        let min = SECRET_FORM_BYTES_MIN;
        let fold = |mut form: Form| {
            if folds {
                form.make_ascii_lowercase();
            }
            form
        };
        let values = values.map(str::as_bytes);
        // Decoding changes a value that itself contains what looks like an escape.
        let mut undone: Vec<Form> = values.map(|value| Form::new(value.to_vec())).to_vec();
        let text = [(); LAYERS].map(|()| {
            let last = undone.len().saturating_sub(values.len());
            let more: Vec<Form> = undone.iter().skip(last).map(|form| Form::new(decoded(form))).collect();
            undone.extend(more);
            let plain = |form: &Form| Form::new(form.iter().copied().map(plain).collect());
            // In the whole value, the secret itself is found.
            let of_secret = undone.iter().step_by(values.len());
            let rests = of_secret.flat_map(|form| eaten(form).filter_map(|count| form.get(count..)));
            let rests = rests.map(|rest| Form::new(rest.to_vec()));
            let forms = undone.iter().map(|form| Form::new(form.to_vec())).chain(rests);
            Patterns::new(forms.map(|form| fold(plain(&form))), min)
        });
        let offsets = values.iter().flat_map(|value| (0..3).map(move |offset| (*value, offset)));
        let base64 = offsets.flat_map(|(value, offset)| base64_forms(value, offset)).map(fold);
        let raw = values.map(|value| fold(Form::new(value.to_vec())));
        Self { raw: Patterns::new(raw, min), text, base64: Patterns::new(base64, min), folds }
    }

    fn fold(&self, byte: u8) -> u8 {
        if self.folds { byte.to_ascii_lowercase() } else { byte }
    }
}

/// Numbers of leading characters that may complete an escape begun by the text before. A `%` before `ab12…` consumes
/// its first two, and the rest must be found.
fn eaten(value: &[u8]) -> impl Iterator<Item = usize> {
    const MOST: usize = 5;
    let ends = value.iter().take_while(|byte| byte.is_ascii_hexdigit() || b"uUxX;".contains(byte)).count();
    let one = value.first().is_some_and(|byte| b"nrt/\"\\'".contains(byte));
    1..=ends.min(MOST).max(usize::from(one))
}

/// Maps spaces to plus signs, as in HTML forms.
fn plain(byte: u8) -> u8 {
    if byte == b' ' { b'+' } else { byte }
}

/// Base64 characters of `value` after `offset` other bytes that depend on the value alone. Without an offset, also its
/// whole base64.
fn base64_forms(value: &[u8], offset: usize) -> Vec<Form> {
    let mut padded = Form::new(vec![0_u8; offset]);
    padded.extend_from_slice(value);
    let text = Form::new(STANDARD_NO_PAD.encode(&*padded).into_bytes());
    let inner = text.get((8 * offset).div_ceil(6)..8 * padded.len() / 6).unwrap_or_default();
    let inner = Form::new(inner.to_vec());
    if offset > 0 {
        return vec![inner];
    }
    let mut with_padding = text.clone();
    with_padding.resize(text.len().next_multiple_of(4), b'=');
    vec![inner, text, with_padding]
}

/// Searches a stream for the forms of one secret.
pub(super) struct Scrubber {
    forms: Arc<Forms>,
    raw: Search,
    layers: [Layer; LAYERS],
    /// Bytes not emitted yet, and their position in the text.
    held: Zeroizing<Vec<u8>>,
    begins: u64,
    /// Ranges of forms found in them.
    found: Vec<(u64, u64)>,
    /// End of the last form removed.
    taken_to: u64,
    work: Work,
}

/// Decoder of one more layer of escapes, with the search of its output.
#[derive(Default)]
struct Layer {
    decoder: Decoder,
    look: Look,
}

/// Search of a decoded text.
#[derive(Default)]
struct Look {
    text: Search,
    base64: Search,
    breaks: u32,
}

impl Scrubber {
    pub(super) fn new(forms: &Arc<Forms>) -> Self {
        Self {
            forms: Arc::clone(forms),
            raw: Search::default(),
            layers: Default::default(),
            held: Zeroizing::default(),
            begins: 0,
            found: Vec::new(),
            taken_to: 0,
            work: Work::default(),
        }
    }

    /// Emits the next bytes, except a possible beginning of a form, which is buffered.
    pub(super) fn push(&mut self, bytes: &Bytes) -> Bytes {
        let end = self.look_at(bytes);
        let certain = self.uncertain().unwrap_or(end);
        if self.held.is_empty() && self.found.is_empty() && certain == end {
            self.begins = end;
            return bytes.clone();
        }
        self.held.extend_from_slice(bytes);
        self.hand_on(certain).into()
    }

    /// Emits the buffered bytes at the end of the stream.
    pub(super) fn finish(&mut self) -> Bytes {
        self.end();
        self.hand_on(self.begins + self.held.len() as u64).into()
    }

    /// Scrubs a complete text; `None` if there is no form in it. Needs no other stream pending, and can be repeated.
    pub(super) fn whole(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let end = self.look_at(text);
        self.end();
        if self.found.is_empty() {
            self.begins = end;
            return None;
        }
        self.held.extend_from_slice(text);
        Some(self.hand_on(end))
    }

    /// Searches the next bytes and returns the position of their end.
    fn look_at(&mut self, bytes: &[u8]) -> u64 {
        let Self { forms, raw, layers, found, work, .. } = self;
        let mut at = self.begins + self.held.len() as u64;
        for byte in bytes {
            let unit = Unit { byte: *byte, start: at, end: at + 1 };
            let began = raw.feed(&forms.raw, forms.fold(*byte), at, work);
            found.extend(began.map(|began| (began, unit.end)));
            feed(forms, 0, layers, unit, found, work);
            at += 1;
        }
        at
    }

    fn end(&mut self) {
        let Self { forms, raw, layers, found, work, .. } = self;
        finish(forms, 0, layers, found, work);
        raw.reset();
        *layers = Default::default();
    }

    /// Position of the first partial match.
    fn uncertain(&self) -> Option<u64> {
        let of_layer =
            |layer: &Layer| [layer.decoder.began(), layer.look.text.began(), layer.look.base64.began()];
        self.layers.iter().flat_map(of_layer).chain([self.raw.began()]).flatten().min()
    }

    /// Emits buffered bytes up to a position, without the forms found in them.
    fn hand_on(&mut self, certain: u64) -> Vec<u8> {
        self.found.sort_unstable();
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = self.begins;
        let raw = |from: u64, to: u64| {
            let place = |at: u64| usize::try_from(at.saturating_sub(self.begins)).unwrap_or(usize::MAX);
            self.held.get(place(from)..place(to)).unwrap_or_default()
        };
        let mut later = Vec::new();
        for (began, ended) in self.found.drain(..) {
            if began >= certain {
                later.push((began, ended));
            } else if ended > at {
                out.extend_from_slice(raw(at, began.max(at)));
                // An overlapping form only extends the removed range.
                if began >= self.taken_to {
                    out.extend_from_slice(INSTEAD);
                }
                (at, self.taken_to) = (ended, ended);
            }
        }
        out.extend_from_slice(raw(at, certain.max(at)));
        at = at.max(certain);
        let gone = usize::try_from(at.saturating_sub(self.begins)).unwrap_or(usize::MAX);
        let gone = gone.min(self.held.len());
        self.held.drain(..gone);
        (self.begins, self.found) = (at, later);
        out
    }
}

/// Feeds a character to the first layer, and its output to the deeper ones.
fn feed(
    forms: &Forms,
    depth: usize,
    layers: &mut [Layer],
    unit: Unit,
    found: &mut Vec<(u64, u64)>,
    work: &mut Work,
) {
    let Some((Layer { decoder, look }, deeper)) = layers.split_first_mut() else { return };
    decoder.feed(unit, work, &mut |unit, work| {
        look.at(forms, depth, unit, found, work);
        feed(forms, depth + 1, deeper, unit, found, work);
    });
}

fn finish(forms: &Forms, depth: usize, layers: &mut [Layer], found: &mut Vec<(u64, u64)>, work: &mut Work) {
    let Some((Layer { decoder, look }, deeper)) = layers.split_first_mut() else { return };
    decoder.finish(work, &mut |unit, work| {
        look.at(forms, depth, unit, found, work);
        feed(forms, depth + 1, deeper, unit, found, work);
    });
    finish(forms, depth + 1, deeper, found, work);
}

impl Look {
    fn at(&mut self, forms: &Forms, depth: usize, unit: Unit, found: &mut Vec<(u64, u64)>, work: &mut Work) {
        let byte = forms.fold(unit.byte);
        if let Some(patterns) = forms.text.get(depth) {
            let began = self.text.feed(patterns, plain(byte), unit.start, work);
            found.extend(began.map(|began| (began, unit.end)));
        }
        if matches!(byte, b'\r' | b'\n' | b'\t' | b' ') {
            self.breaks = self.breaks.saturating_add(1);
            if self.breaks > SECRET_BREAK_BYTES_MAX {
                self.base64.reset();
            }
            return;
        }
        self.breaks = 0;
        // RFC 4648, section 5.
        let byte = match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let began = self.base64.feed(&forms.base64, byte, unit.start, work);
        found.extend(began.map(|began| (began, unit.end)));
    }
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
