//! Bounded lines of stdin, with memory reserved for a large one before more of it is read. A refused line is skipped,
//! and only the parts needed for its answer are kept.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use toolgate_policy::limits::wire::SMALL_MESSAGE_BYTES;
use toolgate_runtime::large::{Large, LargeMessage};
use toolgate_runtime::turns::Caller;

use crate::transport::envelope::{Envelope, Malformed, Skim, without_mark};

/// Reader of lines.
pub(super) struct Lines<R> {
    pub(super) input: R,
    /// Bytes of one line.
    pub(super) bytes_max: u64,
    pub(super) large: Large,
    pub(super) caller: Caller,
}

/// A line without its terminator. Memory was reserved for a large one.
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    pub(super) admitted: Option<LargeMessage>,
}

/// A skipped line.
#[derive(Debug)]
pub(super) struct Unread {
    why: Refusal,
    skim: Skim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// Larger than the limit.
    TooLarge,
    /// No memory for large messages is left.
    NoRoom,
}

/// A line being read.
#[derive(Default)]
struct Growing {
    bytes: Vec<u8>,
    admitted: Option<LargeMessage>,
    refused: Option<Refusal>,
    skim: Skim,
}

/// Text for a client whose message does not fit the memory for large messages.
pub(super) const NO_ROOM: &str = "the host holds as many large messages as it may; try again later";

/// Step in which memory is reserved for a large line.
const STEP_BYTES: usize = 256 << 10;

impl Unread {
    /// Result of a skipped line: a call with unreadable arguments if it is a call that is too large, else an error.
    pub(super) fn envelope(&self, bytes_max: u64) -> Result<Envelope, Malformed> {
        match self.why {
            Refusal::TooLarge => Envelope::too_large(&self.skim, bytes_max),
            Refusal::NoRoom => {
                let busy = Malformed::busy(NO_ROOM, self.skim.id());
                Err(busy.unanswered_if(self.skim.wants_no_answer()))
            }
        }
    }
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The next line that is not empty; `None` at the end of the input.
    pub(super) async fn next(&mut self) -> io::Result<Option<Result<Line, Unread>>> {
        loop {
            let mut growing = Growing::default();
            let ended = loop {
                let chunk = self.input.fill_buf().await?;
                if chunk.is_empty() {
                    break true;
                }
                let end = chunk.iter().position(|b| *b == b'\n');
                let taken = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
                growing.add(taken, self.bytes_max, &self.large, &self.caller);
                let used = end.map_or(chunk.len(), |end| end + 1);
                self.input.consume(used);
                growing.skim_buffered().await;
                if end.is_some() {
                    break false;
                }
            };
            let Growing { bytes, admitted, refused, skim } = growing;
            match refused {
                Some(why) => return Ok(Some(Err(Unread { why, skim }))),
                None if !without_mark(&bytes).iter().all(u8::is_ascii_whitespace) => {
                    return Ok(Some(Ok(Line { bytes, admitted })));
                }
                None if ended => return Ok(None),
                None => {}
            }
        }
    }
}

impl Growing {
    fn add(&mut self, bytes: &[u8], bytes_max: u64, large: &Large, caller: &Caller) {
        if self.refused.is_some() {
            self.skim.read(bytes);
            return;
        }
        let length = self.bytes.len().saturating_add(bytes.len());
        if length as u64 > bytes_max {
            self.refused = Some(Refusal::TooLarge);
        } else if length > SMALL_MESSAGE_BYTES && self.make_room(length, large, caller).is_none() {
            self.refused = Some(Refusal::NoRoom);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Scans and drops the buffered part once a line is refused, yielding to other tasks.
    async fn skim_buffered(&mut self) {
        if self.refused.is_none() || self.bytes.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.bytes);
        for part in held.chunks(SMALL_MESSAGE_BYTES) {
            self.skim.read(part);
            tokio::task::yield_now().await;
        }
        self.admitted = None;
    }

    fn make_room(&mut self, length: usize, large: &Large, caller: &Caller) -> Option<()> {
        let room = length.saturating_add(STEP_BYTES);
        match &mut self.admitted {
            None => self.admitted = Some(large.admit(caller, room).ok()?),
            Some(admitted) if admitted.bytes() < length => admitted.resize(room).ok()?,
            Some(_) => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use toolgate_policy::principal::Tenant;

    use super::*;

    fn lines(input: &'static [u8], bytes_max: u64, room: u64) -> Lines<&'static [u8]> {
        let large = Large::start(room, 100).unwrap();
        Lines { input, bytes_max, large, caller: Caller::new(Tenant::default(), "a", 0) }
    }

    fn leak(text: String) -> &'static [u8] {
        Box::leak(text.into_bytes().into_boxed_slice())
    }

    fn id(line: Option<Result<Line, Unread>>) -> Option<Value> {
        line.unwrap().err().map(|unread| unread.envelope(100).err().unwrap().reply()["id"].clone())
    }

    #[tokio::test]
    async fn lines_are_read_to_the_end_and_empty_ones_passed_by() {
        let mut lines = lines(b"{}\n\n  \n[]\nlast", 100, 1_000);
        for expected in ["{}", "[]", "last"] {
            let line = lines.next().await.unwrap().unwrap().ok().unwrap();
            assert_eq!(line.bytes, expected.as_bytes());
            assert!(line.admitted.is_none());
        }
        assert!(lines.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_large_line_takes_room_and_without_any_is_refused_by_its_id() {
        let large = format!("{{\"id\":\"a\",\"x\":\"{}\"}}\n", "x".repeat(SMALL_MESSAGE_BYTES));
        for (room, fits) in [(1 << 20, true), (1_000, false)] {
            let input = tokio::io::BufReader::with_capacity(1_000, leak(large.clone()));
            let large = Large::start(room, 100).unwrap();
            let mut lines =
                Lines { input, bytes_max: 1 << 20, large, caller: Caller::new(Tenant::default(), "a", 0) };
            let line = lines.next().await.unwrap();
            if fits {
                assert!(line.unwrap().ok().unwrap().admitted.is_some());
            } else {
                assert_eq!(id(line), Some(json!("a")));
            }
            assert!(lines.next().await.unwrap().is_none());
        }
    }
}
