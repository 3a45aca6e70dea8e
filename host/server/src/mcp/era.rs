//! The revisions of MCP as data: the supported ones, and their features. A further revision is one more line.

use rmcp::RoleServer;
use rmcp::model::ProtocolVersion;
use rmcp::service::RequestContext;

/// The two lifecycles of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// 2026-07-28: each request is self-contained.
    Modern,
    /// 2025-06-18 and 2025-11-25: a handshake, then a session.
    Legacy,
}

/// Supported revisions.
pub(super) const SUPPORTED: &[ProtocolVersion] =
    &[ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// Newest supported revision with a handshake.
pub(super) const NEWEST_WITH_HANDSHAKE: ProtocolVersion = ProtocolVersion::V_2025_11_25;

/// Era of a request.
pub(super) fn of(context: &RequestContext<RoleServer>) -> Era {
    match context.protocol_version() {
        Some(version) if !version.has_initialize() => Era::Modern,
        Some(_) | None => Era::Legacy,
    }
}

/// Revision that a handshake agrees on: the client's, or the newest one with a handshake.
pub(super) fn agreed(wanted: &ProtocolVersion) -> ProtocolVersion {
    let is_served = wanted.has_initialize() && SUPPORTED.contains(wanted);
    if is_served { wanted.clone() } else { NEWEST_WITH_HANDSHAKE }
}

/// Whether the revision in a header is supported.
pub(crate) fn is_served(version: &http::HeaderValue) -> bool {
    SUPPORTED.iter().any(|served| served.as_str().as_bytes() == version.as_bytes())
}

/// Whether the revision in a header has arguments repeated in headers, as those since 2026-07-28 do. An unsupported one
/// is refused for that reason, whatever its headers are.
pub(crate) fn repeats_arguments(version: &http::HeaderValue) -> bool {
    let modern = SUPPORTED.iter().filter(|version| !version.has_initialize());
    modern.map(|served| served.as_str().as_bytes()).any(|served| served == version.as_bytes())
}

/// Whether a method exists in an era and its capability is supported. If so, bad parameters are the caller's mistake
/// and not an unknown method.
pub(super) fn is_known(method: &str, era: Era) -> bool {
    match era {
        Era::Modern => {
            matches!(method, "server/discover" | "tools/list" | "tools/call" | "subscriptions/listen")
        }
        Era::Legacy => matches!(method, "initialize" | "ping" | "tools/list" | "tools/call"),
    }
}
