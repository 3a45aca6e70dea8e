//! Memory account of one call: bytes that its guest has, and bytes that the host holds for it. They count against the
//! call's own limit and the budget of all calls. Reservations are released when their [`Hold`] is dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory budget of all calls together, in bytes.
pub struct Budget {
    left: AtomicU64,
}

/// Limit that refused a growth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The call's own limit.
    Limit,
    /// The budget of all calls.
    Budget,
}

/// Memory account of one call; clones share it.
#[derive(Clone)]
pub struct MemoryAccount(Arc<Inner>);

struct Inner {
    budget: Arc<Budget>,
    bytes_max: u64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    bytes: u64,
    peak_bytes: u64,
}

/// Reservation of bytes until this is dropped.
#[must_use]
pub struct Hold {
    account: MemoryAccount,
    bytes: u64,
    is_own: bool,
}

impl Budget {
    /// Memory of so many bytes.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes_max) })
    }

    /// Takes bytes; false, and none are taken, when fewer are left.
    pub fn take(&self, bytes: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// Takes up to `bytes`, but at most half of what is left, so that other calls can still get some.
    pub fn take_some(&self, bytes: u64) -> u64 {
        let some = |left: u64| bytes.min(left / 2);
        let took =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left - some(left)));
        took.map_or(0, some)
    }

    /// Gives back bytes that were taken.
    pub fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl MemoryAccount {
    /// Creates the account of a call with a limit of `bytes_max`.
    pub fn new(budget: &Arc<Budget>, bytes_max: u64) -> Self {
        let budget = Arc::clone(budget);
        Self(Arc::new(Inner { budget, bytes_max, counts: Mutex::default() }))
    }

    /// Reserves bytes that count against the call's limit. Refused, it takes nothing.
    pub(crate) fn hold(&self, bytes: u64) -> Result<Hold, Refused> {
        self.take(bytes)?;
        Ok(Hold { account: self.clone(), bytes, is_own: true })
    }

    /// Reserves bytes that another limit of the call bounds: they count against the budget only.
    ///
    /// # Errors
    /// [`Refused::Budget`]; nothing was taken.
    pub fn hold_beside(&self, bytes: u64) -> Result<Hold, Refused> {
        if !self.0.budget.take(bytes) {
            return Err(Refused::Budget);
        }
        Ok(Hold { account: self.clone(), bytes, is_own: false })
    }

    /// Peak of bytes counted against the call's limit.
    pub fn peak_bytes(&self) -> u64 {
        self.counts().peak_bytes
    }

    /// The memory for all calls, of which this account takes.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Takes bytes for the guest.
    ///
    /// # Errors
    /// [`Refused`]; nothing is taken then.
    pub fn take(&self, bytes: u64) -> Result<(), Refused> {
        let mut counts = self.counts();
        let sum = counts.bytes.checked_add(bytes).filter(|sum| *sum <= self.0.bytes_max);
        let sum = sum.ok_or(Refused::Limit)?;
        if !self.0.budget.take(bytes) {
            return Err(Refused::Budget);
        }
        counts.bytes = sum;
        counts.peak_bytes = counts.peak_bytes.max(sum);
        Ok(())
    }

    /// Gives back bytes that the guest had taken.
    pub fn give_back(&self, bytes: u64) {
        let mut counts = self.counts();
        counts.bytes = counts.bytes.saturating_sub(bytes);
        self.0.budget.give_back(bytes);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Reserves more. Refused, it takes nothing.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), Refused> {
        let mut more = if self.is_own { self.account.hold(bytes) } else { self.account.hold_beside(bytes) }?;
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut more.bytes));
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_own {
            self.account.give_back(self.bytes);
        } else {
            self.account.0.budget.give_back(self.bytes);
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({})", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_to_the_call_and_to_all_calls_until_it_is_dropped() {
        let budget = Budget::new(1_000);
        let account = MemoryAccount::new(&budget, 600);
        let mut one = account.hold(400).unwrap();
        assert_eq!(account.hold(201).err(), Some(Refused::Limit));
        assert_eq!(one.grow(201), Err(Refused::Limit));
        one.grow(200).unwrap();
        let beside = account.hold_beside(400).unwrap();
        assert_eq!(account.hold_beside(1).err(), Some(Refused::Budget));
        drop((one, beside));
        assert_eq!((account.hold(100).is_ok(), account.peak_bytes()), (true, 600));
        assert_eq!(account.peak_bytes(), 600);
        assert!(budget.take(1_000), "all of it came back");
    }
}
