//! Authentication: bearer tokens (RFC 6750, RFC 9068, RFC 8725) and API keys become principals here, and nowhere else. Clock and
//! fetching are handed in; this crate opens no connection, reads no file and has no server.
//!
//! A credential is read by [`bearer`], verified by [`jwt`] with the keys of [`keys`], or by [`apikey`], and remembered by
//! [`cache`]. [`authenticator`] joins them; [`challenge`] says what a client is answered.

#![forbid(unsafe_code)]
// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod apikey;
mod apikey_row;
pub mod authenticated;
pub mod authenticator;
pub mod bearer;
mod cache;
pub mod challenge;
pub mod claim_path;
mod claims;
pub mod discovery;
pub mod explain;
mod failures;
pub mod fetch;
mod identity;
pub mod issuer;
pub mod jwks;
mod jwt;
pub mod keys;
pub mod local;
pub mod profile;
pub mod scope;
mod settings;
mod supposed;
mod token;

pub use authenticated::{Authenticated, CredentialId};
pub use authenticator::{AuthSettings, Authenticator};
pub use explain::{AuthError, AuthFailure, AuthStep};
pub use supposed::supposed;

#[cfg(test)]
mod attacks_tests;
#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod testing;
