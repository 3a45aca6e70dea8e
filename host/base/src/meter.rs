//! What a call has used, and the one place that says when it is enough. Instructions are counted by the engine; what the
//! host does for a guest is a debt kept here and looked at whenever the guest enters or leaves the host.

pub mod account;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use toolgate_policy::limits::call::{CallLimit, CallLimits, HOST_CALL_FUEL, SOCKET_FUEL};

use account::{Hold, MemoryAccount, Refused};

/// Why a call is ended from the host's side. Travels through the engine as the error of a host call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// A limit was met.
    #[error("met its limit {}", .0.name())]
    Limit(CallLimit),
    /// All calls together hold as much as they may.
    #[error("met the memory for all calls")]
    Budget,
    /// The guest ended the program.
    #[error("ended the program with status {0}")]
    Exit(u8),
    /// The guest used what its grant says it may not.
    #[error("{0}")]
    Grant(String),
}

impl StopError {
    /// The word by which a worker is told, if it is one that the host finds.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::Limit(limit) => Some(limit.name()),
            Self::Budget => Some(BUDGET),
            Self::Exit(_) | Self::Grant(_) => None,
        }
    }

    /// What a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        if word == BUDGET { Some(Self::Budget) } else { CallLimit::from_name(word).map(Self::Limit) }
    }
}

/// The word for [`StopError::Budget`]. No limit has this name.
const BUDGET: &str = "budget";

impl From<Refused> for StopError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit => Self::Limit(CallLimit::Memory),
            Refused::Budget => Self::Budget,
        }
    }
}

/// The meter of one call. Clones share it: a body that is still arriving counts on the call it belongs to.
#[derive(Clone)]
pub struct Meter(Arc<Counts>);

struct Counts {
    limits: CallLimits,
    deadline: Instant,
    account: MemoryAccount,
    debt: AtomicU64,
    http_requests: AtomicU64,
    http_bytes: AtomicU64,
    sockets: AtomicU64,
    socket_bytes: AtomicU64,
    stop: Mutex<Option<StopError>>,
}

impl Meter {
    /// A meter on which nothing was used yet.
    pub fn new(limits: CallLimits, deadline: Instant, account: MemoryAccount) -> Self {
        Self(Arc::new(Counts {
            limits,
            deadline,
            account,
            debt: AtomicU64::new(0),
            http_requests: AtomicU64::new(0),
            http_bytes: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            socket_bytes: AtomicU64::new(0),
            stop: Mutex::new(None),
        }))
    }

    /// The value of a limit.
    pub fn limit(&self, limit: CallLimit) -> u64 {
        self.0.limits.get(limit)
    }

    /// When the call must have ended.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// The memory of the call.
    pub fn account(&self) -> &MemoryAccount {
        &self.0.account
    }

    /// Holds bytes for the guest in the host's memory, which count to the call's.
    ///
    /// # Errors
    /// What was met; the call then ends.
    pub fn hold(&self, bytes: u64) -> Result<Hold, StopError> {
        self.0.account.hold(bytes).map_err(|refused| self.refused(refused))
    }

    /// Holds more of the same.
    ///
    /// # Errors
    /// What was met; the call then ends.
    pub fn hold_more(&self, hold: &mut Hold, bytes: u64) -> Result<(), StopError> {
        hold.grow(bytes).map_err(|refused| self.refused(refused))
    }

    fn refused(&self, refused: Refused) -> StopError {
        let stop = StopError::from(refused);
        self.stop(stop.clone());
        stop
    }

    /// Fuel that the host's work for the guest has cost.
    pub fn debt(&self) -> u64 {
        self.0.debt.load(Ordering::Relaxed)
    }

    /// The guest entered or left the host with `fuel_left` in its tank.
    ///
    /// # Errors
    /// Why the call ends here.
    pub fn crossed(&self, entering: bool, fuel_left: u64) -> Result<(), StopError> {
        if entering {
            self.charge(HOST_CALL_FUEL);
        }
        if let Some(stop) = self.0.stop.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(stop);
        }
        if self.debt() >= fuel_left {
            return Err(StopError::Limit(CallLimit::Fuel));
        }
        if Instant::now() >= self.0.deadline {
            return Err(StopError::Limit(CallLimit::Deadline));
        }
        Ok(())
    }

    /// Adds to the debt: bytes moved, or work done.
    pub fn charge(&self, fuel: u64) {
        self.0.debt.fetch_add(fuel, Ordering::Relaxed);
    }

    /// Ends the call at its next crossing. The first reason counts.
    pub fn stop(&self, stop: StopError) {
        self.0.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
    }

    /// One more outbound request.
    ///
    /// # Errors
    /// The limit, when there were enough; the call then ends.
    pub fn http_request(&self) -> Result<(), StopError> {
        self.count(&self.0.http_requests, 1, CallLimit::HttpRequests)
    }

    /// More bytes of connections of outbound HTTP, either way. They move while the guest waits and cannot be stopped, so its
    /// fuel is looked at here as well.
    ///
    /// # Errors
    /// The limit, when there were enough; the call then ends.
    pub fn http_bytes(&self, bytes: u64) -> Result<(), StopError> {
        self.charge(bytes);
        self.count(&self.0.http_bytes, bytes, CallLimit::HttpBytes)?;
        if self.debt() >= self.limit(CallLimit::Fuel) {
            self.stop(StopError::Limit(CallLimit::Fuel));
            return Err(StopError::Limit(CallLimit::Fuel));
        }
        Ok(())
    }

    /// One more socket, or one more name looked up for one.
    ///
    /// # Errors
    /// The limit, when there were enough; the call then ends.
    pub fn socket(&self) -> Result<(), StopError> {
        self.charge(SOCKET_FUEL);
        self.count(&self.0.sockets, 1, CallLimit::Sockets)
    }

    /// More bytes over sockets, either way.
    ///
    /// # Errors
    /// The limit, when there were enough; the call then ends.
    pub fn socket_bytes(&self, bytes: u64) -> Result<(), StopError> {
        self.charge(bytes);
        self.count(&self.0.socket_bytes, bytes, CallLimit::SocketBytes)
    }

    fn count(&self, counter: &AtomicU64, by: u64, limit: CallLimit) -> Result<(), StopError> {
        let before = counter.fetch_add(by, Ordering::Relaxed);
        if before.saturating_add(by) <= self.limit(limit) {
            return Ok(());
        }
        self.stop(StopError::Limit(limit));
        Err(StopError::Limit(limit))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn account() -> MemoryAccount {
        MemoryAccount::new(&account::Budget::new(u64::MAX), u64::MAX)
    }

    fn meter(limit: CallLimit, value: i64) -> Meter {
        let mut limits = CallLimits::default();
        limits.set(limit, value).unwrap();
        Meter::new(limits, Instant::now() + Duration::from_secs(60), account())
    }

    #[test]
    fn work_in_the_host_uses_up_fuel() {
        let meter = meter(CallLimit::Fuel, 10_000);
        assert_eq!(meter.crossed(true, 10_000), Ok(()));
        meter.charge(8_999);
        assert_eq!(meter.crossed(false, 10_000), Ok(()));
        meter.charge(1);
        assert_eq!(meter.crossed(false, 10_000), Err(StopError::Limit(CallLimit::Fuel)));
    }

    #[test]
    fn a_count_ends_the_call_when_it_goes_over_and_not_before() {
        let meter = meter(CallLimit::HttpRequests, 2);
        assert!(meter.http_request().is_ok() && meter.http_request().is_ok());
        assert_eq!(meter.crossed(false, u64::MAX), Ok(()));
        assert!(meter.http_request().is_err());
        assert_eq!(meter.crossed(false, u64::MAX), Err(StopError::Limit(CallLimit::HttpRequests)));
    }

    #[test]
    fn bytes_that_come_while_the_guest_waits_use_up_its_fuel() {
        let meter = meter(CallLimit::Fuel, 10_000);
        assert_eq!(meter.http_bytes(9_999), Ok(()));
        assert_eq!(meter.http_bytes(1), Err(StopError::Limit(CallLimit::Fuel)));
        assert_eq!(meter.crossed(false, u64::MAX), Err(StopError::Limit(CallLimit::Fuel)));
    }

    #[test]
    fn a_deadline_that_has_passed_ends_the_call() {
        let meter = Meter::new(CallLimits::default(), Instant::now(), account());
        assert_eq!(meter.crossed(false, u64::MAX), Err(StopError::Limit(CallLimit::Deadline)));
    }
}
