//! A web server that keeps every request waiting until the test releases it: a call that waits for it runs for as long as the
//! test wants, and the test knows how many run at once without looking at a clock.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::client::PATIENCE;
use crate::web::{Web, respond};

/// The server. All requests are released when it is dropped.
pub struct Holding {
    web: Web,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    waiting: usize,
    most: usize,
    /// How many requests may still be answered.
    released: usize,
}

impl Default for Holding {
    fn default() -> Self {
        Self::new()
    }
}

impl Holding {
    /// A server that answers nobody yet.
    pub fn new() -> Self {
        let inner = Arc::<Inner>::default();
        let of_server = Arc::clone(&inner);
        let web = Web::answering(move |_, to| {
            of_server.pass();
            respond(to, "200 OK", &[], "released");
        });
        Self { web, inner }
    }

    /// The line of a grant that leads here.
    pub fn grant(&self) -> String {
        format!(
            r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {}, private = true }}]"#,
            self.web.address.port()
        )
    }

    /// The arguments with which the guest `requesting` asks here.
    pub fn request(&self) -> Value {
        json!({
            "method": "GET", "scheme": "http", "authority": self.web.address.to_string(), "path": "/",
            "headers": [], "body": "",
        })
    }

    /// How many requests wait now.
    pub fn waiting(&self) -> usize {
        self.inner.counts().waiting
    }

    /// The largest number of requests that ever waited at the same time.
    pub fn most(&self) -> usize {
        self.inner.counts().most
    }

    /// Waits until so many requests wait here.
    pub fn wait_for(&self, count: usize) {
        let counts = self.inner.counts();
        let (counts, late) = self
            .inner
            .changed
            .wait_timeout_while(counts, PATIENCE, |counts| counts.waiting != count)
            .unwrap();
        assert!(!late.timed_out(), "{} requests wait, and not {count}", counts.waiting);
    }

    /// Answers so many requests: those that wait, or the next that come.
    pub fn release(&self, count: usize) {
        self.inner.counts().released += count;
        self.inner.changed.notify_all();
    }

    /// Answers all requests from now on.
    pub fn release_all(&self) {
        self.inner.counts().released = usize::MAX / 2;
        self.inner.changed.notify_all();
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.release_all();
    }
}

impl Inner {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }

    /// Waits to be released.
    fn pass(&self) {
        let mut counts = self.counts();
        counts.waiting += 1;
        counts.most = counts.most.max(counts.waiting);
        self.changed.notify_all();
        let mut counts = self.changed.wait_while(counts, |counts| counts.released == 0).unwrap();
        counts.released -= 1;
        counts.waiting -= 1;
        self.changed.notify_all();
    }
}
