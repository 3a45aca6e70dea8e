//! Requests between a worker and the server: numbered, in lanes, about handles. No capability is known here.

pub(crate) mod client;
pub(crate) mod gate;
pub(crate) mod lanes;
