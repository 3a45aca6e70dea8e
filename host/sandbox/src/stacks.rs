//! Stacks held by one call. On the asynchronous engine, each component instance that waits in a synchronous call keeps
//! a stack of the pool until it resumes. Others of the same call run meanwhile on stacks of their own.

/// Stacks on which a guest runs or waits, identified by the address of its first entry.
pub(crate) struct Stacks {
    max: usize,
    held: Vec<Stack>,
    peak: usize,
}

/// A stack with guest code on it.
struct Stack {
    /// Address on the stack of the first entry into the guest.
    top: usize,
    /// Entries into the guest that have not returned; nested ones are allocations for results of the host and the like.
    entries: u32,
}

/// Limit on stacks exceeded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Entries closer together than this are on one stack: a guest has half of it, and stacks are at least twice as large.
const ONE_STACK_BYTES: usize = 1 << 20;

impl Stacks {
    /// Creates the count for a call that may hold `max` stacks.
    pub(crate) fn new(max: u64) -> Self {
        Self { max: usize::try_from(max).unwrap_or(usize::MAX), held: Vec::new(), peak: 0 }
    }

    /// Notes an entry into the guest at this stack address. Returns the number of stacks if it is a new peak, else 0.
    pub(crate) fn entered(&mut self, at: usize) -> Result<usize, Full> {
        if let Some(held) = self.at(at) {
            held.entries = held.entries.saturating_add(1);
            return Ok(0);
        }
        if self.held.len() >= self.max {
            return Err(Full);
        }
        self.held.push(Stack { top: at, entries: 1 });
        let is_peak = self.held.len() > self.peak;
        self.peak = self.peak.max(self.held.len());
        Ok(if is_peak { self.peak } else { 0 })
    }

    /// Notes the guest's return to the address of an entry.
    pub(crate) fn returned(&mut self, at: usize) {
        if let Some(held) = self.at(at) {
            held.entries = held.entries.saturating_sub(1);
        }
        self.held.retain(|held| held.entries > 0);
    }

    /// Peak of stacks held at once.
    #[cfg(test)]
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    fn at(&mut self, at: usize) -> Option<&mut Stack> {
        self.held.iter_mut().find(|held| held.top.abs_diff(at) < ONE_STACK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 2 << 20;

    #[test]
    fn a_stack_counts_once_however_often_the_guest_is_entered_on_it_and_until_it_has_returned() {
        let mut stacks = Stacks::new(2);
        let [one, two, three] = [3, 2, 1].map(|n| n * STACK);
        assert_eq!(stacks.entered(one), Ok(1));
        assert_eq!(stacks.entered(one - 600_000), Ok(0), "deeper on the same");
        assert_eq!(stacks.entered(two - 10_000), Ok(2));
        assert_eq!(stacks.entered(three), Err(Full));
        stacks.returned(one - 600_064);
        assert_eq!(stacks.entered(three), Err(Full), "the first entry has not returned");
        stacks.returned(one - 64);
        assert_eq!(stacks.entered(three), Ok(0), "as many as there were before");
        assert_eq!(stacks.entered(one), Err(Full));
    }
}
