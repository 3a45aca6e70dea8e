//! Bytes that are spliced into an answer after the protocol library has serialised it: long content, serialised once or
//! on another thread. The library writes an unguessable mark, which the bytes replace.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// A place in one answer. Clones refer to the same place.
#[derive(Debug, Clone)]
pub(crate) struct Splice(Arc<Place>);

#[derive(Debug)]
struct Place {
    mark: String,
    /// Text that the library writes, and the bytes that replace it.
    filled: OnceLock<(String, Bytes)>,
}

impl Splice {
    /// Creates a place with a unique mark.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Keyed by random bytes of this process, so input from outside cannot contain it.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("splice-{:016x}", RandomState::new().hash_one(number));
        Self(Arc::new(Place { mark, filled: OnceLock::new() }))
    }

    /// Mark that stands for the bytes in the library's input.
    pub(crate) fn mark(&self) -> &str {
        &self.0.mark
    }

    /// Sets the `bytes` that replace `stub`, which contains the mark. Only the first call counts.
    pub(crate) fn fill(&self, stub: String, bytes: Bytes) {
        // A second call is ignored.
        drop(self.0.filled.set((stub, bytes)));
    }

    /// Replaces the stub in a text by the bytes. Returns the parts of the result.
    pub(crate) fn apply(&self, text: Bytes) -> [Bytes; 3] {
        if let Some((stub, bytes)) = self.0.filled.get()
            && let Some(at) = text.windows(stub.len()).position(|part| part == stub.as_bytes())
        {
            return [text.slice(..at), bytes.clone(), text.slice(at + stub.len()..)];
        }
        [text, Bytes::new(), Bytes::new()]
    }
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
