//! What Toolgate allows. Decisions only: this crate does no I/O, reads no clock, runs nothing asynchronous and knows
//! no engine, so what it does not depend on it cannot call. It is the part to read before trusting the rest.
//!
//! # Three questions, one proof each
//!
//! | question | proof | made only in |
//! |---|---|---|
//! | may it load, and whose is it? | [`load::Trusted`] | `load/trust.rs` |
//! | is it what was approved? | [`load::Clearance`] | `load/clear.rs` |
//! | may they call it? | [`call::Permit`] | `call/judge.rs` |
//! | may the guest do this now? | a `Pass` of its word | `capability/WORD.rs` |
//!
//! A proof has private fields and stands beside its one maker in a leaf file, so no other file can make one. It names
//! what it is about, digest included, and whoever demands it compares: a permit for yesterday's bytes opens nothing.
//!
//! # Vocabulary
//!
//! A *plugin* is a component with a name; it *exports* functions, which become *tools*, and *imports* interfaces, which
//! mean *capabilities*. The plugin *asks*, the operator *grants*; neither alone opens anything. A *principal* calls.

#![forbid(unsafe_code)]
// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod active;
pub mod address;
pub mod call;
pub mod capability;
pub mod character;
pub mod digest;
pub mod header;
pub mod invalid;
pub mod limits;
pub mod load;
pub mod name;
mod path;
pub mod principal;
pub mod redact;
pub mod request;
pub mod suggest;

pub use capability::Capability;
pub use digest::Digest;
pub use invalid::InvalidValueError;
pub use name::{PluginName, ToolName};
pub use principal::Principal;
