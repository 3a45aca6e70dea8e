//! Verdicts that are remembered: those that depend on nothing but the rules, the caller and the target.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Digest;
use crate::limits::rules::{MEMO_DECISIONS_MAX, MEMO_PRINCIPALS_MAX};

/// A bounded memory of verdicts `V`, and of what was made of callers, `C`. Whoever has not called for the longest time is
/// forgotten first.
#[derive(Debug)]
pub(super) struct Memo<C, V>(Mutex<Inner<C, V>>);

#[derive(Debug)]
struct Inner<C, V> {
    callers: HashMap<Digest, Known<C, V>>,
    uses: u64,
    verdicts: usize,
}

#[derive(Debug)]
struct Known<C, V> {
    caller: Option<Arc<C>>,
    verdicts: HashMap<u32, V>,
    used: u64,
}

impl<C, V: Clone> Memo<C, V> {
    /// The verdict on a caller and the target of this number.
    pub(super) fn verdict(&self, caller: Digest, target: u32) -> Option<V> {
        self.inner().known(caller)?.verdicts.get(&target).cloned()
    }

    /// Remembers it.
    pub(super) fn remember(&self, caller: Digest, target: u32, verdict: V) {
        let mut inner = self.inner();
        inner.make_room(caller);
        if inner.entry(caller).verdicts.insert(target, verdict).is_none() {
            inner.verdicts += 1;
        }
    }

    /// The caller as something was made of it before, or as `make` makes it now.
    pub(super) fn caller(&self, caller: Digest, make: impl FnOnce() -> Option<C>) -> Option<Arc<C>> {
        if let Some(known) = self.inner().known(caller).and_then(|known| known.caller.clone()) {
            return Some(known);
        }
        let made = Arc::new(make()?);
        let mut inner = self.inner();
        inner.make_room(caller);
        inner.entry(caller).caller = Some(Arc::clone(&made));
        Some(made)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<C, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, V> Inner<C, V> {
    fn known(&mut self, caller: Digest) -> Option<&Known<C, V>> {
        self.uses += 1;
        let known = self.callers.get_mut(&caller)?;
        known.used = self.uses;
        Some(known)
    }

    fn entry(&mut self, caller: Digest) -> &mut Known<C, V> {
        self.uses += 1;
        let used = self.uses;
        let new = || Known { caller: None, verdicts: HashMap::new(), used };
        let known = self.callers.entry(caller).or_insert_with(new);
        known.used = used;
        known
    }

    fn make_room(&mut self, caller: Digest) {
        let is_new = !self.callers.contains_key(&caller);
        let is_full = |inner: &Self| {
            inner.verdicts >= MEMO_DECISIONS_MAX || (is_new && inner.callers.len() >= MEMO_PRINCIPALS_MAX)
        };
        while is_full(self) {
            let oldest = self.callers.iter().min_by_key(|(_, known)| known.used).map(|(digest, _)| *digest);
            let Some(gone) = oldest.and_then(|digest| self.callers.remove(&digest)) else { return };
            self.verdicts -= gone.verdicts.len();
        }
    }
}

impl<C, V> Default for Memo<C, V> {
    fn default() -> Self {
        Self(Mutex::new(Inner { callers: HashMap::new(), uses: 0, verdicts: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    #[test]
    fn no_number_of_callers_grows_it_and_the_oldest_is_forgotten_first() {
        let memo: Memo<(), u8> = Memo::default();
        for number in 0..MEMO_PRINCIPALS_MAX {
            memo.remember(digest(number), 0, 1);
        }
        assert_eq!(memo.verdict(digest(0), 0), Some(1));
        memo.remember(digest(MEMO_PRINCIPALS_MAX), 0, 1);
        assert_eq!(memo.verdict(digest(1), 0), None, "the one that was not used again");
        assert_eq!(memo.verdict(digest(0), 0), Some(1));
        assert_eq!(memo.inner().callers.len(), MEMO_PRINCIPALS_MAX);
    }

    #[test]
    fn no_number_of_targets_grows_it() {
        let memo: Memo<(), u8> = Memo::default();
        for target in 0..150_000 {
            memo.remember(digest(0), target, 1);
        }
        for target in 0..100_000 {
            memo.remember(digest(1), target, 1);
        }
        assert_eq!(memo.inner().verdicts, 100_000);
        assert_eq!(memo.verdict(digest(1), 99_999), Some(1));
    }

    #[test]
    fn a_caller_is_made_once() {
        let memo: Memo<u8, u8> = Memo::default();
        assert_eq!(memo.caller(digest(0), || Some(7)).as_deref(), Some(&7));
        assert_eq!(memo.caller(digest(0), || unreachable!("it is known")).as_deref(), Some(&7));
        assert_eq!(memo.caller(digest(1), || None), None);
    }
}
