//! A call as it arrives.

use tokio::time::Instant;
use toolgate_policy::Principal;

use crate::json::Json;
use crate::relay::Relay;
use crate::sandbox::interrupt::Interrupt;

/// Who wants to call what, with what.
pub struct Request {
    /// Who.
    pub principal: Principal,
    /// What they call it.
    pub tool: String,
    /// With what: an object.
    pub arguments: Json,
    /// What ends it early.
    pub interrupt: Interrupt,
    /// Its way to its caller.
    pub relay: Relay,
    /// Whether it is made to see what the plugin asks for; its record says so.
    pub learning: bool,
    /// When it arrived; its deadline counts from here.
    pub arrived: Instant,
}

impl Request {
    /// A call that arrives now.
    pub fn new(principal: Principal, tool: impl Into<String>, arguments: Json, interrupt: Interrupt) -> Self {
        let relay = Relay::default();
        let tool = tool.into();
        Self { principal, tool, arguments, interrupt, relay, learning: false, arrived: Instant::now() }
    }
}
