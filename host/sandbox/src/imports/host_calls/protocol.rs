//! What is said between an import and its power where a pipe lies between them, as bytes. Each end reads what the other says
//! as a stranger's; what is too long for the listener is not said.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use toolgate_net::egress::EgressError;
use toolgate_policy::limits::call::{HTTP_ASK_BYTES_MAX, STREAM_BYTES_MAX};
use toolgate_policy::limits::keyvalue::KEYVALUE_USE_BYTES_MAX;
use toolgate_policy::limits::load::WORKER_WORD_BYTES;

use crate::imports::blob::ByteBlob;
use crate::imports::files::request as file;
use crate::imports::keyvalue::request::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};
use crate::imports::sockets::request as sockets;

/// What is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum HostRequest {
    /// To send a request. The exchange has this ask's number from now on.
    Send {
        /// The request.
        head: RequestHead,
        /// Whether it has no body.
        empty: bool,
    },
    /// That this is the next part of the request's body.
    Body {
        /// Of which exchange.
        exchange: u64,
        /// The part.
        part: BodyPart,
    },
    /// The next part of the response's body.
    Next {
        /// Of which exchange.
        exchange: u64,
    },
    /// Nothing more of this exchange. It is not answered.
    Leave {
        /// Which.
        exchange: u64,
    },
    /// To use the store.
    Store(KeyvalueRequest),
    /// To use the granted folders.
    File(file::FileRequest),
    /// Nothing more of what is open there. It is not answered.
    LetGo(u32),
    /// To use sockets.
    Sockets(sockets::SocketRequest),
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum HostResponse {
    /// The response's head.
    Head(ResponseHead),
    /// The part was taken.
    Taken,
    /// The next part.
    Part(BodyPart),
    /// What came of using the store.
    Store(Result<KeyvalueResponse, KeyvalueFault>),
    /// Nothing.
    Failed(EgressError),
    /// What came of using the granted folders.
    File(Result<file::FileResponse, file::Code>),
    /// What came of using sockets.
    Sockets(Result<sockets::SocketResponse, sockets::SocketFault>),
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
    /// Bytes.
    Data(ByteBlob),
    /// What stands after it.
    Trailers(HeaderFields),
    /// Its end.
    End,
    /// It broke off.
    Broken(EgressError),
}

/// Header fields, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HeaderFields(Vec<(String, ByteBlob)>);

impl HostRequest {
    /// The exchange that it is about, unless it begins one.
    pub(crate) const fn exchange(&self) -> Option<u64> {
        match self {
            Self::Body { exchange, .. } | Self::Next { exchange } | Self::Leave { exchange } => {
                Some(*exchange)
            }
            Self::Send { .. } | Self::Store(_) | Self::Sockets(_) | Self::File(_) | Self::LetGo(_) => None,
        }
    }

    /// How long it may be, in bytes.
    pub(crate) const fn bytes_max(&self) -> u64 {
        match self {
            Self::Send { .. } => HTTP_ASK_BYTES_MAX,
            Self::Body { .. } | Self::File(_) => STREAM_BYTES_MAX + WORKER_WORD_BYTES,
            Self::Next { .. } | Self::Leave { .. } | Self::LetGo(_) => WORKER_WORD_BYTES,
            Self::Store(_) => KEYVALUE_USE_BYTES_MAX + WORKER_WORD_BYTES,
            Self::Sockets(act) => act.bytes_max(),
        }
    }
}

/// Something that is said, as bytes; nothing if it cannot be.
pub(crate) fn encode(said: &impl Serialize) -> Option<Vec<u8>> {
    postcard::to_allocvec(said).ok()
}

/// What was said; nothing if it is no such thing, or not all of it.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((said, [])) => Some(said),
        Ok(_) | Err(_) => None,
    }
}

impl From<&HeaderMap> for HeaderFields {
    fn from(headers: &HeaderMap) -> Self {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), ByteBlob::from(value.as_bytes()))
        };
        Self(headers.iter().map(field).collect())
    }
}

impl TryFrom<HeaderFields> for HeaderMap {
    type Error = http::Error;

    fn try_from(HeaderFields(fields): HeaderFields) -> Result<Self, http::Error> {
        let mut headers = Self::new();
        for (name, ByteBlob(value)) in fields {
            headers.try_append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?)?;
        }
        Ok(headers)
    }
}
