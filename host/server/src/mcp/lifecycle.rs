//! Both ways of talking in one conversation over stdio: programs share a server's stdin, and a client may try the new way before
//! it shakes hands. The protocol's library settles on the way of the first request. It takes requests of the new way after a
//! handshake, but not the other way round; so after a handshake that came later, requests without metadata are given those that
//! the handshake stands for.

use rmcp::model::{ClientCapabilities, ClientRequest, GetMeta as _, ProtocolVersion, RequestMetaObject};

use super::era;

/// How the client of a conversation talks.
#[derive(Debug, Default)]
pub(crate) enum Lifecycle {
    /// Nothing has settled it yet.
    #[default]
    Open,
    /// It shook hands first.
    Legacy,
    /// Each request stands for itself.
    Modern,
    /// The same, and there was a handshake later.
    Both {
        /// What was agreed on.
        version: ProtocolVersion,
        /// What the client said that it can do.
        capabilities: Box<ClientCapabilities>,
    },
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on to the library.
    Goes,
    /// It is a `ping` of the old way, which the library does not answer any more.
    IsAnswered,
}

impl Lifecycle {
    /// Follows a request, and gives it what it lacks.
    pub(crate) fn follow(&mut self, request: &mut ClientRequest) -> Next {
        let is_modern = is_modern(request.get_meta());
        match (&*self, &*request) {
            (Self::Modern | Self::Both { .. }, ClientRequest::InitializeRequest(handshake)) => {
                let params = &handshake.params;
                *self = Self::Both {
                    version: era::agreed(&params.protocol_version),
                    capabilities: Box::new(params.capabilities.clone()),
                };
            }
            (Self::Open, ClientRequest::InitializeRequest(_)) => *self = Self::Legacy,
            (Self::Open, ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_)) => {}
            (Self::Open, _) if is_modern => *self = Self::Modern,
            (Self::Both { .. }, ClientRequest::PingRequest(_)) if !is_modern => return Next::IsAnswered,
            (Self::Both { version, capabilities }, _) if !is_modern => {
                let (version, capabilities) = (version.clone(), capabilities.as_ref().clone());
                let meta = request.get_meta_mut();
                meta.set_protocol_version(version);
                meta.set_client_capabilities(capabilities);
            }
            _ => {}
        }
        Next::Goes
    }
}

/// Whether a request brings the metadata by which it stands for itself, and they are of a revision that is served.
fn is_modern(meta: &RequestMetaObject) -> bool {
    meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        && meta.protocol_version().is_some_and(|version| era::SUPPORTED.contains(&version))
}
