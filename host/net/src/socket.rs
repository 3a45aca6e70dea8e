//! TCP acknowledgement behaviour for request/response traffic.

use std::os::fd::AsFd;

/// Acknowledges data just read from a TCP connection at once. Call it after every read.
///
/// A peer that writes head and body separately with Nagle's algorithm on sends the body only when the head is
/// acknowledged. On a reused connection the kernel may delay that by 40 ms or more (RFC 1122, section 4.2.3.2), to
/// piggyback it on data.
pub fn acknowledge(stream: impl AsFd) {
    // A failure costs only time.
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_quickack(stream, true).unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}
