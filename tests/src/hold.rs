//! A web server that delays every request until the test releases it. Calls that wait for it run as long as the test
//! wants, and the test can count concurrent calls without a clock.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::client::PATIENCE;
use crate::web::{Web, respond};

/// The server. Dropping it releases all requests.
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
    /// Number of requests that may still be answered.
    released: usize,
}

impl Default for Holding {
    fn default() -> Self {
        Self::new()
    }
}

impl Holding {
    /// A server that answers no request yet.
    pub fn new() -> Self {
        let inner = Arc::<Inner>::default();
        let of_server = Arc::clone(&inner);
        let web = Web::answering(move |_, to| {
            of_server.pass();
            respond(to, "200 OK", &[], "released");
        });
        Self { web, inner }
    }

    /// Grant that allows requests to it.
    pub fn grant(&self) -> String {
        format!(
            r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {}, private = true }}]"#,
            self.web.address.port()
        )
    }

    /// Arguments for the guest `requesting` to send a request to it.
    pub fn request(&self) -> Value {
        json!({
            "method": "GET", "scheme": "http", "authority": self.web.address.to_string(), "path": "/",
            "headers": [], "body": "",
        })
    }

    /// Number of requests waiting now.
    pub fn waiting(&self) -> usize {
        self.inner.counts().waiting
    }

    /// Largest number of requests that waited at once.
    pub fn most(&self) -> usize {
        self.inner.counts().most
    }

    /// Waits until `count` requests are waiting.
    pub fn wait_for(&self, count: usize) {
        let counts = self.inner.counts();
        let (counts, late) = self
            .inner
            .changed
            .wait_timeout_while(counts, PATIENCE, |counts| counts.waiting != count)
            .unwrap();
        assert!(!late.timed_out(), "{} requests wait, and not {count}", counts.waiting);
    }

    /// Answers `count` requests: waiting ones, or the next to arrive.
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
