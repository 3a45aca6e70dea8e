//! Background fetches of remote plugins: each source once at a time, a few at once. Fetches that are no longer wanted
//! are cancelled.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use toolgate_base::spec::{PluginSpec, Source};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::FETCHES_AT_ONCE;
use toolgate_signature::anchor::Anchor;
use toolgate_signature::trust::TrustSpec;

/// A fetch. Plugins that want the same share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetch {
    /// Source to fetch from.
    pub(crate) source: Source,
    /// Pinned digest of the bytes.
    pub(crate) pin: Option<Digest>,
    /// Signers whose signatures are looked for.
    pub(crate) signers: Vec<Anchor>,
}

/// Running and waiting fetches.
#[derive(Default)]
pub(crate) struct Fetches(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Fetch>,
    running: Vec<Running>,
    threads: usize,
    /// Next number to identify a running fetch.
    next: u64,
    stopped: bool,
}

struct Running {
    number: u64,
    fetch: Fetch,
    off: CancellationToken,
    /// It was requested again since it began, so the answer of its source may be outdated.
    again: bool,
}

/// A fetch that is to run now.
pub(crate) struct Turn {
    number: u64,
    /// The fetch.
    pub(crate) fetch: Fetch,
    /// Cancels it.
    pub(crate) off: CancellationToken,
}

impl Fetch {
    /// The fetch that a remote plugin needs.
    pub(crate) fn of(wanted: &PluginSpec, trust: &TrustSpec) -> Self {
        Self { source: wanted.source.clone(), pin: wanted.digest, signers: trust.anchors.clone() }
    }

    /// Whether its source may have changed meanwhile.
    fn may_change(&self) -> bool {
        match &self.source {
            Source::Oci { reference, .. } => self.pin.is_none() && !reference.is_by_digest(),
            // New signatures may have been added for the same bytes.
            Source::Https { .. } => true,
            Source::File(_) | Source::Within { .. } => false,
        }
    }
}

impl Fetches {
    /// Sets the wanted fetches. Running ones among them continue; other running ones are cancelled. Returns the number
    /// of threads to start, each of which calls [`Self::next`] until there are none.
    pub(crate) fn want(&self, wanted: Vec<Fetch>) -> usize {
        let mut inner = self.inner();
        if inner.stopped {
            return 0;
        }
        inner
            .running
            .iter()
            .filter(|running| !wanted.contains(&running.fetch))
            .for_each(|running| running.off.cancel());
        let mut waiting = VecDeque::new();
        for fetch in wanted {
            let live = |running: &&mut Running| running.fetch == fetch && !running.off.is_cancelled();
            if let Some(running) = inner.running.iter_mut().find(live) {
                running.again |= fetch.may_change();
            } else if !waiting.contains(&fetch) {
                waiting.push_back(fetch);
            }
        }
        inner.waiting = waiting;
        let more = inner.waiting.len().min(FETCHES_AT_ONCE.saturating_sub(inner.threads));
        inner.threads += more;
        more
    }

    /// Takes the next fetch. Without one the calling thread ends.
    pub(crate) fn next(&self) -> Option<Turn> {
        let mut inner = self.inner();
        let Some(fetch) = inner.waiting.pop_front() else {
            inner.threads = inner.threads.saturating_sub(1);
            return None;
        };
        let (number, off) = (inner.next, CancellationToken::new());
        inner.next += 1;
        inner.running.push(Running { number, fetch: fetch.clone(), off: off.clone(), again: false });
        Some(Turn { number, fetch, off })
    }

    /// Ends a fetch. Returns whether its result is still wanted.
    pub(crate) fn ended(&self, turn: &Turn) -> bool {
        let mut inner = self.inner();
        let at = inner.running.iter().position(|running| running.number == turn.number);
        let Some(running) = at.map(|at| inner.running.swap_remove(at)) else { return false };
        let wanted = !running.off.is_cancelled();
        if wanted && running.again {
            inner.waiting.push_back(running.fetch);
        }
        wanted
    }

    /// Notes that a thread could not be started.
    pub(crate) fn lost(&self) {
        let mut inner = self.inner();
        inner.threads = inner.threads.saturating_sub(1);
    }

    /// Cancels everything, for good.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner();
        inner.stopped = true;
        inner.waiting.clear();
        inner.running.iter().for_each(|running| running.off.cancel());
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use toolgate_policy::load::reference::Reference;

    use super::*;

    fn fetch(text: &str) -> Fetch {
        let source =
            Source::Oci { reference: Reference::parse(text, false).unwrap(), remote: Default::default() };
        Fetch { source, pin: None, signers: Vec::new() }
    }

    #[test]
    fn each_is_fetched_once_at_a_time_and_again_if_it_may_have_changed() {
        let (fetches, a) = (Fetches::default(), fetch("localhost/a:1"));
        assert_eq!(fetches.want(vec![a.clone(), a.clone()]), 1);
        let turn = fetches.next().unwrap();
        assert_eq!(fetches.want(vec![a.clone()]), 0, "it runs already");
        assert!(!turn.off.is_cancelled() && fetches.next().is_none());
        assert!(fetches.ended(&turn), "its result counts");
        fetches.0.lock().unwrap().threads = 1;
        assert_eq!(fetches.next().unwrap().fetch, a, "and it is asked for once more");

        let (fetches, fixed) = (Fetches::default(), fetch(&format!("localhost/a@{}", Digest::of(b""))));
        fetches.want(vec![fixed.clone()]);
        let turn = fetches.next().unwrap();
        fetches.want(vec![fixed]);
        assert!(fetches.ended(&turn) && fetches.next().is_none(), "a digest means the same for ever");
    }

    #[test]
    fn what_nobody_wants_any_more_is_called_off() {
        let (fetches, [a, b]) = (Fetches::default(), ["localhost/a:1", "localhost/b:1"].map(fetch));
        fetches.want(vec![a.clone(), b.clone()]);
        let turns = [fetches.next().unwrap(), fetches.next().unwrap()];
        fetches.want(vec![b.clone()]);
        assert!(turns[0].off.is_cancelled() && !turns[1].off.is_cancelled());
        fetches.want(vec![a.clone(), b]);
        assert_eq!(fetches.next().unwrap().fetch, a, "one that was called off is begun anew");
        assert!(!fetches.ended(&turns[0]) && fetches.ended(&turns[1]));
        fetches.stop();
        assert_eq!(fetches.want(vec![a]), 0);
    }

    #[test]
    fn so_many_are_fetched_at_once_and_the_others_wait() {
        let fetches = Fetches::default();
        let all: Vec<Fetch> = (0..FETCHES_AT_ONCE + 3).map(|n| fetch(&format!("localhost/p{n}:1"))).collect();
        assert_eq!(fetches.want(all.clone()), FETCHES_AT_ONCE);
        let turns: Vec<Turn> = (0..FETCHES_AT_ONCE).map(|_| fetches.next().unwrap()).collect();
        assert_eq!(fetches.want(all), 0, "each thread takes the next when it is done");
        assert!(turns.iter().all(|turn| fetches.ended(turn)));
    }
}
