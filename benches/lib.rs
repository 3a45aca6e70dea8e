//! What the benches share: a world with plugins, as the runtime takes it, and a client that calls over and over.

pub mod client;

pub use toolgate_tests::inside::{gate, gate_by, spec};
