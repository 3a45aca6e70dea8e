//! Memory of the guest: all memories and tables of a call, and host memory for data that it passes. A refused growth is
//! noted, so that a trap that follows is attributed to that limit.

use toolgate_policy::limits::load::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use wasmtime::ResourceLimiter;

pub(crate) use toolgate_base::meter::account::Refused;
use toolgate_base::meter::account::{Hold, MemoryAccount};

/// Memory of one call; released on drop.
pub(crate) struct Memory {
    account: MemoryAccount,
    bytes: u64,
    refused: Option<Refused>,
    /// Host memory reserved, and whether it is less than requested.
    room: u64,
    is_cramped: bool,
    /// Stacks beyond the first.
    stacks: Vec<Hold>,
}

/// Bytes of host memory per table element.
const TABLE_ELEMENT_BYTES: u64 = 16;

impl Memory {
    pub(crate) fn new(account: MemoryAccount) -> Self {
        Self { account, bytes: 0, refused: None, room: 0, is_cramped: false, stacks: Vec::new() }
    }

    /// Reserves host memory for data that the guest passes, at most `bytes` in total, and returns the total.
    pub(crate) fn make_room(&mut self, bytes: u64) -> u64 {
        let missing = bytes.saturating_sub(self.room);
        let took = self.account.budget().take_some(missing);
        self.room += took;
        self.is_cramped = took < missing;
        self.room
    }

    /// Reserves a stack of this many bytes until the call has ended.
    ///
    /// # Errors
    /// [`Refused::Budget`].
    pub(crate) fn hold_stack(&mut self, bytes: u64) -> Result<(), Refused> {
        self.stacks.push(self.account.hold_beside(bytes)?);
        Ok(())
    }

    /// Whether less host memory is reserved than requested.
    pub(crate) fn is_cramped(&self) -> bool {
        self.is_cramped
    }

    /// Limit that refused a growth, if any.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn grow(&mut self, by: u64) -> bool {
        match self.account.take(by) {
            Ok(()) => {
                self.bytes += by;
                true
            }
            Err(refused) => {
                self.refused = Some(refused);
                false
            }
        }
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
        // A pool slot is as large as the maximum limit, so only a module's own maximum is reached here.
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
        self.account.give_back(self.bytes);
        self.account.budget().give_back(self.room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolgate_base::meter::account::Budget;

    #[test]
    fn memories_and_tables_are_summed_and_the_limit_is_exact() {
        let account = MemoryAccount::new(&Budget::new(u64::MAX), 1_000);
        let mut memory = Memory::new(account.clone());
        assert!(memory.grow(600) && memory.grow(400));
        assert!(!memory.grow(1));
        assert_eq!((memory.refused(), account.peak_bytes()), (Some(Refused::Limit), 1_000));
    }

    #[test]
    fn calls_share_a_budget_and_give_back_what_they_took() {
        let budget = Budget::new(1_000);
        let mut one = Memory::new(MemoryAccount::new(&budget, 1_000));
        let mut two = Memory::new(MemoryAccount::new(&budget, 1_000));
        assert!(one.grow(700));
        assert!(!two.grow(400));
        assert_eq!(two.refused(), Some(Refused::Budget));
        drop(one);
        assert!(two.grow(1_000));
    }

    #[test]
    fn room_in_the_host_is_of_the_same_budget_and_never_all_that_is_left() {
        let budget = Budget::new(1_000);
        let account = MemoryAccount::new(&budget, 1_000);
        let mut one = Memory::new(account.clone());
        let mut two = Memory::new(MemoryAccount::new(&budget, 1_000));
        assert_eq!((one.make_room(100), one.is_cramped()), (100, false));
        assert_eq!((one.make_room(400), one.is_cramped()), (400, false), "in all");
        assert_eq!((two.make_room(400), two.is_cramped()), (300, true));
        assert!(!two.grow(301) && two.grow(300));
        assert_eq!(account.peak_bytes(), 0, "it is not the guest's");
        drop(one);
        drop(two);
        let all = MemoryAccount::new(&budget, 0);
        assert_eq!(Memory::new(all).make_room(2_000), 500, "all of it came back");
    }

    #[test]
    fn stacks_are_of_the_budget_of_all_calls_and_come_back_with_their_call() {
        let budget = Budget::new(1_000);
        let mut memory = Memory::new(MemoryAccount::new(&budget, 0));
        assert!(memory.hold_stack(600).is_ok());
        assert_eq!(memory.hold_stack(600), Err(Refused::Budget));
        drop(memory);
        assert!(budget.take(1_000));
    }
}
