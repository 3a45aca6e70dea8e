//! Bytes that are put into an answer after the protocol's library has written it: what is long and was written elsewhere, once
//! or on another thread. The library writes a mark that nobody else can know, and the bytes take its place.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// A place in one answer. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Splice(Arc<Place>);

#[derive(Debug)]
struct Place {
    mark: String,
    filled: OnceLock<Filled>,
}

#[derive(Debug)]
struct Filled {
    /// What the library writes.
    stub: String,
    bytes: Bytes,
}

impl Splice {
    /// A place with a mark of its own.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Keyed by random bytes of this process: what comes from outside cannot contain it.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("splice-{:016x}", RandomState::new().hash_one(number));
        Self(Arc::new(Place { mark, filled: OnceLock::new() }))
    }

    /// What stands for the bytes in what the library is given.
    pub(crate) fn mark(&self) -> &str {
        &self.0.mark
    }

    /// From now on `stub`, which has the mark in it, is replaced by `bytes`. Once.
    pub(crate) fn fill(&self, stub: String, bytes: Bytes) {
        // A second filling has no place.
        drop(self.0.filled.set(Filled { stub, bytes }));
    }

    /// The parts of a text with the bytes in their place.
    pub(crate) fn apply(&self, text: Bytes) -> [Bytes; 3] {
        let found = self.0.filled.get().and_then(|filled| {
            let at = find(&text, filled.stub.as_bytes())?;
            Some((at, filled))
        });
        match found {
            Some((at, filled)) => {
                [text.slice(..at), filled.bytes.clone(), text.slice(at + filled.stub.len()..)]
            }
            None => [text, Bytes::new(), Bytes::new()],
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_take_the_place_of_the_mark_and_nothing_else_changes() {
        let splice = Splice::new();
        let text = |mark: &str| Bytes::from(format!(r#"{{"a":["{mark}"],"b":1}}"#));
        let whole = |parts: [Bytes; 3]| String::from_utf8(parts.concat()).unwrap();
        let before = text(splice.mark());
        assert_eq!(whole(splice.apply(before.clone())), String::from_utf8(before.to_vec()).unwrap());
        splice.fill(format!("\"{}\"", splice.mark()), Bytes::from_static(b"1,2,3"));
        assert_eq!(whole(splice.apply(before)), r#"{"a":[1,2,3],"b":1}"#);
        assert_eq!(whole(splice.apply(text("splice-0"))), r#"{"a":["splice-0"],"b":1}"#);
        assert_eq!(whole(splice.apply(Bytes::new())), "");
        assert_ne!(splice.mark(), Splice::new().mark());
    }
}
