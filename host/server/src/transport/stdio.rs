//! MCP over stdin and stdout: one message per line. The process's stdout is redirected first, so that only messages
//! reach the client.

mod closed;
mod lines;
mod output;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::model::{ClientJsonRpcMessage, ClientNotification, GetExtensions as _, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServiceExt as _};
use serde_json::{Value, json};
use tokio::io::{BufReader, Stdin};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::Principal;
use toolgate_policy::limits::wire::{HANG_UP_END_MS, HANG_UP_MS, SMALL_MESSAGE_BYTES};
use toolgate_runtime::call::request::Arguments;
use toolgate_runtime::large::{Large, LargeMessage};
use toolgate_runtime::quota::{Quota, Taken};
use toolgate_runtime::turns::Caller;

use super::envelope::{Envelope, Malformed, Skim};
use super::ids::{self, Ids};
use crate::config::WireLimits;
use crate::mcp::{self, Conversation, Handler, Inbound, Lifecycle};
use lines::{Line, Lines};
use output::Output;

/// The stdio of this process as a transport of the protocol library.
pub(crate) struct Stdio {
    incoming: mpsc::Receiver<ClientJsonRpcMessage>,
    output: Output,
    answering: Answering,
    conversation: Arc<Conversation>,
    /// Time until which calls may continue after the client closed stdin.
    hung_up: Option<Instant>,
    _reader: AbortOnDropHandle<()>,
}

/// Reads stdin in a task of its own, because the library cancels its wait for a message at other events, which would
/// lose a partial line.
struct Reader {
    lines: Lines<BufReader<Stdin>>,
    output: Output,
    answering: Answering,
    principal: Principal,
    conversation: Arc<Conversation>,
    ids: Ids,
    requests: Arc<Quota>,
    streams: Arc<Quota>,
    /// Whether a request was received. The library ends the conversation if anything else comes first.
    begun: bool,
    lifecycle: Lifecycle,
}

/// Result of reading a message.
enum Read {
    /// Passed to the library.
    Message(Box<ClientJsonRpcMessage>),
    /// Answered by the transport.
    Answer(Value),
    /// Neither passed on nor answered.
    Nothing,
}

/// Requests whose answers are not yet written, by id.
type Answering = Arc<Mutex<HashMap<RequestId, Unanswered>>>;

/// Resources of such a request.
struct Unanswered {
    _place: Arc<Taken>,
    /// A stream ends only at the client's or server's request.
    is_stream: bool,
    /// Reserved for a large answer.
    _answer: Arc<Mutex<Option<Taken>>>,
}

/// Method of requests that are answered when their notification stream ends.
const LISTEN: &str = "subscriptions/listen";

/// Peer name of the process at the other end.
const PEER: &str = "stdio";

impl Stdio {
    /// Redirects stdout: everything printed from here on goes to stderr.
    pub(crate) fn take(principal: Principal, limits: &WireLimits, large: &Large) -> io::Result<Self> {
        let own = rustix::io::dup(rustix::stdio::stdout())?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        let caller = Caller::new(principal.tenant().clone(), PEER, 0);
        let output = Output::new(tokio::fs::File::from_std(File::from(own)), large.clone(), caller.clone());
        let input = BufReader::with_capacity(64 << 10, tokio::io::stdin());
        let answering = Answering::default();
        let conversation: Arc<Conversation> = Arc::default();
        let reader = Reader {
            lines: Lines { input, bytes_max: limits.body_bytes_max, large: large.clone(), caller },
            output: output.clone(),
            answering: Arc::clone(&answering),
            principal,
            conversation: Arc::clone(&conversation),
            ids: Ids::default(),
            requests: Quota::new(limits.requests_max, limits.peer_percent),
            streams: Quota::new(limits.streams_max, limits.peer_percent),
            begun: false,
            lifecycle: Lifecycle::default(),
        };
        // Only one message waits: a client faster than its answers is blocked by its pipe.
        let (found, incoming) = mpsc::channel(1);
        let reader = AbortOnDropHandle::new(tokio::spawn(reader.run(found)));
        Ok(Self { incoming, output, answering, conversation, hung_up: None, _reader: reader })
    }

    /// Serves the one client until it closes stdin, or until `hang_up`. When this returns, none of its calls is
    /// running, except one blocked in the host.
    pub(crate) async fn converse(self, handler: Handler, hang_up: CancellationToken) {
        let conversation = Arc::clone(&self.conversation);
        let over = hang_up.clone();
        // After either end, the client need not read answers any more.
        let unread = async {
            tokio::select! {
                () = conversation.ended() => {}
                () = over.cancelled() => {}
            }
            sleep(Duration::from_millis(HANG_UP_END_MS)).await;
        };
        match handler.serve_with_ct(self, hang_up).await {
            Ok(service) => tokio::select! {
                ended = service.waiting() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the conversation over stdio failed");
                    }
                }
                () = unread => tracing::warn!("the client over stdio did not read its last answers"),
            },
            // A client that disconnects before its first message is no failure.
            Err(error) => tracing::debug!(%error, "there was no conversation over stdio"),
        }
    }
}

impl Reader {
    async fn run(mut self, found: mpsc::Sender<ClientJsonRpcMessage>) {
        loop {
            let message = match self.next().await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => return tracing::warn!(%error, "the conversation over stdio broke off"),
            };
            if found.send(message).await.is_err() {
                return;
            }
        }
    }

    /// The next valid message; invalid ones are answered here.
    async fn next(&mut self) -> io::Result<Option<ClientJsonRpcMessage>> {
        loop {
            let Some(line) = self.lines.next().await? else { return Ok(None) };
            let read = match line {
                Ok(line) => self.envelope(line).await,
                Err(unread) => unread
                    .envelope(self.lines.bytes_max)
                    .and_then(|envelope| with_arguments(envelope, 0, None)),
            };
            let answer = match read.and_then(|(envelope, arguments)| self.read(envelope, arguments)) {
                Ok(Read::Message(message)) => return Ok(Some(*message)),
                Ok(Read::Answer(answer)) => answer,
                Ok(Read::Nothing) => continue,
                Err(malformed) if malformed.wants_no_answer => {
                    tracing::debug!(?malformed, "a notification or an answer was not understood");
                    continue;
                }
                Err(malformed) => malformed.reply(),
            };
            // Nothing is read meanwhile, so the end of stdin must be polled for.
            let hung_up = async {
                closed::closed().await;
                sleep(Duration::from_millis(HANG_UP_MS)).await;
            };
            tokio::select! {
                written = self.output.write(answer.to_string().into_bytes()) => written?,
                () = hung_up => return Ok(None),
            }
        }
    }

    fn read(&mut self, envelope: Envelope, arguments: Option<Arguments>) -> Result<Read, Malformed> {
        if !self.begun && !envelope.is_request {
            return Ok(Read::Nothing);
        }
        let mut message = mcp::message(&envelope.rest).map_err(|problem| envelope.refused(&problem))?;
        let mut inbound = Inbound::new(
            self.principal.clone(),
            self.lines.caller.clone(),
            Some(Arc::clone(&self.conversation)),
        );
        inbound.transport = toolgate_policy::call::Transport::Stdio;
        inbound.arguments = Arc::new(Mutex::new(arguments));
        match &mut message {
            ClientJsonRpcMessage::Request(request) => {
                // Two answers with one id would be ambiguous.
                if lock(&self.answering).contains_key(&request.id) {
                    return Err(Malformed::invalid(
                        "a request with this id is being answered; give each request an id of its own",
                        envelope.id,
                    ));
                }
                let place = self.place(&envelope)?;
                if self.lifecycle.follow(&mut request.request) {
                    return Ok(Read::Answer(json!({ "jsonrpc": "2.0", "id": envelope.id, "result": {} })));
                }
                if let Some(place) = place {
                    let place = Arc::new(place);
                    inbound.resources = Some(Arc::clone(&place) as Arc<dyn Send + Sync>);
                    let answer = Arc::clone(&inbound.answer);
                    let is_stream = envelope.method.as_deref() == Some(LISTEN);
                    let unanswered = Unanswered { _place: place, is_stream, _answer: answer };
                    lock(&self.answering).insert(request.id.clone(), unanswered);
                }
                request.request.extensions_mut().insert(inbound);
            }
            ClientJsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // A cancelled request gets no answer.
                    lock(&self.answering).remove(id);
                }
                notification.notification.extensions_mut().insert(inbound);
            }
            ClientJsonRpcMessage::Response(_) | ClientJsonRpcMessage::Error(_) => {}
        }
        self.begun = true;
        // At most one, since ids of pending requests are unique here.
        Ok(self.ids.inward(message).pop().map_or(Read::Nothing, |message| Read::Message(Box::new(message))))
    }

    /// Parses a message; a large one on the threads for large messages.
    async fn envelope(&self, line: Line) -> Result<(Envelope, Option<Arguments>), Malformed> {
        let Line { bytes, admitted } = line;
        let bytes_max = self.lines.bytes_max;
        let Some(admitted) = admitted else {
            return with_arguments(Envelope::read(&bytes, bytes_max)?, 0, None);
        };
        let bytes = Arc::new(bytes);
        let work = {
            let bytes = Arc::clone(&bytes);
            move || Envelope::read_weighed(&bytes, bytes_max)
        };
        let read = self.lines.large.run(&self.lines.caller, work).await.map_err(|error| {
            tracing::error!(%error, "a message could not be read");
            let beginning = bytes.get(..SMALL_MESSAGE_BYTES).unwrap_or(&bytes);
            Malformed::busy("the host failed; its log says why", Skim::over(beginning).id())
        });
        let (envelope, held_bytes) = read??;
        with_arguments(envelope, held_bytes, Some(admitted))
    }

    fn place(&self, envelope: &Envelope) -> Result<Option<Taken>, Malformed> {
        let (quota, busy) = match envelope.method.as_deref() {
            _ if !envelope.is_request => return Ok(None),
            Some(LISTEN) => (&self.streams, "the server has as many streams as it may; try again later"),
            _ => (&self.requests, "the server answers as many requests as it may; try again later"),
        };
        let place = quota.take(self.lines.caller.peer(), 1);
        place.map(Some).map_err(|_| Malformed::busy(busy, envelope.id.clone()))
    }
}

fn lock(answering: &Answering) -> MutexGuard<'_, HashMap<RequestId, Unanswered>> {
    answering.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message with the arguments of its call, if there is memory for them.
fn with_arguments(
    mut envelope: Envelope,
    held_bytes: usize,
    admitted: Option<LargeMessage>,
) -> Result<(Envelope, Option<Arguments>), Malformed> {
    match envelope.take_arguments(held_bytes, admitted) {
        Ok(arguments) => Ok((envelope, arguments)),
        Err(_) => Err(Malformed::busy(lines::NO_ROOM, envelope.id)),
    }
}

impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        mut message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        ids::outward(&mut message);
        mcp::outward(&mut message);
        let output = self.output.clone();
        let id = match &message {
            TxJsonRpcMessage::<RoleServer>::Response(response) => Some(&response.id),
            TxJsonRpcMessage::<RoleServer>::Error(error) => error.id.as_ref(),
            TxJsonRpcMessage::<RoleServer>::Request(_) | TxJsonRpcMessage::<RoleServer>::Notification(_) => {
                None
            }
        };
        // Its place is released when the answer is written.
        let place = id.and_then(|id| lock(&self.answering).remove(id));
        let conversation = Arc::clone(&self.conversation);
        async move {
            let written = output.send(message).await;
            drop(place);
            // A client that cannot be written to has disconnected.
            if written.is_err() {
                conversation.end();
            }
            written
        }
    }

    /// The next message; `None` when stdin is closed and all calls have ended or are cancelled. The library calls this
    /// again after each message it sends.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let until = match self.hung_up {
            Some(until) => until,
            None => {
                let message = tokio::select! {
                    biased;
                    () = self.conversation.ended() => None,
                    message = self.incoming.recv() => message,
                };
                if message.is_some() {
                    return message;
                }
                *self.hung_up.insert(Instant::now() + Duration::from_millis(HANG_UP_MS))
            }
        };
        let is_answering = lock(&self.answering).values().any(|request| !request.is_stream);
        if is_answering {
            tokio::select! {
                () = self.conversation.ended() => {}
                () = sleep_until(until) => {}
            }
        }
        self.conversation.end();
        None
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.flush().await
    }
}
