//! Decisions on what Toolgate allows. This crate does no I/O, reads no clock, has no async code and no engine; it
//! cannot call what it does not depend on. Read it before trusting the rest.
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
//! A proof has private fields and is defined in a leaf file beside its only maker, so no other file can make one. It
//! names its subject, digest included, and its taker compares that: a permit for yesterday's bytes is useless today.
//!
//! # Vocabulary
//!
//! A *plugin* is a component with a name; it *exports* functions, which become *tools*, and *imports* interfaces, which
//! mean *capabilities*. The plugin *requests*, the operator *grants*; both are needed. A *principal* calls.

#![forbid(unsafe_code)]
// Lossy numeric casts are reported.
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
