//! Authentication: the only maker of principals. So far every peer that can reach this process is local.

pub(crate) mod local;
