//! Bodies. Received within bounds of size and time, with memory reserved before they are read; sent with resources that
//! are released afterwards.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use toolgate_policy::limits::wire::{REFUSED_BODY_MS, REFUSED_ID_MS, SMALL_MESSAGE_BYTES};
use toolgate_runtime::large::{Large, LargeMessage};
use toolgate_runtime::turns::Caller;

use crate::mcp::Splice;
use crate::transport::envelope::Skim;

/// Result of receiving a body.
pub(super) enum Received {
    /// A message.
    Whole(Message),
    /// Larger than the limit, with the scanned part.
    TooLarge(Skim),
    /// No memory for large messages is left. With the scanned part.
    NoRoom(Skim),
}

/// A received message. Memory was reserved for a large one.
#[derive(Default)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) admitted: Option<LargeMessage>,
}

/// Text for a client whose message does not fit the memory for large messages.
pub(super) const NO_ROOM: &str = "the server holds as many large messages as it may; try again later";

/// Reason why a body was not received whole.
enum BodyError {
    /// Larger than the limit.
    Large,
    /// No memory for large messages is left.
    NoRoom,
    /// The client hung up.
    BrokeOff,
}

/// Step in which memory is reserved for a body of unknown length.
const STEP_BYTES: usize = 256 << 10;

/// The `Content-Length` of a request, in bytes.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Receives a body of at most `bytes_max` bytes, within `patience`. A refused body is received a little longer and
/// discarded, because a client that is still sending would not read the answer.
///
/// # Errors
/// Status and text of the answer.
pub(super) async fn receive(
    mut body: Incoming,
    headers: &HeaderMap,
    bytes_max: u64,
    patience: Duration,
    large: &Large,
    caller: &Caller,
) -> Result<Received, (StatusCode, &'static str)> {
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let announced = announced(headers).map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let mut message = Message::default();
    let receiving = message.receive(&mut body, announced, bytes_max, large, caller);
    let received = tokio::time::timeout(patience, receiving).await;
    let refused = match received.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the body took too long\n"))? {
        Ok(()) => return Ok(Received::Whole(message)),
        Err(BodyError::BrokeOff) => return Err((StatusCode::BAD_REQUEST, "the body broke off\n")),
        Err(BodyError::Large) => Received::TooLarge as fn(Skim) -> Received,
        Err(BodyError::NoRoom) => Received::NoRoom,
    };
    let Message { bytes, admitted } = message;
    drop(admitted);
    Ok(refused(skim(bytes, body, headers, announced, bytes_max).await))
}

impl Message {
    async fn receive(
        &mut self,
        body: &mut Incoming,
        announced: Option<usize>,
        bytes_max: usize,
        large: &Large,
        caller: &Caller,
    ) -> Result<(), BodyError> {
        if announced.is_some_and(|length| length > bytes_max) {
            return Err(BodyError::Large);
        }
        make_room(&mut self.admitted, announced.unwrap_or(0), large, caller)?;
        self.bytes.reserve_exact(announced.unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::BrokeOff)?.into_data() else { continue };
            let length = self.bytes.len().saturating_add(data.len());
            if length > bytes_max {
                self.bytes.extend_from_slice(&data);
                return Err(BodyError::Large);
            }
            if announced.is_none() {
                make_room(&mut self.admitted, length, large, caller)?;
            }
            self.bytes.extend_from_slice(&data);
        }
        Ok(())
    }
}

/// Scans a refused body for the parts its answer needs: all of it up to twice the limit, a longer one until its id
/// shows, with a timeout. With `Expect`, only the bytes already received.
async fn skim(
    held: Vec<u8>,
    mut body: Incoming,
    headers: &HeaderMap,
    announced: Option<usize>,
    bytes_max: usize,
) -> Skim {
    let mut skim = Skim::default();
    for part in held.chunks(SMALL_MESSAGE_BYTES) {
        skim.read(part);
        tokio::task::yield_now().await;
    }
    let mut left = bytes_max.saturating_mul(2).saturating_sub(held.len());
    drop(held);
    if headers.contains_key(EXPECT) {
        return skim;
    }
    let is_whole = announced.is_none_or(|length| length <= bytes_max.saturating_mul(2));
    let patience = if is_whole { REFUSED_BODY_MS } else { REFUSED_ID_MS };
    let skimming = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(data) = frame.data_ref() else { continue };
            skim.read(data);
            left = left.saturating_sub(data.len());
            if left == 0 || (!is_whole && !skim.id().is_null()) {
                return;
            }
        }
    };
    if tokio::time::timeout(Duration::from_millis(patience), skimming).await.is_err() {
        tracing::debug!("a body that is refused did not come in time to be answered by its id");
    }
    forget(body, headers, bytes_max);
    skim
}

/// Reserves memory for a large message of this size.
fn make_room(
    admitted: &mut Option<LargeMessage>,
    bytes: usize,
    large: &Large,
    caller: &Caller,
) -> Result<(), BodyError> {
    if bytes <= SMALL_MESSAGE_BYTES {
        return Ok(());
    }
    let taken = match admitted {
        None => large.admit(caller, bytes).map(|new| *admitted = Some(new)),
        Some(admitted) if admitted.bytes() < bytes => admitted.resize(bytes.saturating_add(STEP_BYTES)),
        Some(_) => Ok(()),
    };
    taken.map_err(|_| BodyError::NoRoom)
}

/// Receives and discards the rest of a body, bounded in time and size.
pub(super) fn forget(mut body: Incoming, headers: &HeaderMap, bytes_max: usize) {
    // A client that expects `100 Continue` sends nothing unless the body is read.
    if headers.contains_key(EXPECT) {
        return;
    }
    tokio::spawn(async move {
        let receiving = async {
            let mut received = 0_usize;
            while let Some(Ok(frame)) = body.frame().await {
                received = received.saturating_add(frame.data_ref().map_or(0, Bytes::len));
                if received > bytes_max {
                    return;
                }
            }
        };
        // Then the connection is closed.
        drop(tokio::time::timeout(Duration::from_millis(REFUSED_BODY_MS), receiving).await);
    });
}

/// A response body with spliced bytes, which holds resources until it is dropped.
pub(super) struct Sent<H> {
    body: BoxBody<Bytes, Infallible>,
    splice: Option<Splice>,
    /// Parts of a frame to be sent.
    parts: VecDeque<Bytes>,
    /// Remaining bytes, if the size is known.
    left: Option<u64>,
    _held: H,
}

impl<H> Sent<H> {
    /// A body that holds resources until it is dropped.
    pub(super) fn new(body: BoxBody<Bytes, Infallible>, held: H) -> Self {
        Self { body, splice: None, parts: VecDeque::new(), left: None, _held: held }
    }

    /// The same, with bytes spliced in.
    pub(super) async fn spliced(mut body: BoxBody<Bytes, Infallible>, splice: Splice, held: H) -> Self {
        // A body of known size is complete already; then its size after splicing must be known, too.
        let (mut parts, mut left) = (VecDeque::new(), None);
        if body.size_hint().exact().is_some() {
            while let Some(Ok(frame)) = body.frame().await {
                if let Ok(data) = frame.into_data() {
                    parts.extend(splice.apply(data).into_iter().filter(|part| !part.is_empty()));
                }
            }
            left = Some(parts.iter().map(|part| part.len() as u64).sum());
        }
        Self { body, splice: Some(splice), parts, left, _held: held }
    }
}

impl<H: Unpin> Body for Sent<H> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                self.left = self.left.map(|left| left.saturating_sub(part.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            let Some(splice) = self.splice.clone() else { return Poll::Ready(Some(Ok(frame))) };
            match frame.into_data() {
                Ok(data) => {
                    self.parts.extend(splice.apply(data).into_iter().filter(|part| !part.is_empty()));
                }
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.left, &self.splice) {
            (Some(left), _) => SizeHint::with_exact(left),
            (None, None) => self.body.size_hint(),
            (None, Some(_)) => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_that_is_there_says_how_long_it_is_with_the_bytes_in_it() {
        let splice = Splice::new();
        let text = Bytes::from(format!("before {} after", splice.mark()));
        splice.fill(splice.mark().to_owned(), Bytes::from_static(b"LONG"));
        let sent = Sent::spliced(Full::new(text).boxed(), splice, ()).await;
        assert_eq!(sent.size_hint().exact(), Some("before LONG after".len() as u64));
        assert_eq!(sent.collect().await.unwrap().to_bytes(), "before LONG after");
    }
}
