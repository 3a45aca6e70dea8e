//! Loads, verifies and sandboxes plugins, and runs their tools. Does what `toolgate-policy` allows; knows nothing of MCP.
//!
//! # Two flows
//!
//! LOAD ([`load`]): source → verify → inspect → describe → clear → prepare. Each stage takes what the one before it
//! returned; nothing unproved is parsed, nothing uncleared is compiled, no guest code runs but
//! for one question without any grant to a plugin that names its tools itself. [`reconcile`] is the one way
//! anything comes to serve.
//!
//! CALL ([`call`]): open the record → judge → resolve → lower the arguments → admit → sandbox → close the record. Guest
//! code runs in `Sandbox::call` and nowhere else, in a fresh store each time.
//!
//! [`gate::Gate`] is the handle on both.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod admission;
pub mod call;
pub mod gate;
pub mod large;
pub mod load;
pub mod quota;
pub mod reconcile;
mod services;
pub mod snapshot;
pub mod spec;
pub mod turns;
