//! What the benches share: a world with plugins, as the runtime takes it.

pub use toolgate_tests::inside::{gate, spec};
