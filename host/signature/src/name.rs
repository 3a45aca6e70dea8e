//! Names of signature files: that of their component and an ending, and before that, for further signers, eight hexadecimal
//! digits. By its ending a file promises a form; nothing else about a name means anything.

use std::collections::BTreeMap;

use toolgate_policy::limits::load::{DETACHED_SIGNATURE_BYTES_MAX, SIGNATURE_BYTES_MAX};
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer::Format;

use super::anchor::SignerHint;
use super::{SignatureFile, read};

/// How many digits a further signature's name has.
const DIGITS: usize = 8;

/// The endings, what they promise, and how many bytes are read at the most.
pub const ENDINGS: [(&str, Format, u64); 3] = [
    (".sigstore.json", Format::Bundle, SIGNATURE_BYTES_MAX),
    (".sig", Format::Ssh, DETACHED_SIGNATURE_BYTES_MAX),
    (".minisig", Format::Minisign, DETACHED_SIGNATURE_BYTES_MAX),
];

/// The form that a name promises, and how many bytes are read at the most.
pub fn form(name: &str) -> Option<(Format, u64)> {
    let promised = ENDINGS.iter().find(|(ending, ..)| name.ends_with(ending));
    promised.map(|(_, format, bytes_max)| (*format, *bytes_max))
}

/// The end of a name by which it is a signature's, such as `.sigstore.json` or `.0123abcd.sigstore.json`.
pub fn tail(name: &str) -> Option<&str> {
    let (ending, ..) = ENDINGS.iter().find(|(ending, ..)| name.ends_with(ending))?;
    let before = name.strip_suffix(ending)?;
    let further = before.rsplit_once('.').filter(|(_, digits)| {
        digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    });
    name.get(further.map_or(before.len(), |(component, _)| component.len())..)
}

/// The digits in the names of a signer's files: the first eight of its key's.
pub fn digits_of(key: KeyId) -> String {
    key.hex().chars().take(DIGITS).collect()
}

/// The digits in a signature's name, if it has any.
pub fn digits(name: &str) -> Option<&str> {
    tail(name)?.get(1..=DIGITS).filter(|_| !is_plain(name))
}

/// Under which names signatures are put beside a component of this name: by the digits of the signer whom they name, or their own
/// endings. Of two with one name the second gets a number. A file whose name is no signature's has no place.
pub fn places<'a>(
    component: &str,
    files: impl IntoIterator<Item = &'a SignatureFile>,
    signers: &[SignerHint],
) -> BTreeMap<String, &'a [u8]> {
    let mut places = BTreeMap::new();
    for file in files {
        let Some(tail) = tail(&file.name) else { continue };
        let own = is_plain(&file.name).then(|| tail.to_owned());
        let by_signer =
            signer_of(file, signers).map(|signer| format!(".{}{}", digits_of(signer.id()), ending(tail)));
        let numbered = (0_u32..).map(|number| format!(".{number:08x}{}", ending(tail)));
        let tails = own.into_iter().chain(by_signer).chain([tail.to_owned()]).chain(numbered);
        let mut names = tails.map(|tail| format!("{component}{tail}"));
        if let Some(name) = names.find(|name| !places.contains_key(name)) {
            places.insert(name, file.bytes.as_slice());
        }
    }
    places
}

/// The ending alone.
fn ending(tail: &str) -> &str {
    ENDINGS.iter().map(|(ending, ..)| *ending).find(|ending| tail.ends_with(ending)).unwrap_or(tail)
}

/// The signer whom a signature names. Nothing is verified.
fn signer_of<'a>(file: &SignatureFile, signers: &'a [SignerHint]) -> Option<&'a SignerHint> {
    let claim = read(file).ok()?.claim();
    signers.iter().find(|signer| signer.is_named_by(&claim))
}

/// Whether a signature's name is that of its component and an ending, without digits.
pub fn is_plain(name: &str) -> bool {
    tail(name).is_some_and(|tail| ENDINGS.iter().any(|(ending, ..)| *ending == tail))
}

/// Whether `file` is a signature of the component of this name.
pub fn is_signature_of(component: &str, file: &str) -> bool {
    file.strip_prefix(component).is_some_and(|rest| tail(rest) == Some(rest))
}
