//! How messages arrive: Streamable HTTP and stdio. Sizes, times, origins and the strictness of messages are settled here,
//! before the protocol's library sees anything. Who calls is found out elsewhere.

pub(crate) mod envelope;
mod guard;
pub(crate) mod http;
mod ids;
pub(crate) mod stdio;
