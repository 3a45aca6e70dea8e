//! Code that the benches share: a world with plugins in the runtime's form, and a client that repeats calls.

pub mod client;

pub use toolgate_tests::inside::{gate, gate_by, spec};
