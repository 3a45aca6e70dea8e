//! Who calls: the only maker of principals. For now everybody who can reach this process is local.

pub(crate) mod local;
