//! minisign public keys (<https://jedisct1.github.io/minisign/>), and the line format of its files.

use toolgate_policy::load::key_id::KeyId;

use super::canonical_base64;
use super::key::PublicKey;

/// Prefix of minisign's files.
pub(super) const UNTRUSTED: &str = "untrusted comment: ";

/// A minisign public key: Ed25519, with the key number that signatures name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinisignKey {
    pub(super) key: minisign_verify::PublicKey,
    pub(super) number: u64,
    /// Id of the key, independent of its number.
    pub(super) id: KeyId,
}

impl MinisignKey {
    /// Parses a minisign key file. Refuses anything that is not exactly one key, with a sentence.
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
}

/// Lines of a text, with or without a final line break. `None` if control characters could steer a terminal.
pub(super) fn lines(text: &str) -> Option<Vec<&str>> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let plain = text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control());
    plain.then(|| text.split('\n').collect())
}

/// Strips the two letters of the algorithm and splits off the key number.
pub(super) fn numbered<'a>(bytes: &'a [u8], letters: &[u8; 2]) -> Option<(u64, &'a [u8])> {
    let (number, rest) = bytes.strip_prefix(letters)?.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}
