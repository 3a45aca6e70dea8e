//! Detects that the client has closed stdin, even while unread data is buffered there.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Interval of polling.
const LOOK: Duration = Duration::from_millis(50);

/// The end of a socket's input, beside that of a pipe, which is always reported. Clients in Node use sockets.
#[cfg(target_os = "linux")]
const WRITTEN_OFF: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const WRITTEN_OFF: PollFlags = PollFlags::empty();

/// Waits until the client has closed stdin.
pub(super) async fn closed() {
    while !is_closed() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Polls without reading. On systems that report nothing, the end only shows after the last line is read.
fn is_closed() -> bool {
    let stdin = rustix::stdio::stdin();
    let mut waited = [PollFd::new(&stdin, WRITTEN_OFF)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut waited, Some(&at_once)).is_ok()
        && waited.iter().any(|it| it.revents().intersects(PollFlags::HUP | WRITTEN_OFF))
}
