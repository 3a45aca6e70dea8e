//! minisign's public keys (<https://jedisct1.github.io/minisign/>), and the lines of its files.

use toolgate_policy::load::key_id::KeyId;

use super::canonical_base64;
use super::key::PublicKey;

/// What files of minisign's begin with.
pub(super) const UNTRUSTED: &str = "untrusted comment: ";

/// A public key of minisign's: Ed25519, and the number that signatures name it by.
#[derive(Clone)]
pub struct MinisignKey {
    pub(super) key: minisign_verify::PublicKey,
    number: u64,
    id: KeyId,
}

impl MinisignKey {
    /// Reads a file as minisign writes it.
    ///
    /// # Errors
    /// A sentence, for anything that is not one key.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let lines = lines(text);
        let Some([comment, encoded]) = lines.as_deref() else {
            return Err(
                "a key of minisign's is a comment and a line with the key, and nothing else".to_owned()
            );
        };
        let wrong = || "the second line is not a key of minisign's".to_owned();
        let bytes = canonical_base64(encoded).ok_or_else(wrong)?;
        let (number, rest) = numbered(&bytes, b"Ed").ok_or_else(wrong)?;
        let raw: &[u8; 32] = rest.try_into().map_err(|_| wrong())?;
        if !comment.starts_with(UNTRUSTED) {
            return Err(wrong());
        }
        let key = minisign_verify::PublicKey::from_base64(encoded).map_err(|_| wrong())?;
        let id = PublicKey::from_ed25519(raw).map_err(|error| error.to_string())?.id();
        Ok(Self { key, number, id })
    }

    /// Its identity, which does not depend on its number.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The number that signatures name it by. Whoever makes a key chooses it.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// The lines of a text that ends with one, or without its end. Nothing in them steers a terminal.
pub(super) fn lines(text: &str) -> Option<Vec<&str>> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let plain = text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control());
    plain.then(|| text.split('\n').collect())
}

/// The number behind these two letters, and what stands behind it.
pub(super) fn numbered<'a>(bytes: &'a [u8], letters: &[u8; 2]) -> Option<(u64, &'a [u8])> {
    let (number, rest) = bytes.strip_prefix(letters)?.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}
