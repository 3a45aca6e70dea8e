//! WIT values and JSON, both ways: the shape of a function read from the component's bytes, the JSON Schema of that
//! shape, arguments from JSON, results to JSON. Schema and lowering are two views of one shape, so that what the schema
//! accepts is what lowers.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod clients;
pub mod compiled;
pub(crate) mod content;
pub mod cost;
pub mod deferred;
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

/// The largest integer that every JSON reader keeps exactly: 2^53 − 1 (RFC 8259 §6).
pub(crate) const SAFE_INTEGER_MAX: i128 = (1 << 53) - 1;
