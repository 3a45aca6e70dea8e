//! Memory: all memories and tables of a call summed, against its own limit and against what all calls may hold together; and
//! what the host may hold for a call beside them. A refused growth is noted, so that a trap after it is that limit's fault and
//! not a riddle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use toolgate_policy::limits::load::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use wasmtime::ResourceLimiter;

/// Memory for all calls together, in bytes.
pub(crate) struct Budget {
    left: AtomicU64,
}

/// The memory of one call. Gives back what it took when dropped.
pub(crate) struct Memory {
    budget: Arc<Budget>,
    bytes_max: u64,
    bytes: u64,
    peak_bytes: u64,
    refused: Option<Refused>,
    /// Room in the host, and whether it is less than was asked for.
    room: u64,
    is_cramped: bool,
}

/// What a growth met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The call's own limit.
    Limit,
    /// What all calls may hold together.
    Budget,
}

/// What an element of a table takes in the host.
const TABLE_ELEMENT_BYTES: u64 = 16;

impl Budget {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes_max) })
    }

    fn take(&self, bytes: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// So much, but no more than half of what is left: there is always something left for others.
    fn take_some(&self, bytes: u64) -> u64 {
        let some = |left: u64| bytes.min(left / 2);
        let took =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left - some(left)));
        took.map_or(0, some)
    }

    fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Memory {
    pub(crate) fn new(budget: &Arc<Budget>, bytes_max: u64) -> Self {
        let budget = Arc::clone(budget);
        Self { budget, bytes_max, bytes: 0, peak_bytes: 0, refused: None, room: 0, is_cramped: false }
    }

    /// All of it at once, for a call whose growth is watched elsewhere; none if the budget has no room for it.
    pub(crate) fn whole(budget: &Arc<Budget>, bytes: u64) -> Option<Self> {
        let mut memory = Self::new(budget, bytes);
        memory.grow(bytes).then_some(memory)
    }

    /// Takes room in the host for what the guest says, up to so many bytes in all: fewer where all calls together leave
    /// fewer. Says how many there are.
    pub(crate) fn make_room(&mut self, bytes: u64) -> u64 {
        let missing = bytes.saturating_sub(self.room);
        let took = self.budget.take_some(missing);
        self.room += took;
        self.is_cramped = took < missing;
        self.room
    }

    /// Whether there is less room in the host than a call has as a rule.
    pub(crate) fn is_cramped(&self) -> bool {
        self.is_cramped
    }

    /// The most that was held at once, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// What a growth met, if one was refused.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn grow(&mut self, by: u64) -> bool {
        let Some(bytes) = self.bytes.checked_add(by).filter(|bytes| *bytes <= self.bytes_max) else {
            self.refused = Some(Refused::Limit);
            return false;
        };
        if !self.budget.take(by) {
            self.refused = Some(Refused::Budget);
            return false;
        }
        self.bytes = bytes;
        self.peak_bytes = self.peak_bytes.max(bytes);
        true
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow((desired as u64).saturating_sub(current as u64)))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // A slot of the pool is as large as the limit can be, so that only a module's own maximum is met here.
        tracing::debug!(%error, "a memory did not grow");
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = (desired as u64).saturating_sub(current as u64);
        Ok(self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes.saturating_add(self.room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_summed_and_the_limit_is_exact() {
        let budget = Budget::new(u64::MAX);
        let mut memory = Memory::new(&budget, 1_000);
        assert!(memory.grow(600) && memory.grow(400));
        assert!(!memory.grow(1));
        assert_eq!((memory.refused(), memory.peak_bytes()), (Some(Refused::Limit), 1_000));
    }

    #[test]
    fn calls_share_a_budget_and_give_back_what_they_took() {
        let budget = Budget::new(1_000);
        let mut one = Memory::new(&budget, 1_000);
        let mut two = Memory::new(&budget, 1_000);
        assert!(one.grow(700));
        assert!(!two.grow(400));
        assert_eq!(two.refused(), Some(Refused::Budget));
        drop(one);
        assert!(two.grow(1_000));
    }

    #[test]
    fn room_in_the_host_is_of_the_same_budget_and_never_all_that_is_left() {
        let budget = Budget::new(1_000);
        let mut one = Memory::new(&budget, 1_000);
        let mut two = Memory::new(&budget, 1_000);
        assert_eq!((one.make_room(100), one.is_cramped()), (100, false));
        assert_eq!((one.make_room(400), one.is_cramped()), (400, false), "in all");
        assert_eq!((two.make_room(400), two.is_cramped()), (300, true));
        assert!(!two.grow(301) && two.grow(300));
        assert_eq!(one.peak_bytes(), 0, "it is not the guest's");
        drop(one);
        drop(two);
        assert_eq!(Memory::new(&budget, 0).make_room(2_000), 500, "all of it came back");
    }
}
