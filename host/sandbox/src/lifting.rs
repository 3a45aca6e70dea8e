//! Time at which a call's result is lifted: after its function returns, or at any time from its start if it may return
//! early. Before that the guest only runs allocations for the arguments, of which the minimum number is known.

/// Progress of a call.
#[derive(Default)]
pub(crate) struct Lifting {
    /// Nested host calls: entries into the guest from there are allocations for their results.
    host_calls: u32,
    /// Entries left for allocations of arguments, before the function's own; `None` unless a result is awaited.
    allocations: Option<u64>,
    /// Whether the function may return its result before it ends.
    early: bool,
}

impl Lifting {
    /// Starts the function's call, preceded by at least this many allocations.
    pub(crate) fn begin(&mut self, allocations: u64, early: bool) {
        (self.allocations, self.early) = (Some(allocations), early);
    }

    /// Notes that the guest calls the host, or that the host returns to it.
    pub(crate) fn crossed(&mut self, entering: bool) {
        self.host_calls =
            if entering { self.host_calls.saturating_add(1) } else { self.host_calls.saturating_sub(1) };
    }

    /// Notes an entry into the guest or a return from it. `true` once: when a result may follow from now on.
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
        // Alternating entries and returns: two allocations, the function, and its work after the result.
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
