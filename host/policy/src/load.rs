//! May it load, and whose is it? Trust decides about bytes before anything in them is read; clearing decides about what
//! they ask. Reading, verifying signatures and compiling are the runtime's.

pub mod clear;
pub mod grant;
pub mod learn;
pub mod lint;
pub mod manifest;
pub mod role;
pub mod signer;
pub mod trust;

pub use clear::{Clearance, Refusal};
pub use grant::{Effective, Grants};
pub use manifest::Asked;
pub use trust::{Distrust, TrustPolicy, Trusted};
