//! A call as it arrives.

use tokio::time::Instant;
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::Json;
use toolgate_base::relay::Relay;
use toolgate_policy::Principal;

use crate::large::{Large, LargeMessage, WorkError};
use crate::quota::QuotaError;
use crate::turns::Caller;

/// Who wants to call what, with what.
pub struct Request {
    /// Who.
    pub principal: Principal,
    /// Whose turn it is: unless told otherwise, the principal's.
    pub caller: Caller,
    /// What they call it.
    pub tool: String,
    /// With what: an object.
    pub arguments: Arguments,
    /// What ends it early.
    pub interrupt: Interrupt,
    /// Its way to its caller.
    pub relay: Relay,
    /// Whether it is made to see what the plugin asks for; its record says so.
    pub learning: bool,
    /// Whether it came over stdio or from the command line, and over no network.
    pub is_local: bool,
    /// When it arrived; its deadline counts from here.
    pub arrived: Instant,
}

impl Request {
    /// A call that arrives now.
    pub fn new(
        principal: Principal,
        tool: impl Into<String>,
        arguments: impl Into<Arguments>,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            caller: Caller::new(principal.to_string(), 0),
            principal,
            tool: tool.into(),
            arguments: arguments.into(),
            interrupt,
            relay: Relay::default(),
            learning: false,
            is_local: false,
            arrived: Instant::now(),
        }
    }
}

/// The arguments of a call. Large ones were admitted, and are worked on and dropped by the threads for large messages.
pub struct Arguments {
    /// There until they are worked on for the last time.
    json: Option<Json>,
    admitted: Option<LargeMessage>,
    /// Why they cannot be read, where that is so.
    unreadable: Option<String>,
}

impl From<Json> for Arguments {
    fn from(json: Json) -> Self {
        Self { json: Some(json), admitted: None, unreadable: None }
    }
}

impl Arguments {
    /// Arguments that cannot be read, and why. The call is recorded, and comes to a fault that says so.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self { json: None, admitted: None, unreadable: Some(why.into()) }
    }

    /// Why they cannot be read, where that is so.
    pub(crate) fn why_unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// Arguments that came in a large message, and take so many bytes now.
    ///
    /// # Errors
    /// [`QuotaError`], when there is no room for as many.
    pub fn large(json: Json, held_bytes: usize, admitted: LargeMessage) -> Result<Self, QuotaError> {
        let mut arguments = Self { json: Some(json), admitted: Some(admitted), unreadable: None };
        // Where this fails they are dropped as large ones are.
        arguments.admitted.as_mut().map_or(Ok(()), |admitted| admitted.resize(held_bytes))?;
        Ok(arguments)
    }

    /// Whether they came in a large message, or were found to be large.
    pub(crate) fn is_large(&self) -> bool {
        self.admitted.is_some()
    }

    /// From now on they are large.
    ///
    /// # Errors
    /// [`QuotaError`], when there is no room for them.
    pub(crate) fn admit(&mut self, large: &Large, caller: &Caller) -> Result<(), QuotaError> {
        if self.admitted.is_none() {
            let bytes = self.json.as_ref().map_or(0, Json::held_bytes);
            self.admitted = Some(large.admit(caller, bytes)?);
        }
        Ok(())
    }

    /// Looks at them.
    ///
    /// # Errors
    /// [`WorkError`].
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

    /// They are not looked at any more. Large ones stay admitted until this is dropped.
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
