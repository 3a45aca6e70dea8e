//! A connection below TLS. Every byte read or written counts for what the connection serves at that time: a call, or a
//! request of the host's own. An idle connection may receive nothing.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use toolgate_base::meter::Meter;
use toolgate_policy::limits::http::HTTP_INFORMATIONAL_MAX;

use super::EgressError;
use crate::socket::acknowledge;

/// TCP connection with counted bytes.
pub(super) struct Wire {
    tcp: TcpStream,
    account: Arc<WireAccount>,
}

/// Payer of a connection's bytes, and its state.
pub(super) struct WireAccount(Mutex<State>);

struct State {
    payer: Payer,
    /// The next write is the first of a request: bytes received before it are not a response.
    is_first_write: bool,
    informational: u64,
    broken: Option<Broken>,
}

pub(super) enum Payer {
    /// A call, whose meter bounds the bytes.
    Call(Meter),
    /// The host, with bytes left.
    Host(u64),
    /// None: the connection is idle.
    Nobody,
}

/// Reason that nothing more is read or written.
#[derive(Clone, Copy)]
enum Broken {
    /// A bound was reached.
    Failure(EgressError),
    /// Bytes arrived before a request was sent. Nothing of the request was written.
    Stale,
}

impl WireAccount {
    pub(super) fn new(payer: Payer) -> Arc<Self> {
        let state = State { payer, is_first_write: false, informational: 0, broken: None };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves this call from now on, with a request not written yet. `false` if the connection is broken.
    pub(super) fn serve(&self, meter: &Meter) -> bool {
        let mut state = self.state();
        state.payer = Payer::Call(meter.clone());
        state.informational = 0;
        state.is_first_write = true;
        state.broken.is_none()
    }

    /// Marks the next write as the first of a request.
    pub(super) fn expect_request(&self) {
        self.state().is_first_write = true;
    }

    /// Marks the connection as idle.
    pub(super) fn rest(&self) {
        self.state().payer = Payer::Nobody;
    }

    /// Sets the bytes that the host may move from now on.
    pub(super) fn allow_host(&self, bytes_max: u64) {
        self.state().payer = Payer::Host(bytes_max);
    }

    /// Counts a response of status 1xx.
    pub(super) fn informational(&self) {
        let mut state = self.state();
        state.informational += 1;
        if state.informational > HTTP_INFORMATIONAL_MAX {
            state.broken.get_or_insert(Broken::Failure(EgressError::Protocol));
        }
    }

    /// Error, if a bound was reached.
    pub(super) fn failure(&self) -> Option<EgressError> {
        match self.state().broken {
            Some(Broken::Failure(failure)) => Some(failure),
            Some(Broken::Stale) | None => None,
        }
    }

    /// Whether bytes arrived before the request, which was therefore not sent.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self.state().broken, Some(Broken::Stale))
    }

    /// Counts bytes moved.
    fn count(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.state();
        let bytes = bytes as u64;
        let counted = match &mut state.payer {
            Payer::Call(meter) => meter.http_bytes(bytes).map_err(|_| EgressError::Size),
            Payer::Host(left) => left.checked_sub(bytes).map(|rest| *left = rest).ok_or(EgressError::Size),
            Payer::Nobody if bytes == 0 => Ok(()),
            Payer::Nobody => Err(EgressError::Protocol),
        };
        counted.map_err(|failure| {
            state.broken.get_or_insert(Broken::Failure(failure));
            io::Error::other(failure)
        })
    }

    fn check(&self) -> io::Result<()> {
        match self.state().broken {
            None => Ok(()),
            Some(Broken::Failure(failure)) => Err(io::Error::other(failure)),
            Some(Broken::Stale) => Err(io::Error::other("something came before the request was sent")),
        }
    }
}

impl Wire {
    pub(super) fn new(tcp: TcpStream, account: Arc<WireAccount>) -> Self {
        Self { tcp, account }
    }

    /// Whether nothing is unread, end of stream included. Asks the kernel, since tokio learns of it a moment later.
    fn is_silent(&self) -> bool {
        loop {
            match recv(&self.tcp, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Ok(_) | Err(_) => return false,
            }
        }
    }

    fn check_write(&self) -> io::Result<()> {
        if std::mem::take(&mut self.account.state().is_first_write) && !self.is_silent() {
            self.account.state().broken.get_or_insert(Broken::Stale);
        }
        self.account.check()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.account.check()?;
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        acknowledge(&self.tcp);
        Poll::Ready(self.account.count(buf.filled().len().saturating_sub(before)))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_write()?;
        let written = std::task::ready!(Pin::new(&mut self.tcp).poll_write(cx, buf))?;
        Poll::Ready(self.account.count(written).map(|()| written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_write()?;
        let written = std::task::ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs))?;
        Poll::Ready(self.account.count(written).map(|()| written))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::net::sockopt::{set_tcp_quickack, tcp_quickack};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use toolgate_policy::address::Host;

    use super::super::connect::connect;
    use super::*;

    /// Checked by the option, which shows whether the kernel delays acknowledgements.
    #[tokio::test]
    async fn what_is_read_is_acknowledged_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (host, address) = (Host::parse("127.0.0.1").unwrap(), listener.local_addr().unwrap());
        let mut peer = connect(&host, None, &[address], &WireAccount::new(Payer::Host(100))).await.unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0, WireAccount::new(Payer::Host(100)));
        for part in ["head", "body"] {
            set_tcp_quickack(&wire.tcp, false).unwrap();
            peer.write_all(part.as_bytes()).await.unwrap();
            let mut read = [0; 4];
            wire.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, part.as_bytes());
            assert!(tcp_quickack(&wire.tcp).unwrap(), "after the {part}");
        }
    }
}
