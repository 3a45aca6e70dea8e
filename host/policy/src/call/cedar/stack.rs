//! A stack that is large enough for the library of the language, which walks conditions by recursion without looking at
//! what is left.

use std::thread::{self, Builder};

use crate::limits::rules::CEDAR_STACK_BYTES;

/// Does work that reads, validates or takes apart policies, on a stack of its own. `None` if it cannot be had, or if the
/// library panics; that must refuse.
pub(super) fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let builder = Builder::new().name("policies".to_owned()).stack_size(CEDAR_STACK_BYTES);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}
