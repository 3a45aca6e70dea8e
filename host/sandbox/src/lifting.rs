//! When a call's answer is lifted: after its function has returned, or from its beginning on if it may answer earlier. What
//! runs in the guest before that are its allocations for the arguments, of which the fewest that there can be are known.

/// How far a call is.
#[derive(Default)]
pub(crate) struct Lifting {
    /// Host calls that the guest is in: what is entered from there is an allocation for their results.
    host_calls: u32,
    /// Entries that are allocations for the arguments, before the function's own; nothing where no answer is waited for.
    allocations: Option<u64>,
    /// The function may answer before it returns.
    early: bool,
}

impl Lifting {
    /// The function is called now, with so many allocations before it at the least.
    pub(crate) fn begin(&mut self, allocations: u64, early: bool) {
        (self.allocations, self.early) = (Some(allocations), early);
    }

    /// The guest calls the host, or the host goes back to it.
    pub(crate) fn crossed(&mut self, entering: bool) {
        self.host_calls =
            if entering { self.host_calls.saturating_add(1) } else { self.host_calls.saturating_sub(1) };
    }

    /// The host entered the guest, or came back from there: whether from now on there may be an answer. Said once.
    pub(crate) fn is_due(&mut self, entering: bool) -> bool {
        if entering != self.early || self.host_calls > 0 {
            return false;
        }
        match self.allocations {
            Some(0) => {
                self.allocations = None;
                true
            }
            Some(left) => {
                self.allocations = Some(left - 1);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_due_after_the_allocations_and_once() {
        let mut lifting = Lifting::default();
        assert!(!lifting.is_due(false), "what runs when a guest is made gives no answer");
        // Entered, returned, and so on: two allocations, the function, and what it does after its answer.
        let hooks = [true, false].into_iter().cycle().take(8);
        for (early, due_at) in [(false, 5), (true, 4)] {
            lifting.begin(2, early);
            let due: Vec<usize> = hooks
                .clone()
                .enumerate()
                .filter_map(|(at, entering)| lifting.is_due(entering).then_some(at))
                .collect();
            assert_eq!(due, [due_at]);
        }
    }

    #[test]
    fn allocations_for_what_the_host_gives_back_are_no_end_of_the_function() {
        let mut lifting = Lifting::default();
        lifting.begin(0, false);
        lifting.crossed(true);
        assert!(!lifting.is_due(false));
        lifting.crossed(false);
        assert!(lifting.is_due(false));
    }
}
