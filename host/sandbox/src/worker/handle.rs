//! A process of ours that is kept: it is told one thing after another and heard until it ends. It ends with whoever holds it,
//! and with this process. What is said is its user's.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A process that does not outlive this.
pub(crate) struct ChildHandle {
    words: Sender<Words>,
    child: Arc<Mutex<Child>>,
}

/// What is said, and whose turn it is until then.
type Words = (Vec<u8>, Option<OwnedSemaphorePermit>);

impl ChildHandle {
    /// Starts it, with no environment and no descriptor but its pipes. `hear` has a thread of its own until it returns; then
    /// the process is ended. `waiting_max`: how many messages can wait until it reads them.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn start(
        program: &Path,
        args: Vec<String>,
        waiting_max: usize,
        hear: impl FnOnce(ChildStdout) + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, told) = oneshot::channel();
        let program = program.to_owned();
        // Started by the thread that stays with it: the system ends the process when the thread that started it ends.
        let keeper = move || match spawn(&program, &args, waiting_max) {
            Ok((kept, stdout)) => {
                let child = Arc::clone(&kept.child);
                // Whoever wanted it may be gone; then it is ended at once.
                drop(tell.send(Ok(kept)));
                hear(stdout);
                bury(&child);
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        std::thread::Builder::new().name("worker".to_owned()).spawn(keeper)?;
        told.await.map_err(io::Error::other)?
    }

    /// Tells it something, without waiting until it listens. Whoever talks bounds how much there is to say: a turn is given
    /// back when this is the next to be said. A process for which more waits than there can be is ended.
    pub(crate) fn say(&self, words: Vec<u8>, turn: Option<OwnedSemaphorePermit>) {
        // It may have ended; then nobody answers, and that is noticed.
        if let Err(TrySendError::Full(_)) = self.words.try_send((words, turn)) {
            tracing::error!("more waits for a worker than its calls can have it told; it is ended");
            self.end();
        }
    }

    /// Ends it, whatever it does.
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

/// Says everything in its turn. It ends with the process or with who talks.
fn pass_on(mut heard: Receiver<Words>, mut stdin: ChildStdin) {
    while let Some((words, turn)) = heard.blocking_recv() {
        // Not after: whoever has been told may ask again before this thread goes on.
        drop(turn);
        if stdin.write_all(&words).is_err() {
            return;
        }
    }
}

/// Its number is its own as long as nobody has waited for it, and that is done under the same lock.
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
