//! Plain data and counters that the other crates share, and how they open files. Nothing here opens a connection or runs a guest.

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod artifact;
pub mod file;
pub mod interrupt;
pub mod json;
pub mod meter;
pub mod outcome;
pub mod relay;
pub mod secret;
pub mod spec;
