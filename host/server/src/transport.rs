//! How messages arrive: Streamable HTTP and stdio. Sizes, times, origins and the strictness of messages are settled here,
//! before the protocol's library sees anything. Who calls is found out elsewhere.

pub(crate) mod envelope;
mod guard;
pub(crate) mod http;
pub(crate) mod stdio;

use std::sync::Arc;

use toolgate_policy::Principal;
use toolgate_runtime::json::Json;

/// What a message brings besides itself. Travels with it through the protocol's library.
#[derive(Clone)]
pub(crate) struct Inbound {
    /// Who sent it.
    pub(crate) principal: Principal,
    /// The arguments of a `tools/call`, as they were written.
    pub(crate) arguments: Option<Arc<Json>>,
}
