//! The annotation for the signer that a signature names, so that an index tells it before the signature is fetched.
//! Anybody can write it: it affects the order of fetching and nothing else.

use toolgate_policy::load::identity::San;
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer::Claim;

use super::{Descriptor, SIGNER_NOTE};

/// Annotation value for a claim. `None` for a claim that would not parse back to itself.
pub(super) fn of(claim: &Claim) -> Option<String> {
    let note = match claim {
        Claim::Key(key) => format!("key {}", key.hex()),
        Claim::Minisign(number) => format!("minisign {number:016x}"),
        Claim::Identity { issuer, san: San::Email(name) } => format!("email {issuer} {name}"),
        Claim::Identity { issuer, san: San::Uri(name) } => format!("uri {issuer} {name}"),
    };
    (read(&note).as_ref() == Some(claim)).then_some(note)
}

/// Signer that an attachment's annotation names.
pub(in crate::remote) fn named(described: &Descriptor) -> Option<Claim> {
    read(described.note(SIGNER_NOTE)?)
}

fn read(note: &str) -> Option<Claim> {
    let (kind, value) = note.split_once(' ')?;
    let identity = |san: fn(String) -> San| {
        let (issuer, name) = value.split_once(' ')?;
        Some(Claim::Identity { issuer: issuer.to_owned(), san: san(name.to_owned()) })
    };
    match kind {
        "key" => KeyId::from_hex(value).ok().map(Claim::Key),
        "minisign" => u64::from_str_radix(value, 16).ok().map(Claim::Minisign),
        "email" => identity(San::Email),
        "uri" => identity(San::Uri),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_as_whom_it_was_written_for_or_is_not_written() {
        let identity = |issuer: &str, san| Claim::Identity { issuer: issuer.to_owned(), san };
        for claim in [
            Claim::Key(KeyId::of_spki(b"key")),
            Claim::Minisign(7),
            identity("https://issuer.example", San::Email("a@example.com".to_owned())),
            identity("https://issuer.example", San::Uri("https://example.com/a b".to_owned())),
        ] {
            assert_eq!(read(&of(&claim).unwrap()), Some(claim));
        }
        assert_eq!(of(&identity("an issuer", San::Email("a@example.com".to_owned()))), None);
        for odd in ["", "key", "key 12", "minisign x", "email a", "other a b"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
