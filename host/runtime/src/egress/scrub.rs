//! Takes a secret out of text that streams by: the value itself, its percent-encoded and its base64 forms, also where one
//! is cut in two by the borders of what arrives. A host that gives the secret back in yet another form is a stated limit.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use zeroize::Zeroizing;

/// What stands where a secret stood.
const INSTEAD: &[u8] = b"[secret]";

/// Forms shorter than this would match by accident and tell nobody anything.
const FORM_BYTES_MIN: usize = 4;

/// Looks for the forms of one secret.
pub(super) struct Scrubber {
    forms: Vec<Zeroizing<Vec<u8>>>,
    held: Zeroizing<Vec<u8>>,
}

impl Scrubber {
    /// `values` are the texts to look for: the secret, and the header value that carries it.
    pub(super) fn new(values: &[&str]) -> Self {
        let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for value in values {
            let bytes = value.as_bytes();
            forms.push(Zeroizing::new(bytes.to_vec()));
            forms.push(Zeroizing::new(percent(value, false).into_bytes()));
            forms.push(Zeroizing::new(percent(value, true).into_bytes()));
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                forms.push(Zeroizing::new(engine.encode(bytes).into_bytes()));
                // Inside a longer base64 text the value begins at any of three offsets.
                for offset in 0..3_usize {
                    forms.push(Zeroizing::new(inner_base64(&engine, bytes, offset)));
                }
            }
        }
        forms.retain(|form| form.len() >= FORM_BYTES_MIN);
        // Longest first, so that a form that begins another does not leave its tail behind.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms, held: Zeroizing::new(Vec::new()) }
    }

    /// The next bytes, less what may be the beginning of a form; that is held until more comes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Bytes {
        self.held.extend_from_slice(bytes);
        let (clean, rest) = self.clean(false);
        self.held = Zeroizing::new(rest);
        clean.into()
    }

    /// What was held, when nothing more comes.
    pub(super) fn finish(&mut self) -> Bytes {
        let (clean, _) = self.clean(true);
        self.held = Zeroizing::new(Vec::new());
        clean.into()
    }

    /// A whole text at once.
    pub(super) fn whole(&self, bytes: &[u8]) -> Vec<u8> {
        let mut scrubber = Self { forms: self.forms.clone(), held: Zeroizing::new(bytes.to_vec()) };
        scrubber.finish().to_vec()
    }

    /// Whether any form is in a text, upper or lower case.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let is_in = |form: &[u8]| text.as_bytes().windows(form.len()).any(|part| part == form);
        self.forms.iter().any(|form| is_in(&Zeroizing::new(form.to_ascii_lowercase())))
    }

    fn clean(&self, last: bool) -> (Vec<u8>, Vec<u8>) {
        let mut out = Vec::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        while let Some(first) = rest.first() {
            if let Some(form) = self.forms.iter().find(|form| rest.starts_with(form)) {
                out.extend_from_slice(INSTEAD);
                rest = rest.get(form.len()..).unwrap_or_default();
            } else if !last && self.forms.iter().any(|form| form.len() > rest.len() && form.starts_with(rest))
            {
                break;
            } else {
                out.push(*first);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        (out, rest.to_vec())
    }
}

/// RFC 3986 §2.1, with everything but unreserved characters encoded.
fn percent(value: &str, lower: bool) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    value
        .bytes()
        .map(|b| match (unreserved(b), lower) {
            (true, _) => char::from(b).to_string(),
            (false, false) => format!("%{b:02X}"),
            (false, true) => format!("%{b:02x}"),
        })
        .collect()
}

/// The characters of a base64 text that depend on nothing but `bytes`, when `offset` other bytes stand before them.
fn inner_base64(engine: &impl base64::Engine, bytes: &[u8], offset: usize) -> Vec<u8> {
    let mut padded = vec![0_u8; offset];
    padded.extend_from_slice(bytes);
    let whole = padded.len() - padded.len() % 3;
    let text = engine.encode(padded.get(..whole).unwrap_or_default());
    // `offset` bytes reach into the first `offset + 1` characters, none into none.
    text.into_bytes().into_iter().skip(if offset == 0 { 0 } else { offset + 1 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t/t0ken+xy=";

    fn scrubbed(text: &[u8]) -> String {
        String::from_utf8_lossy(&Scrubber::new(&[SECRET]).whole(text)).into_owned()
    }

    #[test]
    fn every_form_is_taken_out_and_the_rest_stays() {
        for form in [
            SECRET.to_owned(),
            "s3cr3t%2Ft0ken%2Bxy%3D".to_owned(),
            "s3cr3t%2ft0ken%2bxy%3d".to_owned(),
            STANDARD.encode(SECRET),
            URL_SAFE_NO_PAD.encode(SECRET),
        ] {
            assert_eq!(scrubbed(format!("<{form}>").as_bytes()), "<[secret]>", "{form}");
        }
        assert_eq!(scrubbed(b"nothing here"), "nothing here");
    }

    #[test]
    fn it_is_found_inside_a_longer_base64_text() {
        for before in ["", "u", "us", "user:"] {
            let text = STANDARD.encode(format!("{before}{SECRET}!!"));
            assert!(scrubbed(text.as_bytes()).contains("[secret]"), "{before}");
        }
    }

    #[test]
    fn it_is_found_across_any_two_chunks() {
        let text = format!("before {SECRET} after");
        for cut in 0..=text.len() {
            let mut scrubber = Scrubber::new(&[SECRET]);
            let mut out = scrubber.push(text.as_bytes().get(..cut).unwrap_or_default()).to_vec();
            out.extend_from_slice(&scrubber.push(text.as_bytes().get(cut..).unwrap_or_default()));
            out.extend_from_slice(&scrubber.finish());
            assert_eq!(String::from_utf8_lossy(&out), "before [secret] after", "cut at {cut}");
        }
    }

    #[test]
    fn nothing_is_held_back_for_ever() {
        let mut scrubber = Scrubber::new(&[SECRET]);
        assert_eq!(scrubber.push(b"ends in s3cr"), Bytes::from_static(b"ends in "));
        assert_eq!(scrubber.finish(), Bytes::from_static(b"s3cr"));
    }
}
