//! Checks of a message against the headers of its request, before the library sees it.

use http::HeaderMap;
use toolgate_policy::redact::printable;

use super::sender::Sender;
use super::{HttpServer, mirrored};
use crate::mcp;
use crate::transport::envelope::{Envelope, Malformed};

/// Header with the id of a session.
pub(super) const SESSION: &str = "mcp-session-id";

const VERSION: &str = "mcp-protocol-version";

impl HttpServer {
    /// Checks a message against its headers, and the form of a handshake.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        envelope: &Envelope,
        sender: &Sender,
    ) -> Result<(), Malformed> {
        if let Some(name) = stands_twice(headers) {
            return Err(Malformed::header(format!("the header {name} appears twice"), envelope.id.clone()));
        }
        // The protocol library accepts older revisions as well.
        if let (Some(version), true) = (headers.get(VERSION), headers.contains_key(SESSION))
            && !mcp::is_served(version)
        {
            let shown = printable(&String::from_utf8_lossy(version.as_bytes()), 40);
            let why = format!("the revision `{shown}` in MCP-Protocol-Version is not served");
            return Err(Malformed::invalid(why, envelope.id.clone()));
        }
        if envelope.is_request && envelope.method.as_deref() == Some("initialize") {
            mcp::message(&envelope.rest).map_err(|error| envelope.refused(&error))?;
        }
        if let (Some(name), Some(Ok(arguments))) = (&envelope.tool, &envelope.arguments)
            && headers.get(VERSION).is_some_and(mcp::repeats_arguments)
            && let Some(tool) = sender.tool(&self.0.handler.gate, name)
        {
            let checked = mirrored::check(headers, &tool.listing.headers, arguments);
            checked.map_err(|why| Malformed::header(why, envelope.id.clone()))?;
        }
        Ok(())
    }
}

/// Headers that must not be repeated, since readers could use different ones.
const SINGLE: [&str; 5] = ["content-type", "mcp-method", "mcp-name", VERSION, SESSION];

/// The first header that is repeated and must not be.
pub(super) fn stands_twice(headers: &HeaderMap) -> Option<&'static str> {
    SINGLE.into_iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
}
