//! A child process that lives as long as its handle, and no longer than this process. It is written one frame after another, and read
//! until it ends.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Child process that is killed on drop.
pub(crate) struct ChildHandle {
    frames: Sender<PendingFrame>,
    child: Arc<Mutex<Child>>,
}

/// A frame, and a place that is taken until it is the next to be written.
type PendingFrame = (Vec<u8>, Option<OwnedSemaphorePermit>);

impl ChildHandle {
    /// Starts a process without environment or descriptors except its pipes. `read_loop` runs on its own thread; when it
    /// returns, the process is killed. `waiting_max` bounds the messages queued for it.
    pub(crate) async fn start(
        program: &Path,
        args: Vec<String>,
        waiting_max: usize,
        read_loop: impl FnOnce(ChildStdout) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, started) = oneshot::channel();
        let program = program.to_owned();
        // Started by the thread that stays with it: the system ends the process when the thread that started it ends.
        let supervisor = move || match spawn(&program, &args, waiting_max) {
            Ok((handle, stdout)) => {
                let child = Arc::clone(&handle.child);
                // Whoever wanted it may be gone; then it is ended at once.
                drop(sender.send(Ok(handle)));
                read_loop(stdout);
                reap(&child);
            }
            Err(error) => drop(sender.send(Err(error))),
        };
        std::thread::Builder::new().name("worker".to_owned()).spawn(supervisor)?;
        started.await.map_err(io::Error::other)?
    }

    /// Sends it a frame, without waiting until it reads. `place` is given back when the frame is the next to be written. A process for
    /// which more frames wait than there can be is ended.
    pub(crate) fn send(&self, frame: Vec<u8>, place: Option<OwnedSemaphorePermit>) {
        // It may have ended; then there is no answer, and that is noticed.
        if let Err(TrySendError::Full(_)) = self.frames.try_send((frame, place)) {
            tracing::error!("more waits for a worker than its calls can have; it is ended");
            self.end();
        }
    }

    /// Kills the process.
    pub(crate) fn end(&self) {
        end(&self.child);
    }
}

impl Drop for ChildHandle {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(program: &Path, args: &[String], waiting_max: usize) -> io::Result<(ChildHandle, ChildStdout)> {
    #[expect(clippy::disallowed_methods, reason = "it is started with nothing, and gives up what it has")]
    let mut command = Command::new(program);
    let mut child = command
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let child = Arc::new(Mutex::new(child));
    let (frames, pending) = channel(waiting_max);
    let handle = ChildHandle { frames, child };
    let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
    std::thread::Builder::new().name("worker-in".to_owned()).spawn(move || write_loop(pending, stdin))?;
    Ok((handle, stdout))
}

/// Writes all frames in their order. It ends with the process or with its handle.
fn write_loop(mut pending: Receiver<PendingFrame>, mut stdin: ChildStdin) {
    while let Some((frame, place)) = pending.blocking_recv() {
        // Not after: whoever has read it may make the next request before this thread goes on.
        drop(place);
        if stdin.write_all(&frame).is_err() {
            return;
        }
    }
}

/// Its process id cannot be reused before it is reaped, which happens under the same lock.
fn end(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = child.kill() {
        tracing::warn!(%error, "a worker cannot be ended");
    }
}

fn reap(child: &Mutex<Child>) {
    end(child);
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    match child.wait() {
        Ok(status) => tracing::debug!(pid = child.id(), %status, "a worker has ended"),
        Err(error) => tracing::warn!(%error, "a worker cannot be waited for"),
    }
}
