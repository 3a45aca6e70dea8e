//! Request ids and progress tokens. Some clients reuse an id while its request is being answered, but the library
//! identifies a request by its id alone. Answers would be lost or go to the wrong request. So each request gets a
//! unique id that embeds the client's, which is restored in its answer. Progress tokens are treated alike.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, GetExtensions as _, GetMeta as _, ProgressToken, RequestId,
    ServerJsonRpcMessage, ServerNotification, ServerResult,
};

/// Ids of one session, or of one conversation over stdio.
#[derive(Default)]
pub(crate) struct Ids(Arc<Mutex<Answering>>);

#[derive(Default)]
struct Answering {
    last: u64,
    /// Unique ids, by the client's ids.
    ours: HashMap<RequestId, Vec<RequestId>>,
}

/// A request being answered, unregistered when the last clone is dropped.
#[derive(Clone)]
struct Entered(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Entry>);

struct Entry {
    answering: Arc<Mutex<Answering>>,
    number: u64,
    clients: RequestId,
    ours: RequestId,
}

impl Ids {
    /// Converts a client's message for the library. A cancellation applies to every pending request with its id.
    pub(crate) fn inward(&self, message: ClientJsonRpcMessage) -> Vec<ClientJsonRpcMessage> {
        match message {
            ClientJsonRpcMessage::Request(mut request) => {
                let entry = self.enter(&request.id);
                request.id = entry.ours.clone();
                if let Some(ProgressToken(clients)) = request.request.get_meta().get_progress_token() {
                    let ours = ProgressToken(to_ours(entry.number, &clients));
                    request.request.get_meta_mut().set_progress_token(ours);
                }
                request.request.extensions_mut().insert(Entered(Arc::new(entry)));
                vec![ClientJsonRpcMessage::Request(request)]
            }
            ClientJsonRpcMessage::Notification(notification) => {
                let ours = match &notification.notification {
                    ClientNotification::CancelledNotification(cancelled) => {
                        cancelled.params.request_id.as_ref().map(|id| self.take(id)).unwrap_or_default()
                    }
                    _ => Vec::new(),
                };
                if ours.is_empty() {
                    return vec![ClientJsonRpcMessage::Notification(notification)];
                }
                let cancel = |id: RequestId| {
                    let mut notification = notification.clone();
                    if let ClientNotification::CancelledNotification(cancelled) =
                        &mut notification.notification
                    {
                        cancelled.params.request_id = Some(id);
                    }
                    ClientJsonRpcMessage::Notification(notification)
                };
                ours.into_iter().map(cancel).collect()
            }
            other => vec![other],
        }
    }

    fn enter(&self, clients: &RequestId) -> Entry {
        let mut answering = lock(&self.0);
        answering.last += 1;
        let number = answering.last;
        let ours = to_ours(number, clients);
        answering.ours.entry(clients.clone()).or_default().push(ours.clone());
        Entry { answering: Arc::clone(&self.0), number, clients: clients.clone(), ours }
    }

    /// Removes and returns the unique ids of a cancelled request, so that the client may use its id again.
    fn take(&self, clients: &RequestId) -> Vec<RequestId> {
        lock(&self.0).ours.remove(clients).unwrap_or_default()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut answering = lock(&self.answering);
        if let Some(ours) = answering.ours.get_mut(&self.clients) {
            ours.retain(|id| *id != self.ours);
            if ours.is_empty() {
                answering.ours.remove(&self.clients);
            }
        }
    }
}

/// Converts the library's message for the client.
pub(crate) fn outward(message: &mut ServerJsonRpcMessage) {
    subscription_outward(message);
    let id = match message {
        ServerJsonRpcMessage::Response(response) => Some(&mut response.id),
        ServerJsonRpcMessage::Error(error) => error.id.as_mut(),
        ServerJsonRpcMessage::Notification(notification) => match &mut notification.notification {
            ServerNotification::CancelledNotification(cancelled) => cancelled.params.request_id.as_mut(),
            ServerNotification::ProgressNotification(progress) => Some(&mut progress.params.progress_token.0),
            _ => None,
        },
        ServerJsonRpcMessage::Request(_) => None,
    };
    if let Some(id) = id
        && let Some(clients) = to_clients(id)
    {
        *id = clients;
    }
}

/// Restores the id of a notification stream in all its messages.
fn subscription_outward(message: &mut ServerJsonRpcMessage) {
    match message {
        ServerJsonRpcMessage::Response(response) => {
            if let ServerResult::SubscriptionsListenResult(result) = &mut response.result
                && let Some(clients) = result.meta.subscription_id().and_then(|ours| to_clients(&ours))
            {
                result.meta.set_subscription_id(clients);
            }
        }
        ServerJsonRpcMessage::Notification(notification) => {
            let ours = notification.notification.get_meta().subscription_id();
            if let Some(clients) = ours.and_then(|ours| to_clients(&ours)) {
                notification.notification.get_meta_mut().set_subscription_id(clients);
            }
        }
        ServerJsonRpcMessage::Request(_) | ServerJsonRpcMessage::Error(_) => {}
    }
}

/// Random prefix of every unique id and token. No other process knows it, so no client's id begins like this.
static MARK: LazyLock<String> = LazyLock::new(|| format!("{:016x}:", RandomState::new().hash_one(0)));

/// Encodes the number of a request and its client's id or token, as JSON.
fn to_ours(number: u64, clients: &RequestId) -> RequestId {
    RequestId::String(format!("{}{number}:{}", *MARK, clients.clone().into_json_value()).into())
}

fn to_clients(ours: &RequestId) -> Option<RequestId> {
    let RequestId::String(ours) = ours else { return None };
    serde_json::from_str(ours.strip_prefix(MARK.as_str())?.split_once(':')?.1).ok()
}

fn lock(answering: &Mutex<Answering>) -> MutexGuard<'_, Answering> {
    answering.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_comes_back_as_it_was_and_none_is_given_twice() {
        let ids = Ids::default();
        let clients = [
            RequestId::Number(1),
            RequestId::Number(-7),
            RequestId::String("1".into()),
            RequestId::String("a:\"b\\\u{1b}ä".into()),
            RequestId::String("".into()),
            RequestId::String("7:1".into()),
        ];
        let mut seen = Vec::new();
        for _ in 0..2 {
            for id in &clients {
                let entry = ids.enter(id);
                assert_eq!(to_clients(&entry.ours).as_ref(), Some(id));
                assert_eq!(to_clients(id), None, "it is none of ours");
                seen.push(entry);
            }
        }
        seen.truncate(clients.len());
        let tokens = seen.iter().map(|entry| to_ours(entry.number, &RequestId::Number(1)));
        assert_eq!(tokens.collect::<std::collections::HashSet<_>>().len(), clients.len());
        assert_eq!(ids.take(&clients[0]).len(), 1);
        assert_eq!(ids.take(&clients[0]).len(), 0, "once");
        drop(seen);
        assert!(lock(&ids.0).ours.is_empty(), "nothing of what has been answered is held");
    }
}
