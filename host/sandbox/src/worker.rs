//! Child processes that can be killed at any moment: started with nothing but their arguments, given input, and read up
//! to a size and a deadline. Their code is in `child`. The only module that starts processes.

pub(crate) mod confinement;
pub(crate) mod handle;
pub(crate) mod rlimits;

use std::io::{self, ErrorKind, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

#[derive(Debug, Clone)]
pub(crate) struct ProcessSpec<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<String>,
    /// Bytes for stdin.
    pub(crate) input: &'a [u8],
    /// Maximum bytes on stdout.
    pub(crate) output_bytes_max: u64,
    /// Bytes of stderr that are stored.
    pub(crate) words_bytes_max: u64,
    /// Wall-clock limit.
    pub(crate) time: Duration,
}

#[derive(Debug)]
pub(crate) struct ProcessExit {
    pub(crate) end: End,
    /// Bytes from stdout.
    pub(crate) output: Vec<u8>,
    /// Beginning of stderr.
    pub(crate) words: String,
}

/// Cause of a process's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    /// It was killed by this signal, which we did not send.
    Signal(i32),
    /// We killed it at its time limit.
    Time,
    /// We killed it at its output limit.
    Output,
}

/// Runs a process and waits for its end. No process is left when this returns, nor when its thread ends.
pub(crate) fn run(task: &ProcessSpec<'_>) -> io::Result<ProcessExit> {
    let until = Instant::now() + task.time;
    #[expect(clippy::disallowed_methods, reason = "it is started with nothing, and gives up what it has")]
    let mut command = Command::new(task.program);
    let child = command
        .args(&task.args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut child = ChildGuard(child);
    let mut pipes = PipeIo::with(&mut child.0, task)?;
    let cut = pipes.exchange(until)?;
    let end = match cut {
        Some(cut) => cut,
        None => child.end(until)?,
    };
    let words = String::from_utf8_lossy(&pipes.words.bytes).into_owned();
    Ok(ProcessExit { end, output: pipes.output.bytes, words })
}

/// Child process that is killed on drop.
struct ChildGuard(Child);

impl ChildGuard {
    /// Waits for its exit, which is near, since it has closed its output pipes.
    fn end(&mut self, until: Instant) -> io::Result<End> {
        const A_MOMENT: Duration = Duration::from_millis(1);
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(by_itself(status)),
                None if Instant::now() >= until => return Ok(End::Time),
                None => std::thread::sleep(A_MOMENT),
            }
        }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // Once reaped, its process id may be reused.
        if matches!(self.0.try_wait(), Ok(None)) {
            if let Err(error) = kill_process_group(Pid::from_child(&self.0), Signal::KILL) {
                tracing::warn!(%error, "a process of ours cannot be ended");
            }
            drop(self.0.wait());
        }
    }
}

fn by_itself(status: ExitStatus) -> End {
    match status.signal() {
        Some(signal) => End::Signal(signal),
        None => End::Code(status.code().unwrap_or(-1)),
    }
}

/// Pipes of a process, served without blocking on any one.
struct PipeIo<'a> {
    stdin: Option<ChildStdin>,
    input: &'a [u8],
    output: CappedPipe<std::process::ChildStdout>,
    words: CappedPipe<std::process::ChildStderr>,
}

/// Output pipe of a process.
struct CappedPipe<P> {
    pipe: Option<P>,
    bytes: Vec<u8>,
    bytes_max: u64,
}

impl<'a> PipeIo<'a> {
    fn with(child: &mut Child, task: &ProcessSpec<'a>) -> io::Result<Self> {
        let pipes = Self {
            stdin: child.stdin.take(),
            input: task.input,
            output: CappedPipe::to(child.stdout.take(), task.output_bytes_max),
            words: CappedPipe::to(child.stderr.take(), task.words_bytes_max),
        };
        pipes.stdin.as_ref().map(no_waiting).transpose()?;
        pipes.output.pipe.as_ref().map(no_waiting).transpose()?;
        pipes.words.pipe.as_ref().map(no_waiting).transpose()?;
        Ok(pipes)
    }

    /// Exchanges data until both output pipes are closed, or a limit is reached.
    fn exchange(&mut self, until: Instant) -> io::Result<Option<End>> {
        while self.output.pipe.is_some() || self.words.pipe.is_some() {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                return Ok(Some(End::Time));
            };
            self.wait(left)?;
            self.write_input();
            if self.output.read_available()? {
                return Ok(Some(End::Output));
            }
            // Excess stderr is still drained, so that the process is not blocked.
            if self.words.read_available()? {
                self.words.bytes.truncate(usize::try_from(self.words.bytes_max).unwrap_or_default());
            }
        }
        Ok(None)
    }

    /// Waits until a pipe is ready.
    fn wait(&self, left: Duration) -> io::Result<()> {
        let mut ends = Vec::with_capacity(3);
        ends.extend(self.stdin.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        ends.extend(self.output.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        ends.extend(self.words.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut ends, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what stdin accepts now.
    fn write_input(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        match stdin.write(self.input) {
            Ok(count) => self.input = self.input.get(count..).unwrap_or_default(),
            Err(error) if may_go_on(&error) => {}
            // It has closed stdin; its exit shows why.
            Err(_) => self.input = &[],
        }
        if self.input.is_empty() {
            self.stdin = None;
        }
    }
}

impl<P: Read> CappedPipe<P> {
    fn to(pipe: Option<P>, bytes_max: u64) -> Self {
        Self { pipe, bytes: Vec::new(), bytes_max }
    }

    /// Reads what is available; returns whether it is too much.
    fn read_available(&mut self) -> io::Result<bool> {
        const CHUNK_BYTES: u64 = 64 << 10;
        let Some(pipe) = &mut self.pipe else { return Ok(false) };
        let before = self.bytes.len();
        match pipe.take(CHUNK_BYTES).read_to_end(&mut self.bytes) {
            Ok(_) if self.bytes.len() == before => self.pipe = None,
            Ok(_) => {}
            Err(error) if may_go_on(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(self.bytes.len() as u64 > self.bytes_max)
    }
}

fn may_go_on(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn no_waiting(pipe: &impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8]) -> ProcessExit {
        let task = ProcessSpec {
            program: Path::new("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            input,
            output_bytes_max: 1 << 20,
            words_bytes_max: 10,
            time: Duration::from_secs(2),
        };
        run(&task).unwrap()
    }

    #[test]
    fn it_reads_and_writes_more_than_a_pipe_holds_both_ways_at_once() {
        let input: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let ended = sh("cat", &input);
        assert_eq!(ended.end, End::Code(0));
        assert!(ended.output == input);
    }

    #[test]
    fn each_way_it_ends_is_told_apart() {
        assert_eq!(sh("exit 3", b"").end, End::Code(3));
        assert_eq!(sh("kill -9 $$", b"").end, End::Signal(9));
        assert_eq!(sh("yes", b"").end, End::Output);
        assert_eq!(sh("sleep 60", b"").end, End::Time);
        assert_eq!(sh("exec >&- 2>&-; sleep 60", b"").end, End::Time, "it says nothing more and stays");
        assert_eq!(sh("exit 0", &[0; 1 << 20]).end, End::Code(0), "it does not read");
    }

    #[test]
    fn the_beginning_of_its_complaints_is_kept_and_the_rest_does_not_hold_it_up() {
        let ended = sh("yes | head -c 1000000 >&2; echo done", b"");
        assert_eq!((ended.end, ended.output.as_slice()), (End::Code(0), b"done\n".as_slice()));
        assert_eq!(ended.words, "y\ny\ny\ny\ny\n");
    }

    #[test]
    fn what_it_started_ends_with_it() {
        let ended = sh("sleep 61 & echo $!; sleep 61", b"");
        assert_eq!(ended.end, End::Time);
        let pid = String::from_utf8(ended.output).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        let until = Instant::now() + Duration::from_secs(10);
        while !(state().is_empty() || state().contains(") Z")) {
            assert!(Instant::now() < until, "{}", state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
