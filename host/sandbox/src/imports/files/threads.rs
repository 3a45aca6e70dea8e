//! Blocking threads for one plugin's folders. A disk that hangs, or a file that another process holds up, blocks only
//! plugins that are granted it.

use std::io;
use std::pin::pin;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use toolgate_policy::limits::call::FILES_THREADS;

/// Threads of one plugin, started on demand.
pub(super) struct Threads {
    handle: Handle,
    /// Runtime used for blocking tasks only.
    runtime: Option<Runtime>,
}

impl Threads {
    pub(super) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(FILES_THREADS).thread_name("files").build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a closure that may block.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn_blocking(work)
    }

    /// Runs a future of the engine's library, which spawns blocking tasks on the current runtime.
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
        // A blocked thread may never return, and a runtime must not be dropped blockingly in async code.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
