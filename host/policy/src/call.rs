//! May they call it? What is called is described to the judge without any handle on it, and the judge's answer is the
//! only key to it.

pub mod judge;
pub mod target;

pub use judge::{DeniedError, Permit, judge};
pub use target::Target;
