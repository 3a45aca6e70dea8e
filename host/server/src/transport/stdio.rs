//! MCP over stdin and stdout: one message a line. The process's own stdout is taken away first, so that nothing but
//! messages can reach the client, whatever prints.

use std::fs::File;
use std::io;
use std::sync::Arc;

use rmcp::model::{ClientJsonRpcMessage, GetExtensions as _};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServiceExt as _};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Stdin};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use toolgate_policy::Principal;

use super::envelope::{Envelope, Malformed};
use crate::mcp::{Handler, Inbound};

/// The stdio of this process as a transport of the protocol's library.
pub(crate) struct Stdio {
    incoming: mpsc::Receiver<ClientJsonRpcMessage>,
    output: Output,
    _reader: AbortOnDropHandle<()>,
}

type Output = Arc<Mutex<tokio::fs::File>>;

/// Reads stdin in a task of its own: the library gives up waiting whenever something else happens, and half a line must
/// not be lost then.
struct Reader {
    input: BufReader<Stdin>,
    output: Output,
    principal: Principal,
    bytes_max: u64,
    /// Before the first request the library takes anything else as the end of the conversation.
    begun: bool,
}

impl Stdio {
    /// Takes stdout: from here on whatever is printed goes to stderr.
    ///
    /// # Errors
    /// Whatever the system says.
    pub(crate) fn take(principal: Principal, bytes_max: u64) -> io::Result<Self> {
        let own = rustix::io::dup(rustix::stdio::stdout())?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        let output: Output = Arc::new(Mutex::new(tokio::fs::File::from_std(File::from(own))));
        let input = BufReader::with_capacity(64 << 10, tokio::io::stdin());
        let reader = Reader { input, output: Arc::clone(&output), principal, bytes_max, begun: false };
        // One message waits at the most: a client that is faster than its answers is held up by its pipe.
        let (found, incoming) = mpsc::channel(1);
        let reader = AbortOnDropHandle::new(tokio::spawn(reader.run(found)));
        Ok(Self { incoming, output, _reader: reader })
    }

    /// Talks to the one client at the other end until it hangs up, or until `hang_up`.
    pub(crate) async fn converse(self, handler: Handler, hang_up: CancellationToken) {
        match handler.serve_with_ct(self, hang_up).await {
            Ok(service) => {
                if let Err(error) = service.waiting().await {
                    tracing::error!(%error, "the conversation over stdio failed");
                }
            }
            // A client that hangs up before it said anything is no failure.
            Err(error) => tracing::debug!(%error, "there was no conversation over stdio"),
        }
    }
}

impl Reader {
    async fn run(mut self, found: mpsc::Sender<ClientJsonRpcMessage>) {
        loop {
            match self.next().await {
                Ok(Some(message)) => {
                    if found.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the conversation over stdio broke off");
                    return;
                }
            }
        }
    }

    /// The next message that is one; others are answered here.
    async fn next(&mut self) -> io::Result<Option<ClientJsonRpcMessage>> {
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            let read = match line {
                Ok(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(line) => self.read(&line),
                Err(malformed) => Err(malformed),
            };
            match read {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(malformed) => write(&self.output, malformed.reply().to_string().into_bytes()).await?,
            }
        }
    }

    /// The next line without its end; none at the end of the input. A line that is too long is read past and refused.
    async fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, Malformed>>> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                let rest = !line.is_empty() || too_long;
                return Ok(rest.then_some(if too_long { Err(self.too_long()) } else { Ok(line) }));
            }
            let end = chunk.iter().position(|b| *b == b'\n');
            let taken = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            if (line.len() + taken.len()) as u64 > self.bytes_max {
                too_long = true;
                line.clear();
            } else if !too_long {
                line.extend_from_slice(taken);
            }
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(if too_long { Err(self.too_long()) } else { Ok(line) }));
            }
        }
    }

    fn too_long(&self) -> Malformed {
        Malformed::invalid(
            format!("the message has more than {} bytes ([server.limits] body_bytes_max)", self.bytes_max),
            Value::Null,
        )
    }

    fn read(&mut self, line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, Malformed> {
        let envelope = Envelope::read(line, self.bytes_max)?;
        if !self.begun && !envelope.is_request {
            return Ok(None);
        }
        let mut message: ClientJsonRpcMessage = serde_json::from_slice(line).map_err(|_| {
            Malformed::invalid("it is no request, notification or response of MCP", Value::Null)
        })?;
        let inbound =
            Inbound { principal: self.principal.clone(), arguments: envelope.arguments.map(Arc::new) };
        if let ClientJsonRpcMessage::Request(request) = &mut message {
            request.request.extensions_mut().insert(inbound);
        }
        self.begun = true;
        Ok(Some(message))
    }
}

impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let output = Arc::clone(&self.output);
        async move { write(&output, serde_json::to_vec(&message)?).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.incoming.recv().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.lock().await.flush().await
    }
}

/// One message, one write: messages of concurrent calls never mix.
async fn write(output: &Output, mut message: Vec<u8>) -> io::Result<()> {
    message.push(b'\n');
    let mut output = output.lock().await;
    output.write_all(&message).await?;
    output.flush().await
}
