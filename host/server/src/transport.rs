//! Transports: Streamable HTTP and stdio. Sizes, times, origins and message syntax are checked here, before the
//! protocol library sees anything. Authentication is in `auth`.

pub(crate) mod certificates;
pub(crate) mod envelope;
mod guard;
pub(crate) mod http;
mod ids;
pub(crate) mod stdio;
