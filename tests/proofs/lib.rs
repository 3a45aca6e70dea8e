//! Empty: the tests are in `tests/proofs.rs`.
