//! Signed tokens, issuers and clocks for tests.
