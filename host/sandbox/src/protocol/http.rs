//! Requests and responses of `http`: a head, then the parts of a body.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use toolgate_net::egress::EgressError;

use super::blob::{BoundedVec, ByteBlob};

/// A step of an exchange.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum HttpRequest {
    /// Sends a request. The exchange has this request's number.
    Send {
        head: RequestHead,
        /// Whether it has no body.
        empty: bool,
    },
    /// Sends the next part of an exchange's request body.
    Put(u64, BodyPart),
    /// Receives the next part of an exchange's response body.
    Next(u64),
}

/// The result of a step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum HttpResponse {
    Head(ResponseHead),
    /// The part of the request body is taken.
    Done,
    Part(BodyPart),
}

/// A request's head, with the times that the guest allows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) scheme: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) fields: HeaderFields,
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
}

/// A response's head.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) fields: HeaderFields,
}

/// A part of a body.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BodyPart {
    Data(ByteBlob),
    Trailers(HeaderFields),
    End,
    /// The body broke off.
    Broken(EgressError),
}

/// Header fields, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HeaderFields(BoundedVec<(String, ByteBlob)>);

impl From<&HeaderMap> for HeaderFields {
    fn from(headers: &HeaderMap) -> Self {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), ByteBlob::from(value.as_bytes()))
        };
        Self(BoundedVec(headers.iter().map(field).collect()))
    }
}

impl TryFrom<HeaderFields> for HeaderMap {
    type Error = http::Error;

    fn try_from(HeaderFields(BoundedVec(fields)): HeaderFields) -> Result<Self, http::Error> {
        let mut headers = Self::new();
        for (name, ByteBlob(value)) in fields {
            headers.try_append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?)?;
        }
        Ok(headers)
    }
}
