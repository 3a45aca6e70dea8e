//! Decisions about loading. Trust judges bytes before anything in them is parsed; clearing judges the capabilities they
//! request. Reading, verifying signatures and compiling belong to the runtime.

pub mod challenge;
pub mod clear;
mod execution;
pub mod fetch;
pub mod grant;
pub mod identity;
pub mod key_id;
pub mod learn;
pub mod lint;
pub mod manifest;
pub mod pin;
mod provenance;
pub mod reference;
pub mod role;
pub mod signer;
pub mod toolchain;
pub mod trust;

pub use clear::{Clearance, ClearanceError, RefusalError};
pub use execution::{EngineKind, Isolation};
pub use grant::{Effective, Grants};
pub use manifest::RequestedCapabilities;
pub use pin::Pin;
pub use provenance::Provenance;
pub use trust::{TrustError, TrustPolicy, Trusted};
