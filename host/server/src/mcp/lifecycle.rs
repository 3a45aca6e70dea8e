//! Both lifecycles in one conversation over stdio: programs share a server's stdin, and a client may try the modern one
//! before a handshake. The protocol library fixes the lifecycle at the first request. It accepts modern requests after
//! a handshake, but not the reverse. So after a late handshake, requests without metadata get those that the handshake
//! agreed on.

use rmcp::model::{ClientCapabilities, ClientRequest, GetMeta as _, ProtocolVersion, RequestMetaObject};

use super::era;

/// Lifecycle that the client of a conversation uses.
#[derive(Debug, Default)]
pub(crate) enum Lifecycle {
    /// Undecided.
    #[default]
    Open,
    /// The client began with a handshake.
    Legacy,
    /// Each request is self-contained.
    Modern,
    /// As [`Self::Modern`], with a later handshake.
    Both {
        /// Agreed revision.
        version: ProtocolVersion,
        /// Declared capabilities of the client.
        capabilities: Box<ClientCapabilities>,
    },
}

impl Lifecycle {
    /// Updates the state by a request, and adds missing metadata. Whether it is a legacy `ping`, which the library does
    /// not answer any more.
    pub(crate) fn follow(&mut self, request: &mut ClientRequest) -> bool {
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
            (Self::Both { .. }, ClientRequest::PingRequest(_)) if !is_modern => return true,
            (Self::Both { version, capabilities }, _) if !is_modern => {
                let (version, capabilities) = (version.clone(), capabilities.as_ref().clone());
                let meta = request.get_meta_mut();
                meta.set_protocol_version(version);
                meta.set_client_capabilities(capabilities);
            }
            _ => {}
        }
        false
    }
}

/// Whether a request has the metadata of a self-contained one, for a supported revision.
fn is_modern(meta: &RequestMetaObject) -> bool {
    meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        && meta.protocol_version().is_some_and(|version| era::SUPPORTED.contains(&version))
}
