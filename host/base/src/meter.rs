//! Usage of a call, and the only code that decides when a limit is reached. The engine counts instructions. Work that
//! the host does for a guest is a debt in fuel, checked whenever the guest enters or leaves the host.

pub mod account;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use toolgate_policy::limits::call::{CallLimit, CallLimits, HOST_CALL_FUEL, SOCKET_FUEL};

use account::{Hold, MemoryAccount, Refused};

/// Reason that the host ends a call. Passed through the engine as the error of a host call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// A limit was reached.
    #[error("met its limit {}", .0.name())]
    Limit(CallLimit),
    /// The memory budget of all calls is used up.
    #[error("met the memory for all calls")]
    Budget,
    /// The guest exited.
    #[error("ended the program with status {0}")]
    Exit(u8),
    /// The guest used what its grant denies.
    #[error("{0}")]
    Grant(String),
}

impl StopError {
    /// Name sent to a worker, for reasons that the host itself finds.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::Limit(limit) => Some(limit.name()),
            Self::Budget => Some(BUDGET),
            Self::Exit(_) | Self::Grant(_) => None,
        }
    }

    /// Parses a name.
    pub fn from_word(word: &str) -> Option<Self> {
        if word == BUDGET { Some(Self::Budget) } else { CallLimit::from_name(word).map(Self::Limit) }
    }
}

/// Name of [`StopError::Budget`]; no limit has this name.
const BUDGET: &str = "budget";

impl From<Refused> for StopError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit => Self::Limit(CallLimit::Memory),
            Refused::Budget => Self::Budget,
        }
    }
}

/// Meter of one call. Clones share it: a body that is still arriving counts for the call it belongs to.
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

    /// Time by which the call must have ended.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// Memory account of the call.
    pub fn account(&self) -> &MemoryAccount {
        &self.0.account
    }

    /// Reserves host memory for the guest, counted against the call's limit.
    ///
    /// # Errors
    /// The limit reached; the call then ends.
    pub fn hold(&self, bytes: u64) -> Result<Hold, StopError> {
        self.0.account.hold(bytes).map_err(|refused| self.refused(refused))
    }

    /// Grows a reservation.
    ///
    /// # Errors
    /// The limit reached; the call then ends.
    pub fn hold_more(&self, hold: &mut Hold, bytes: u64) -> Result<(), StopError> {
        hold.grow(bytes).map_err(|refused| self.refused(refused))
    }

    fn refused(&self, refused: Refused) -> StopError {
        let stop = StopError::from(refused);
        self.stop(stop.clone());
        stop
    }

    /// Fuel charged for the host's work for the guest.
    pub fn debt(&self) -> u64 {
        self.0.debt.load(Ordering::Relaxed)
    }

    /// Checks the call when the guest enters or leaves the host with `fuel_left`.
    ///
    /// # Errors
    /// Reason that the call ends here.
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

    /// Adds to the debt, for bytes moved or work done.
    pub fn charge(&self, fuel: u64) {
        self.0.debt.fetch_add(fuel, Ordering::Relaxed);
    }

    /// Ends the call at its next crossing. Only the first reason counts.
    pub fn stop(&self, stop: StopError) {
        self.0.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
    }

    /// Counts one outbound request.
    ///
    /// # Errors
    /// The limit, when exceeded; the call then ends.
    pub fn http_request(&self) -> Result<(), StopError> {
        self.count(&self.0.http_requests, 1, CallLimit::HttpRequests)
    }

    /// Counts bytes of outbound HTTP connections, in either direction. They move while the guest waits, so its fuel is
    /// checked here too.
    ///
    /// # Errors
    /// The limit, when exceeded; the call then ends.
    pub fn http_bytes(&self, bytes: u64) -> Result<(), StopError> {
        self.charge(bytes);
        self.count(&self.0.http_bytes, bytes, CallLimit::HttpBytes)?;
        if self.debt() >= self.limit(CallLimit::Fuel) {
            self.stop(StopError::Limit(CallLimit::Fuel));
            return Err(StopError::Limit(CallLimit::Fuel));
        }
        Ok(())
    }

    /// Counts one more socket or name lookup.
    ///
    /// # Errors
    /// The limit, when exceeded; the call then ends.
    pub fn socket(&self) -> Result<(), StopError> {
        self.charge(SOCKET_FUEL);
        self.count(&self.0.sockets, 1, CallLimit::Sockets)
    }

    /// Counts bytes over sockets, in either direction.
    ///
    /// # Errors
    /// The limit, when exceeded; the call then ends.
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
