//! How TCP waits, as it suits requests and answers. What is sent over a connection, and to whom, is not decided here.

use std::os::fd::AsFd;

/// Acknowledges at once what was just read from a TCP connection. Called after every read.
///
/// A peer that writes head and body apart, and has not turned off Nagle's algorithm, sends the body when the head is acknowledged.
/// On a connection that was used before, the system waits with that for 40 ms or more (RFC 1122, section 4.2.3.2), in case there is
/// something to send along.
pub fn acknowledge(stream: impl AsFd) {
    // Nothing is lost where it fails but the time.
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_quickack(stream, true).unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}
