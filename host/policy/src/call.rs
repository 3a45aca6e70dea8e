//! Decisions about calls. The target is described without any handle on the tool; only the [`judge::Permit`] it
//! results in gives access.

pub mod judge;
pub mod target;

pub use judge::{DeniedError, Permit, judge};
pub use target::Target;
