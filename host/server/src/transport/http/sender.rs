//! The sender of a request: the holder of its credential, or without `[auth]` whoever can connect.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use toolgate_auth::challenge::ChallengeAnswer;
use toolgate_auth::{AuthError, local};
use toolgate_base::interrupt::Interrupt;
use toolgate_base::json::Json;
use toolgate_policy::Principal;
use toolgate_policy::call::{DeniedError, Transport};
use toolgate_runtime::call::request::{Arguments, Request};
use toolgate_runtime::gate::Gate;
use toolgate_runtime::snapshot::tool::Tool;
use toolgate_state::audit::Event;

use super::HttpServer;
use super::replies::{Reply, plain, reply};
use crate::auth::lease::Lease;
use crate::transport::envelope::Envelope;

/// The sender of a request.
pub(super) struct Sender {
    pub(super) principal: Principal,
    pub(super) address: IpAddr,
    /// Unit of fairness: the party, or the address where nobody has to say who they are.
    pub(super) peer: Arc<str>,
    /// Time for which its streams may stay open; without end for a sender without credentials.
    pub(super) lease: Option<Lease>,
}

impl Sender {
    /// Tool of this name, if it may call it.
    pub(super) fn tool(&self, gate: &Gate, name: &str) -> Option<Arc<Tool>> {
        let snapshot = gate.now();
        snapshot.tool(&self.principal, name, &snapshot.moment(Some(self.address), Transport::Http))
    }

    /// Scopes that it lacks for a tool, and can get.
    pub(super) fn lacks(&self, gate: &Gate, name: &str) -> Option<Arc<[String]>> {
        let snapshot = gate.now();
        let moment = snapshot.moment(Some(self.address), Transport::Http);
        match snapshot.judge(&self.principal, snapshot.find(name), &moment) {
            Err(DeniedError::Scope { needed, .. }) => Some(needed),
            Ok(_) | Err(_) => None,
        }
    }
}

impl HttpServer {
    /// Authenticates a request before its body is read. `peer` is the unit of fairness by address.
    ///
    /// # Errors
    /// The challenge, or the answer that says when to try again.
    pub(super) async fn sender(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        address: IpAddr,
        peer: &Arc<str>,
    ) -> Result<Sender, Reply> {
        let Some(auth) = &self.0.auth else {
            let principal = local::peer(address);
            return Ok(Sender { principal, address, peer: Arc::clone(peer), lease: None });
        };
        match auth.authenticate(headers, uri.query(), address).await {
            Ok(holder) => {
                let principal = holder.principal.clone();
                let peer = format!("{}@{}", principal, principal.tenant()).into();
                Ok(Sender { principal, address, peer, lease: Some(Lease::new(Arc::clone(auth), holder)) })
            }
            Err(error) => {
                self.refused(&error, address);
                Err(challenge(auth.answer(&error)))
            }
        }
    }

    /// Answers a call that lacks scopes which its client can get, after it was denied and recorded like any other. Gives
    /// the arguments back otherwise.
    pub(super) async fn step_up(
        &self,
        sender: &Sender,
        envelope: &Envelope,
        arguments: Option<Arguments>,
    ) -> (Option<Arguments>, Option<Reply>) {
        let gate = &self.0.handler.gate;
        // Without authentication there is nothing to ask for, and no call is judged twice.
        let asked = self.0.auth.as_ref().zip(envelope.tool.as_deref().filter(|_| envelope.is_request));
        let answer = asked.and_then(|(auth, tool)| Some((tool, auth.step_up(&sender.lacks(gate, tool)?)?)));
        let Some((tool, answer)) = answer else { return (arguments, None) };
        let arguments = arguments.unwrap_or_else(|| Json::Null.into());
        let mut call = Request::new(sender.principal.clone(), tool, arguments, Interrupt::default());
        (call.transport, call.source) = (Transport::Http, Some(sender.address));
        drop(gate.call(call).await);
        (None, Some(challenge(answer)))
    }

    /// Records a failed attempt, one a minute for each address.
    fn refused(&self, error: &AuthError, address: IpAddr) {
        tracing::debug!(%address, %error, "a credential was refused");
        if error.is_first {
            let source = address.to_string();
            tracing::warn!(address = source, reason = error.reason, "credentials are refused: {error}");
            let issuer = error.issuer.as_deref();
            self.0.handler.gate.record(&Event::AuthFailed { reason: error.reason, issuer, source: &source });
        }
    }

    /// The metadata of this protected resource, for everybody.
    pub(super) fn metadata(&self) -> Reply {
        let Some(auth) = &self.0.auth else {
            return plain(StatusCode::NOT_FOUND, "MCP is served at /mcp, and nobody is asked who they are\n");
        };
        let mut reply = reply(StatusCode::OK, "application/json", auth.metadata());
        let headers = reply.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        reply
    }
}

/// An answer of authentication as an HTTP answer.
pub(super) fn challenge(answer: ChallengeAnswer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut reply = reply(status, "application/json", Bytes::from(answer.body));
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(Ok(value)) = answer.www_authenticate.map(HeaderValue::try_from) {
        headers.insert(WWW_AUTHENTICATE, value);
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}
