//! The bytes of a plugin and their digest, always constructed together: an [`Artifact`] proves that the digest is of
//! its bytes. The bytes are not parsed here.

use std::io::{self, Read};
use std::sync::Arc;

use toolgate_policy::Digest;

/// Bounded bytes with their digest. Cheap to clone; the bytes are shared and never re-read.
#[derive(Clone)]
pub struct Artifact {
    bytes: Arc<[u8]>,
    digest: Digest,
}

/// Reading the bytes failed.
#[derive(Debug, thiserror::Error)]
pub enum TooLargeError {
    /// More bytes than allowed.
    #[error("it has more than {0} bytes")]
    Bytes(u64),
    /// I/O error.
    #[error("read it")]
    Io(#[from] io::Error),
}

impl Artifact {
    /// Reads to the end, at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`TooLargeError::Bytes`] at the first byte beyond the limit.
    pub fn read(source: impl Read, bytes_max: u64) -> Result<Self, TooLargeError> {
        let mut bytes = Vec::new();
        source.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            Err(TooLargeError::Bytes(bytes_max))
        } else {
            Ok(Self::of(bytes))
        }
    }

    /// Wraps bytes already in memory.
    pub fn of(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), bytes }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_bytes_and_the_bound_is_exact() {
        let read = Artifact::read(&b"12345"[..], 5).map(|a| (a.digest(), a.bytes().to_vec()));
        assert!(matches!(read, Ok((digest, bytes)) if digest == Digest::of(b"12345") && bytes == b"12345"));
        assert!(matches!(Artifact::read(&b"123456"[..], 5), Err(TooLargeError::Bytes(5))));
    }

    #[test]
    fn an_endless_source_ends_at_the_bound() {
        assert!(matches!(Artifact::read(io::repeat(0), 1 << 20), Err(TooLargeError::Bytes(_))));
    }
}
