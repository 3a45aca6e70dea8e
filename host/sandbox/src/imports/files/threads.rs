//! The threads on which one plugin waits for its folders. They are its own: a disk that does not answer, or a file that
//! somebody holds back, keeps those waiting that are granted it and nobody else.

use std::io;
use std::pin::pin;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use toolgate_policy::limits::call::FILES_THREADS;

/// The threads of one plugin, each started when it is needed.
pub(super) struct Threads {
    handle: Handle,
    /// Nothing runs on it but what may wait.
    runtime: Option<Runtime>,
}

impl Threads {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(FILES_THREADS).thread_name("files").build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Does something that may wait.
    pub(super) fn spawn<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(act)
    }

    /// Does what the engine's library does, which lets it wait on a thread of whichever runtime it finds itself in.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            let _inside = self.handle.enter();
            work.as_mut().poll(cx)
        })
        .await
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // What waits may wait for ever, and waiting for it is not allowed where this may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
