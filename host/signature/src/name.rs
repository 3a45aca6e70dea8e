//! Names of signature files: the component's name, eight hexadecimal digits for further signers, and an ending that
//! selects the format. The rest of a name means nothing.

use std::collections::BTreeMap;

use toolgate_policy::limits::load::{DETACHED_SIGNATURE_BYTES_MAX, SIGNATURE_BYTES_MAX};
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer::Format;

use super::anchor::Anchor;
use super::{SignatureFile, read};

/// Digits in the name of a further signature.
const DIGITS: usize = 8;

/// Endings, their formats, and the maximum size in bytes.
pub const ENDINGS: [(&str, Format, u64); 3] = [
    (".sigstore.json", Format::Bundle, SIGNATURE_BYTES_MAX),
    (".sig", Format::Ssh, DETACHED_SIGNATURE_BYTES_MAX),
    (".minisig", Format::Minisign, DETACHED_SIGNATURE_BYTES_MAX),
];

/// Format and maximum size for a file name.
pub fn form(name: &str) -> Option<(Format, u64)> {
    let (_, format, bytes_max) = ENDINGS.into_iter().find(|(ending, ..)| name.ends_with(ending))?;
    Some((format, bytes_max))
}

/// Suffix that marks a signature's name, such as `.sigstore.json` or `.0123abcd.sigstore.json`.
pub fn tail(name: &str) -> Option<&str> {
    let (ending, ..) = ENDINGS.iter().find(|(ending, ..)| name.ends_with(ending))?;
    let before = name.strip_suffix(ending)?;
    let further = before.rsplit_once('.').filter(|(_, digits)| {
        digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    });
    name.get(further.map_or(before.len(), |(component, _)| component.len())..)
}

/// Digits in the names of a signer's files: the first eight of its key id.
pub fn digits_of(key: KeyId) -> String {
    key.hex().chars().take(DIGITS).collect()
}

/// Digits in a signature's name, if any.
pub fn digits(name: &str) -> Option<&str> {
    tail(name)?.get(1..=DIGITS).filter(|_| !is_plain(name))
}

/// File names for signatures beside a component: with the digits of the signer named, or their own ending. A second
/// file for one name gets a number; files that are not named as signatures are skipped.
pub fn places<'a>(
    component: &str,
    files: impl IntoIterator<Item = &'a SignatureFile>,
    signers: &[Anchor],
) -> BTreeMap<String, &'a [u8]> {
    let mut places = BTreeMap::new();
    for file in files {
        let Some(tail) = tail(&file.name) else { continue };
        let own = is_plain(&file.name).then(|| tail.to_owned());
        let claim = read(file).ok().map(|signature| signature.claim());
        let signer = signers.iter().find(|signer| claim.iter().any(|claim| signer.is_named_by(claim)));
        let by_signer = signer.map(|signer| format!(".{}{}", digits_of(signer.id()), ending(tail)));
        let numbered = (0_u32..).map(|number| format!(".{number:08x}{}", ending(tail)));
        let tails = own.into_iter().chain(by_signer).chain([tail.to_owned()]).chain(numbered);
        let mut names = tails.map(|tail| format!("{component}{tail}"));
        if let Some(name) = names.find(|name| !places.contains_key(name)) {
            places.insert(name, file.bytes.as_slice());
        }
    }
    places
}

fn ending(tail: &str) -> &str {
    ENDINGS.iter().map(|(ending, ..)| *ending).find(|ending| tail.ends_with(ending)).unwrap_or(tail)
}

/// Whether a signature's name has no digits.
pub fn is_plain(name: &str) -> bool {
    tail(name).is_some_and(|tail| ENDINGS.iter().any(|(ending, ..)| *ending == tail))
}

/// Whether `file` names a signature of this component.
pub fn is_signature_of(component: &str, file: &str) -> bool {
    file.strip_prefix(component).is_some_and(|rest| tail(rest) == Some(rest))
}
