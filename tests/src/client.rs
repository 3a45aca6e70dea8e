//! A minimal MCP client over both transports. It sends anything and checks nothing, so that tests can violate the
//! protocol. Other tests use the official clients.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process;
use crate::reply::{HttpReply, Reply};
use crate::world::Folder;

/// MCP transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Stdin and stdout.
    Stdio,
    /// Streamable HTTP.
    Http,
}

impl Transport {
    /// All variants.
    pub const ALL: [Self; 2] = [Self::Stdio, Self::Http];
}

/// A running server, ended on drop. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    child: Mutex<Child>,
    link: Link,
    log: Arc<Mutex<String>>,
    ids: AtomicI64,
    /// Keeps the world's folder alive while the server runs.
    _folder: Arc<Folder>,
}

enum Link {
    Http(SocketAddr),
    Stdio { input: Mutex<Option<ChildStdin>>, heard: Arc<Heard> },
}

#[derive(Default)]
struct Heard {
    messages: Mutex<Messages>,
    more: Condvar,
}

#[derive(Default)]
struct Messages {
    replies: HashMap<String, Value>,
    others: Vec<Value>,
    lines: Vec<String>,
    ended: bool,
}

/// Time after which a test gives up waiting. It is long because guests run at low priority: on a fully loaded machine
/// they get a hundredth of a core.
pub const PATIENCE: Duration = Duration::from_secs(600);

impl Server {
    pub(crate) fn start(
        mut command: Command,
        transport: Transport,
        args: &[&str],
        folder: Arc<Folder>,
    ) -> Self {
        match transport {
            Transport::Stdio => command.args(["serve", "--stdio"]),
            Transport::Http if args.contains(&"--listen") => command.arg("serve"),
            Transport::Http => command.args(["serve", "--listen", "127.0.0.1:0"]),
        };
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let address = follow(child.stderr.take().unwrap(), Arc::clone(&log));
        let stdout = child.stdout.take().unwrap();
        let link = match transport {
            Transport::Http => {
                let said = || log.lock().unwrap().clone();
                Link::Http(
                    address
                        .recv_timeout(PATIENCE)
                        .unwrap_or_else(|_| panic!("it does not serve: {}", said())),
                )
            }
            Transport::Stdio => {
                let heard = Arc::new(Heard::default());
                listen(stdout, Arc::clone(&heard));
                Link::Stdio { input: Mutex::new(child.stdin.take()), heard }
            }
        };
        Self(Arc::new(Inner { child: Mutex::new(child), link, log, ids: AtomicI64::new(1), _folder: folder }))
    }

    /// Listening address.
    pub fn address(&self) -> SocketAddr {
        match &self.0.link {
            Link::Http(address) => *address,
            Link::Stdio { .. } => panic!("it does not listen"),
        }
    }

    /// Transport in use.
    pub fn transport(&self) -> Transport {
        match &self.0.link {
            Link::Http(_) => Transport::Http,
            Link::Stdio { .. } => Transport::Stdio,
        }
    }

    /// Log so far.
    pub fn log(&self) -> String {
        self.0.log.lock().unwrap().clone()
    }

    /// Waits until its log, with `TOOLGATE_LOG=debug` in its environment, shows a running guest.
    pub fn wait_for_guest(&self) {
        self.wait_for_log("a guest begins");
    }

    /// Waits until its log contains a text; a line may appear after the answer of its call.
    pub fn wait_for_log(&self, words: &str) -> String {
        let has_it = || self.log().contains(words);
        self.wait_until(&format!("its log has `{words}`"), has_it);
        self.log()
    }

    /// Waits until a condition holds; on timeout fails with its name and the log.
    pub fn wait_until(&self, what: &str, holds: impl FnMut() -> bool) {
        assert!(process::comes_to_hold(holds), "never: {what}: {}", self.log());
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.child.lock().unwrap().id()
    }

    /// Sends a signal by name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap().success());
    }

    /// Waits for the process to end; returns its exit code.
    pub fn wait(&self) -> i32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.child.lock().unwrap().try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process is running.
    pub fn is_alive(&self) -> bool {
        self.0.child.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// Sends one request of the modern era and returns the response.
    pub fn request(&self, method: &str, params: Value) -> Value {
        let (id, message) = self.modern(method, params);
        match &self.0.link {
            Link::Http(_) => {
                let reply = self.post(&message.to_string(), &headers(&message));
                serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("no JSON: {reply:?}"))
            }
            Link::Stdio { .. } => {
                self.send(&message.to_string());
                self.reply(&json!(id)).unwrap_or_else(|| panic!("no answer to {method}: {}", self.log()))
            }
        }
    }

    /// Builds a request of the modern era with a new id.
    pub fn modern(&self, method: &str, mut params: Value) -> (i64, Value) {
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        (id, json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    }

    /// Calls a tool.
    pub fn call(&self, tool: &str, arguments: Value) -> Reply {
        Reply(self.request("tools/call", json!({ "name": tool, "arguments": arguments })))
    }

    /// Calls a tool in the background.
    pub fn calling(&self, tool: &str, arguments: Value) -> JoinHandle<Reply> {
        let (server, tool) = (self.clone(), tool.to_owned());
        std::thread::spawn(move || server.call(&tool, arguments))
    }

    /// Names of the listed tools.
    pub fn tools(&self) -> Vec<String> {
        let listed = self.request("tools/list", json!({}));
        let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools: {listed}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Posts a body with these headers and the default ones. HTTP only.
    pub fn post(&self, body: &str, headers: &[(String, String)]) -> HttpReply {
        self.http("POST", "/mcp", headers, Some(body))
    }

    /// Sends any HTTP request.
    pub fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Option<&str>,
    ) -> HttpReply {
        let mut stream = self.open(method, path, headers, body);
        let mut bytes = Vec::new();
        // A server that rejects a request may close the connection before all of it was sent.
        drop(stream.read_to_end(&mut bytes));
        HttpReply::parse(&String::from_utf8_lossy(&bytes))
    }

    /// A connection with a request sent and nothing read.
    pub fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Option<&str>,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        let mut set = |name: &str, value: &str| {
            if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        };
        set("Host", &self.address().to_string());
        set("Accept", "application/json, text/event-stream");
        if let Some(body) = body {
            set("Content-Type", "application/json");
            set("Content-Length", &body.len().to_string());
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        if let Some(body) = body {
            drop(stream.write_all(body.as_bytes()));
        }
        stream
    }

    /// Sends one line. Stdio only.
    pub fn send(&self, line: &str) {
        self.send_bytes(line.as_bytes());
    }

    /// Sends one line that need not be UTF-8. Stdio only.
    pub fn send_bytes(&self, line: &[u8]) {
        let Link::Stdio { input, .. } = &self.0.link else { panic!("it does not speak stdio") };
        let mut input = input.lock().unwrap();
        let input = input.as_mut().unwrap();
        input.write_all(line).unwrap();
        input.write_all(b"\n").unwrap();
    }

    /// Closes stdin. Stdio only.
    pub fn hang_up(&self) {
        let Link::Stdio { input, .. } = &self.0.link else { panic!("it does not speak stdio") };
        drop(input.lock().unwrap().take());
    }

    /// Waits for the response to a request. Stdio only.
    pub fn reply(&self, id: &Value) -> Option<Value> {
        self.hear(PATIENCE, |messages| messages.replies.remove(&id.to_string()))
    }

    /// Waits for a notification of this method. Stdio only.
    pub fn notification(&self, method: &str, patience: Duration) -> Option<Value> {
        self.hear(patience, |messages| {
            let at = messages.others.iter().position(|message| message["method"] == method)?;
            Some(messages.others.remove(at))
        })
    }

    /// All lines received on stdout. Stdio only.
    pub fn lines(&self) -> Vec<String> {
        let Link::Stdio { heard, .. } = &self.0.link else { panic!("it does not speak stdio") };
        heard.messages.lock().unwrap().lines.clone()
    }

    fn hear<T>(&self, patience: Duration, find: impl Fn(&mut Messages) -> Option<T>) -> Option<T> {
        let Link::Stdio { heard, .. } = &self.0.link else { panic!("it does not speak stdio") };
        let until = Instant::now() + patience;
        let mut messages = heard.messages.lock().unwrap();
        loop {
            if let Some(found) = find(&mut messages) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || messages.ended {
                return None;
            }
            messages = heard.more.wait_timeout(messages, left).unwrap().0;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        drop(child.kill());
        drop(child.wait());
    }
}

/// Headers that a modern request requires.
pub fn headers(message: &Value) -> Vec<(String, String)> {
    let mut headers = vec![
        ("MCP-Protocol-Version".to_owned(), "2026-07-28".to_owned()),
        ("Mcp-Method".to_owned(), message["method"].as_str().unwrap_or_default().to_owned()),
    ];
    if let Some(name) = message["params"]["name"].as_str() {
        headers.push(("Mcp-Name".to_owned(), name.to_owned()));
    }
    headers
}

/// Collects the log and reports the address when it appears.
fn follow(
    stderr: impl std::io::Read + Send + 'static,
    log: Arc<Mutex<String>>,
) -> std::sync::mpsc::Receiver<SocketAddr> {
    let (tell, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
            drop(log);
            let named = line
                .split("serving MCP at http")
                .nth(1)
                .and_then(|rest| rest.split("://").nth(1)?.split('/').next()?.parse().ok());
            if let Some(named) = named {
                let _ = tell.send(named);
            }
        }
    });
    address
}

fn listen(stdout: impl std::io::Read + Send + 'static, heard: Arc<Heard>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let mut messages = heard.messages.lock().unwrap();
            messages.lines.push(line.clone());
            if let Ok(message) = serde_json::from_str::<Value>(&line) {
                if message.get("method").is_none() {
                    messages.replies.insert(message["id"].to_string(), message);
                } else {
                    messages.others.push(message);
                }
            }
            drop(messages);
            heard.more.notify_all();
        }
        heard.messages.lock().unwrap().ended = true;
        heard.more.notify_all();
    });
}
