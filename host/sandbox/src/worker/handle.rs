//! Long-running child process: receives messages and is read until it ends. It ends with its handle and with this
//! process. The protocol is its user's.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Child process that is killed on drop.
pub(crate) struct ChildHandle {
    words: Sender<Words>,
    child: Arc<Mutex<Child>>,
}

/// Message, and the turn of its sender until it is written.
type Words = (Vec<u8>, Option<OwnedSemaphorePermit>);

impl ChildHandle {
    /// Starts a process without environment or descriptors except its pipes. `hear` runs on its own thread; when it
    /// returns, the process is killed. `waiting_max` bounds the messages queued for it.
    pub(crate) async fn start(
        program: &Path,
        args: Vec<String>,
        waiting_max: usize,
        hear: impl FnOnce(ChildStdout) + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, told) = oneshot::channel();
        let program = program.to_owned();
        // Spawned by the thread that stays with it: the kernel kills the process when the thread that spawned it ends.
        let keeper = move || match spawn(&program, &args, waiting_max) {
            Ok((kept, stdout)) => {
                let child = Arc::clone(&kept.child);
                // If the receiver is gone, the handle is dropped here, which kills it.
                drop(tell.send(Ok(kept)));
                hear(stdout);
                bury(&child);
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        std::thread::Builder::new().name("worker".to_owned()).spawn(keeper)?;
        told.await.map_err(io::Error::other)?
    }

    /// Queues a message without waiting. Callers bound their messages by turns; a turn is released when its message is
    /// next to be written. If the queue is full, the process is killed.
    pub(crate) fn say(&self, words: Vec<u8>, turn: Option<OwnedSemaphorePermit>) {
        // If it has ended, no response arrives, which callers notice.
        if let Err(TrySendError::Full(_)) = self.words.try_send((words, turn)) {
            tracing::error!("more waits for a worker than its calls can have it told; it is ended");
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
    let (words, heard) = channel(waiting_max);
    let kept = ChildHandle { words, child };
    let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
    std::thread::Builder::new().name("worker-in".to_owned()).spawn(move || pass_on(heard, stdin))?;
    Ok((kept, stdout))
}

/// Writes queued messages until the process or the handle is gone.
fn pass_on(mut heard: Receiver<Words>, mut stdin: ChildStdin) {
    while let Some((words, turn)) = heard.blocking_recv() {
        // Not after writing: the reader may send its next request before this thread continues.
        drop(turn);
        if stdin.write_all(&words).is_err() {
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

fn bury(child: &Mutex<Child>) {
    end(child);
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    match child.wait() {
        Ok(status) => tracing::debug!(pid = child.id(), %status, "a worker has ended"),
        Err(error) => tracing::warn!(%error, "a worker cannot be waited for"),
    }
}
