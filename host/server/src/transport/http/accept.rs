//! Form of an answer: JSON or an event stream. The protocol library requires clients to accept both; a client that
//! accepts one gets the answer converted to it.

use std::cmp::Ordering;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use super::Body;
use super::replies::{Reply, plain};
use crate::transport::envelope::Malformed;

/// Media types that a client accepts (RFC 9110 §12.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AcceptedTypes {
    /// `application/json`
    pub(super) json: bool,
    /// `text/event-stream`
    pub(super) stream: bool,
    /// Preference between the two, by weight.
    prefers: Ordering,
}

const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";

/// Both, as the library requires it.
pub(super) const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

impl AcceptedTypes {
    /// Answer to a request that accepts no form of answer.
    pub(super) fn refusal(self) -> Option<Reply> {
        let why = "answers are application/json or text/event-stream; accept one of them\n";
        (!self.json && !self.stream).then(|| plain(StatusCode::NOT_ACCEPTABLE, why))
    }

    /// Types that the request's headers accept. Without an `Accept` header, all.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let ranges: Vec<(String, u16)> = values
            .flat_map(|value| split(&value, ',').iter().filter_map(|range| read(range)).collect::<Vec<_>>())
            .collect();
        let (json, stream) = (taken(&ranges, JSON), taken(&ranges, STREAM));
        Self { json: json.0 > 0, stream: stream.0 > 0, prefers: json.cmp(&stream) }
    }

    /// The same for a notification stream, which has no other form.
    pub(super) fn for_stream(self) -> Self {
        Self { prefers: self.prefers.min(Ordering::Equal), ..self }
    }

    fn wants_json(self) -> bool {
        !self.stream || (self.json && self.prefers == Ordering::Greater)
    }

    fn wants_stream(self) -> bool {
        !self.json || (self.stream && self.prefers == Ordering::Less)
    }
}

/// Default weight, in thousandths.
const WHOLE: u16 = 1_000;

/// A media range and its weight, in thousandths.
fn read(range: &str) -> Option<(String, u16)> {
    let parts = split(range, ';');
    let (range, parameters) = parts.split_first()?;
    let range = range.trim().to_ascii_lowercase();
    let weight = parameters.iter().find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
    });
    // An invalid weight is ignored.
    (!range.is_empty()).then(|| (range, weight.and_then(to_weight).unwrap_or(WHOLE)))
}

/// A weight in thousandths: `0` or `1` with at most three digits after the point (RFC 9110 §12.4.2).
fn to_weight(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if !matches!(whole, "0" | "1") || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let weight = format!("{whole}{fraction:0<3}").parse().ok()?;
    (weight <= WHOLE).then_some(weight)
}

/// Preference for a media type: its weight, then the exactness of the matching range. The most exact range decides.
/// Without any range, everything is accepted.
fn taken(ranges: &[(String, u16)], media: &str) -> (u16, u8) {
    if ranges.is_empty() {
        return (WHOLE, 0);
    }
    let kind = media.split('/').next().map(|kind| format!("{kind}/*"));
    let exactness = |range: &str| match range {
        range if range == media => Some(3),
        range if Some(range) == kind.as_deref() => Some(2),
        "*/*" | "*" => Some(1),
        _ => None,
    };
    let matching = ranges.iter().filter_map(|(range, weight)| Some((exactness(range)?, *weight)));
    let (exactness, weight) = matching.max().unwrap_or((0, 0));
    (weight, exactness)
}

/// Splits at delimiters outside quotes.
fn split(text: &str, delimiter: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|character: char| {
        let is_end = !quoted && character == delimiter;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        is_end
    });
    parts.collect()
}

/// Converts an answer to a form that its client accepts. A refusal stays unchanged.
pub(super) async fn in_form(reply: Response<Body>, accepted: AcceptedTypes, id: &Value) -> Response<Body> {
    let kind = reply.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !reply.status().is_success() {
        reply
    } else if kind == Some(JSON.as_bytes()) && accepted.wants_stream() {
        to_stream(reply).await
    } else if kind == Some(STREAM.as_bytes()) && accepted.wants_json() {
        to_json(reply, id).await
    } else {
        reply
    }
}

/// Header that tells proxies not to buffer events.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Converts a message to a stream of one event.
async fn to_stream(reply: Response<Body>) -> Response<Body> {
    let (mut head, mut body) = reply.into_parts();
    let mut event = b"data: ".to_vec();
    while let Some(Ok(frame)) = body.frame().await {
        event.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
    }
    event.extend_from_slice(b"\n\n");
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(STREAM));
    head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    Response::from_parts(head, Full::new(Bytes::from(event)).boxed())
}

/// Extracts the answer from a stream. Its other messages, such as progress reports, are dropped.
async fn to_json(reply: Response<Body>, id: &Value) -> Response<Body> {
    let (mut head, mut body) = reply.into_parts();
    let mut pending = Vec::new();
    let mut answer = None;
    while answer.is_none()
        && let Some(Ok(frame)) = body.frame().await
    {
        pending.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
        while let Some(event) = next_event(&mut pending) {
            answer = answer.or_else(|| answer_in(&event));
        }
    }
    let answer = answer.unwrap_or_else(|| {
        let why = "the request was cancelled, or its session ended, before there was an answer";
        Malformed::busy(why, id.clone()).reply().to_string().into_bytes()
    });
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    head.headers.remove(CACHE_CONTROL);
    head.headers.remove(UNBUFFERED);
    Response::from_parts(head, Full::new(Bytes::from(answer)).boxed())
}

/// Takes the first complete event, with its delimiter.
fn next_event(pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    const END: &[u8] = b"\n\n";
    let end = pending.windows(END.len()).position(|window| window == END)?;
    let rest = pending.split_off(end + END.len());
    Some(std::mem::replace(pending, rest))
}

/// The message of an event, if it is a response. The library writes it on one line.
fn answer_in(event: &[u8]) -> Option<Vec<u8>> {
    let mut lines = event.split(|byte| *byte == b'\n');
    let data = lines.find_map(|line| line.strip_prefix(b"data:"))?;
    let data = data.strip_prefix(b" ").unwrap_or(data);
    let message: Value = serde_json::from_slice(data).ok()?;
    (message.is_object() && message.get("method").is_none()).then(|| data.to_vec())
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::StreamBody;
    use serde_json::json;

    use super::*;

    fn accepted(values: &[&'static str]) -> (bool, bool) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        let AcceptedTypes { json, stream, .. } = AcceptedTypes::of(&headers);
        (json, stream)
    }

    #[test]
    fn of_two_forms_of_one_weight_neither_is_wanted() {
        for value in [
            "",
            "*/*",
            "application/json, text/event-stream",
            "application/json;q=0.5, text/event-stream;q=0.500",
            "application/json;q=1.001, text/event-stream",
        ] {
            let accepted =
                AcceptedTypes::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]));
            assert!(!accepted.wants_json() && !accepted.wants_stream(), "{value}");
        }
    }

    #[test]
    fn the_most_exact_range_decides_and_a_weight_of_nothing_excludes() {
        for (values, expected) in [
            (&["*"][..], (true, true)),
            (&["application/json", "text/event-stream"], (true, true)),
            (&["Application/JSON; charset=utf-8"], (true, false)),
            (&["text/html, */*;q=0.1"], (true, true)),
            (&["application/*;q=0, application/json"], (true, false)),
            (&["application/json;q=0.0000"], (true, false)),
            (&["application/json;q=x"], (true, false)),
            (&[r#"application/json;profile="a,text/event-stream;q=0""#], (true, false)),
        ] {
            assert_eq!(accepted(values), expected, "{values:?}");
        }
    }

    #[tokio::test]
    async fn the_answer_is_found_in_a_stream_or_its_lack_is_told() {
        const MESSAGE: &str = r#"{"id":1,"result":{"method":"x"}}"#;
        const STREAM: [&str; 5] =
            [": ping\n\n", "data: {\"method\":\"a\"}\n", "\nid: 3\ndata: ", MESSAGE, "\n\n"];
        let json_of = async |frames: &'static [&'static str]| {
            let frames = frames.iter().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
            let reply = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
            to_json(reply, &json!(1)).await.into_body().collect().await.unwrap().to_bytes()
        };
        assert_eq!(json_of(&STREAM).await, MESSAGE);
        let none: Value = serde_json::from_slice(&json_of(&[": ping\n\n"]).await).unwrap();
        assert_eq!((&none["id"], &none["error"]["code"]), (&json!(1), &json!(-32603)));
    }
}
