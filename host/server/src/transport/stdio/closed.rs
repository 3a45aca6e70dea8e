//! Whether the client has closed stdin, also where much of what it wrote there is not read yet.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Beside the end of a pipe, which is always told: the end of what a socket brings. Clients in Node use sockets.
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

/// Nothing is read. Where the system does not say, it is open: the end comes with the last line then.
fn is_closed() -> bool {
    let stdin = rustix::stdio::stdin();
    let mut waited = [PollFd::new(&stdin, WRITTEN_OFF)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut waited, Some(&at_once)).is_ok()
        && waited.iter().any(|it| it.revents().intersects(PollFlags::HUP | WRITTEN_OFF))
}
