//! Idle connections of one rule of one plugin's grant, by host. Their number and time are bounded. Only those whose
//! last response was read to its end without error are stored.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use toolgate_policy::address::Host;
use toolgate_policy::limits::call::{HTTP_AGE_MS, HTTP_IDLE_MAX, HTTP_IDLE_MS};

/// Idle connections of one rule. Scheme, port, certificates and secret are the rule's.
pub(super) struct Idle<C>(Mutex<IdleConnections<C>>);

struct IdleConnections<C> {
    waiting: Vec<Waiting<C>>,
    /// Whether a task removes expired ones.
    swept: bool,
}

struct Waiting<C> {
    host: Host,
    connection: C,
    opened: Instant,
    since: Instant,
}

const IDLE: Duration = Duration::from_millis(HTTP_IDLE_MS);
const AGE: Duration = Duration::from_millis(HTTP_AGE_MS);

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Self(Mutex::new(IdleConnections { waiting: Vec::new(), swept: false }))
    }
}

impl<C> Idle<C> {
    /// Takes the connection to `host` that was idle for the shortest time, with the time it was opened.
    pub(super) fn take(&self, host: &Host, now: Instant) -> Option<(C, Instant)> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.sweep(now);
        let at = pool.waiting.iter().rposition(|waiting| waiting.host == *host)?;
        let Waiting { connection, opened, .. } = pool.waiting.remove(at);
        Some((connection, opened))
    }

    /// Stores a connection, evicting the longest idle one if there are too many. `true`: start a sweeping task.
    fn put(&self, host: Host, connection: C, opened: Instant, now: Instant) -> bool {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.waiting.push(Waiting { host, connection, opened, since: now });
        pool.sweep(now);
        if pool.waiting.len() > HTTP_IDLE_MAX {
            pool.waiting.remove(0);
        }
        !std::mem::replace(&mut pool.swept, true)
    }

    /// Removes expired connections. Returns whether any are left.
    fn sweep(&self, now: Instant) -> bool {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.sweep(now);
        pool.swept = !pool.waiting.is_empty();
        pool.swept
    }
}

impl<C> IdleConnections<C> {
    fn sweep(&mut self, now: Instant) {
        self.waiting.retain(|waiting| {
            now.duration_since(waiting.since) < IDLE && now.duration_since(waiting.opened) < AGE
        });
    }
}

impl<C: Send + 'static> Idle<C> {
    /// Stores a connection for the next request to `host`, and starts a sweeping task on `threads` if there is none.
    pub(super) fn keep(self: &Arc<Self>, threads: &Handle, host: Host, connection: C, opened: Instant) {
        if self.put(host, connection, opened, Instant::now()) {
            threads.spawn(look_after(Arc::downgrade(self)));
        }
    }
}

/// Sweeps until no connection is left, or the plugin is gone.
async fn look_after<C>(idle: Weak<Idle<C>>) {
    loop {
        tokio::time::sleep(IDLE).await;
        match idle.upgrade() {
            Some(idle) if idle.sweep(Instant::now()) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    #[test]
    fn a_connection_waits_for_its_host_and_is_taken_once() {
        let (idle, now) = (Idle::default(), Instant::now());
        assert!(idle.put(host("a.example"), 1, now, now), "somebody must look after the first");
        assert!(!idle.put(host("b.example"), 2, now, now));
        assert_eq!(idle.take(&host("a.example"), now), Some((1, now)));
        assert_eq!(idle.take(&host("a.example"), now), None);
        assert_eq!(idle.take(&host("b.example"), now), Some((2, now)));
        assert!(!idle.sweep(now), "nothing is left to look after");
        assert!(idle.put(host("a.example"), 3, now, now));
    }

    #[test]
    fn no_more_than_so_many_wait_and_the_oldest_goes_first() {
        let (idle, now) = (Idle::default(), Instant::now());
        for n in 0..=HTTP_IDLE_MAX {
            idle.put(host("a.example"), n, now, now);
        }
        let left: Vec<usize> =
            std::iter::from_fn(|| idle.take(&host("a.example"), now)).map(|(n, _)| n).collect();
        assert_eq!(left, (1..=HTTP_IDLE_MAX).rev().collect::<Vec<_>>());
    }

    #[test]
    fn none_waits_too_long_and_none_grows_too_old() {
        let (idle, now) = (Idle::default(), Instant::now());
        let tick = Duration::from_millis(1);
        idle.put(host("a.example"), 1, now, now);
        assert!(idle.sweep(now + IDLE - tick));
        assert!(!idle.sweep(now + IDLE));
        // It expires by age even if used continuously.
        idle.put(host("a.example"), 2, now, now + AGE - tick);
        assert!(idle.take(&host("a.example"), now + AGE - tick).is_some());
        idle.put(host("a.example"), 3, now, now + AGE - tick);
        assert!(idle.take(&host("a.example"), now + AGE).is_none());
        idle.put(host("a.example"), 4, now, now + AGE);
        assert!(idle.take(&host("a.example"), now + AGE).is_none());
    }
}
