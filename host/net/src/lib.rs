//! Every connection that the host makes by HTTP: what guests ask for under their grants ([`egress`]), and files of the operator's from
//! URLs and registries ([`remote`]).

// A number that another type cannot hold is not cut short unseen.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod egress;
pub mod published;
pub mod remote;
pub mod socket;
