//! A stream that ends when the credential that it was opened with counts no more.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use crate::auth::lease::Lease;

/// A body that ends, as if it were complete, when its lease does.
pub(super) struct Leased {
    body: super::Body,
    over: Option<oneshot::Receiver<()>>,
}

impl Leased {
    /// A body under a lease, or without one.
    pub(super) fn new(body: super::Body, lease: Option<Lease>) -> Self {
        let over = lease.map(|lease| {
            let (mut tell, over) = oneshot::channel();
            tokio::spawn(async move {
                tokio::select! {
                    () = lease.ended() => drop(tell.send(())),
                    () = tell.closed() => {}
                }
            });
            over
        });
        Self { body, over }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.over.as_mut().is_some_and(|over| over.poll_unpin(context).is_ready())
    }
}

impl Body for Leased {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_over(context) {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
