//! A call as it arrives.

use std::net::IpAddr;

use tokio::time::Instant;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::Json;
use toolgate_base::relay::Relay;
use toolgate_policy::Principal;
use toolgate_policy::call::Transport;

use crate::large::{Large, LargeMessage, WorkError};
use crate::quota::QuotaError;
use crate::turns::Caller;

/// One call of a tool.
pub struct Request {
    /// Principal that makes the call.
    pub principal: Principal,
    /// Caller for fair scheduling: by default the principal.
    pub caller: Caller,
    /// Requested name of the tool.
    pub tool: String,
    /// Arguments, an object.
    pub arguments: Arguments,
    /// Switch that ends the call early.
    pub interrupt: Interrupt,
    /// Channel for progress reports to the caller.
    pub relay: Relay,
    /// Whether the call is a probe for the capabilities that the plugin requests; its record notes it.
    pub learning: bool,
    /// Way on which it arrived.
    pub transport: Transport,
    /// Address of its sender, where it arrived over a network.
    pub source: Option<IpAddr>,
    /// Time of arrival, from which its deadline counts.
    pub arrived: Instant,
}

impl Request {
    /// Creates a call that arrives now.
    pub fn new(
        principal: Principal,
        tool: impl Into<String>,
        arguments: impl Into<Arguments>,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            caller: Caller::new(principal.tenant().clone(), principal.to_string(), 0),
            principal,
            tool: tool.into(),
            arguments: arguments.into(),
            interrupt,
            relay: Relay::default(),
            learning: false,
            transport: Transport::Http,
            source: None,
            arrived: Instant::now(),
        }
    }
}

/// Arguments of a call. Large ones were admitted, and are processed and dropped by the threads for large messages.
pub struct Arguments {
    /// Present until they are used for the last time.
    json: Option<Json>,
    admitted: Option<LargeMessage>,
    /// Reason why they cannot be read, if so.
    unreadable: Option<String>,
}

impl From<Json> for Arguments {
    fn from(json: Json) -> Self {
        Self { json: Some(json), admitted: None, unreadable: None }
    }
}

impl Arguments {
    /// Makes arguments that cannot be read. The call is recorded and ends in a fault with this reason.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self { json: None, admitted: None, unreadable: Some(why.into()) }
    }

    /// Reason why they cannot be read, if so.
    pub(crate) fn why_unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// Makes arguments of a large message, which take `held_bytes` bytes now.
    ///
    /// # Errors
    /// [`QuotaError`] if that exceeds the quota.
    pub fn large(json: Json, held_bytes: usize, admitted: LargeMessage) -> Result<Self, QuotaError> {
        let mut arguments = Self { json: Some(json), admitted: Some(admitted), unreadable: None };
        // On failure the drop of `arguments` disposes of them as large ones.
        arguments.admitted.as_mut().map_or(Ok(()), |admitted| admitted.resize(held_bytes))?;
        Ok(arguments)
    }

    /// Whether they arrived in a large message, or were found to be large.
    pub(crate) fn is_large(&self) -> bool {
        self.admitted.is_some()
    }

    /// Marks them as large.
    pub(crate) fn admit(&mut self, large: &Large, caller: &Caller) -> Result<(), QuotaError> {
        if self.admitted.is_none() {
            let bytes = self.json.as_ref().map_or(0, Json::memory_bytes);
            self.admitted = Some(large.admit(caller, bytes)?);
        }
        Ok(())
    }

    /// Applies a function to them.
    pub(crate) async fn look<T: Send + 'static>(
        &mut self,
        caller: &Caller,
        look: impl FnOnce(&Json) -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let json = self.json.take().ok_or(WorkError)?;
        let Some(admitted) = &self.admitted else {
            let seen = look(&json);
            self.json = Some(json);
            return Ok(seen);
        };
        let work = move || {
            let seen = look(&json);
            (seen, json)
        };
        let (seen, json) = admitted.large().run(caller, work).await?;
        self.json = Some(json);
        Ok(seen)
    }

    /// Disposes of them after their last use. Large ones stay admitted until this is dropped.
    pub(crate) fn forget(&mut self) {
        let Some(admitted) = &mut self.admitted else {
            self.json = None;
            return;
        };
        admitted.is_worked_on();
        admitted.large().dispose(self.json.take());
    }
}

impl Drop for Arguments {
    fn drop(&mut self) {
        if let (Some(json), Some(admitted)) = (self.json.take(), &self.admitted) {
            admitted.large().dispose(json);
        }
    }
}
