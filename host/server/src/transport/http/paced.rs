//! Answers over HTTP/2, where a client that does not read stops one stream and not the connection: they are handed over
//! in small parts, and the connection of a client that takes none of a part for too long is closed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use toolgate_policy::limits::wire::H2_PART_BYTES;

/// Parts that were handed over and whose successors were not asked for, by the number of their answer.
#[derive(Debug, Default)]
pub(super) struct HandedOver(Mutex<Parts>);

#[derive(Debug, Default)]
struct Parts {
    last: u64,
    since: HashMap<u64, Instant>,
}

impl HandedOver {
    /// Waits until a part was not taken for `patience`, to a quarter of it.
    pub(super) async fn stalled(&self, patience: Duration) {
        let between = (patience / 4).max(Duration::from_millis(1));
        loop {
            tokio::time::sleep(between).await;
            let now = Instant::now();
            let is_late = |since: &Instant| now.saturating_duration_since(*since) >= patience;
            if self.parts().since.values().any(is_late) {
                return;
            }
        }
    }

    fn number(&self) -> u64 {
        let mut parts = self.parts();
        parts.last += 1;
        parts.last
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer in parts.
pub(super) struct Paced<B> {
    body: B,
    rest: Bytes,
    number: u64,
    handed_over: Arc<HandedOver>,
}

impl<B> Paced<B> {
    /// Watches an answer of a connection.
    pub(super) fn new(body: B, handed_over: &Arc<HandedOver>) -> Self {
        let handed_over = Arc::clone(handed_over);
        Self { body, rest: Bytes::new(), number: handed_over.number(), handed_over }
    }

    fn part(&mut self) -> Bytes {
        self.handed_over.parts().since.insert(self.number, Instant::now());
        let length = self.rest.len().min(H2_PART_BYTES);
        self.rest.split_to(length)
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        self.handed_over.parts().since.remove(&self.number);
    }
}

impl<B: Body<Data = Bytes, Error = Infallible> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // The part before was taken.
        self.handed_over.parts().since.remove(&self.number);
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.part()))));
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    Frame::data(self.part())
                }
                Err(other) => other,
            }))),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(rest)) {
            hint.set_upper(upper);
        }
        hint.set_lower(inner.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_whole_and_handed_over_in_small_parts() {
        let handed_over = Arc::<HandedOver>::default();
        let bytes = Bytes::from(vec![7; 3 * H2_PART_BYTES + 1]);
        let mut body = Paced::new(Full::new(bytes.clone()), &handed_over);
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            let part = frame.unwrap().into_data().unwrap();
            assert!(part.len() <= H2_PART_BYTES);
            all.extend_from_slice(&part);
            assert_eq!(body.size_hint().exact(), Some((bytes.len() - all.len()) as u64));
            assert_eq!(body.is_end_stream(), all.len() == bytes.len());
        }
        assert_eq!(all, bytes);
    }

    #[tokio::test]
    async fn a_part_whose_successor_nobody_asks_for_is_noticed_until_its_answer_is_gone() {
        let handed_over = Arc::<HandedOver>::default();
        let mut body = Paced::new(Full::new(Bytes::from_static(b"answer")), &handed_over);
        body.frame().await.unwrap().unwrap();
        handed_over.stalled(Duration::from_millis(1)).await;
        drop(body);
        assert!(handed_over.parts().since.is_empty());
    }
}
