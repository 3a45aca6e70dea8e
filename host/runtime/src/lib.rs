//! Loads, verifies and sandboxes plugins, and runs their tools. Does what `toolgate-policy` allows; knows nothing of MCP.
//!
//! # Two flows
//!
//! LOAD ([`load`]): source → verify → inspect → describe → clear → prepare. Each stage takes what the one before it
//! returned; nothing unproved is parsed, nothing uncleared is compiled, no guest code runs. `reconcile` is the one
//! way anything comes to serve.
//!
//! CALL ([`call`]): open the record → judge → resolve → admit → lower the arguments → sandbox → close the record. Guest
//! code runs in `sandbox::call` and nowhere else, in a fresh store each time.

pub mod artifact;
pub mod json;
pub mod outcome;
pub mod secret;
pub mod signature;
pub mod spec;
pub mod state;
