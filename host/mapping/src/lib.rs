//! WIT values to and from JSON: function shapes read from the component's bytes, their JSON Schema, arguments, and
//! results. Schema and lowering are derived from one shape, so that what the schema accepts also lowers.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod as_json;
pub mod clients;
pub mod compiled;
pub(crate) mod content;
pub mod cost;
pub mod deferred;
pub mod facts;
mod length;
pub mod lift;
pub mod lift_error;
pub mod lower;
pub mod problem;
mod rough;
mod scalar;
pub mod schema;
pub mod schema_v1;
pub mod shape;
pub mod wire;

/// Largest integer that every JSON reader represents exactly: 2^53 − 1 (RFC 8259 §6).
pub(crate) const SAFE_INTEGER_MAX: i128 = (1 << 53) - 1;
