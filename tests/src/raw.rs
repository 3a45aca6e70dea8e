//! A server with a scripted reply per connection that records every byte received.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::client::PATIENCE;

/// The server. Runs until the process ends.
pub struct Raw {
    /// Listening address.
    pub address: SocketAddr,
    kept: Arc<Kept>,
}

#[derive(Default)]
struct Kept {
    connections: Mutex<Vec<Connection>>,
    changed: Condvar,
}

#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
    has_ended: bool,
}

/// A connection of the server.
pub struct Peer {
    stream: TcpStream,
    kept: Arc<Kept>,
    number: usize,
}

/// A request as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Method.
    pub method: String,
    /// Request target and version.
    pub path: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Whether it arrived completely.
    pub is_whole: bool,
}

impl Raw {
    /// Serves. When `talk` returns, its connection is closed for sending and the rest of the input recorded.
    pub fn serve(talk: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Arc::<Kept>::default());
        let (talk, keep) = (Arc::new(talk), Arc::clone(&kept));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = keep.with(|connections| {
                    connections.push(Connection::default());
                    connections.len() - 1
                });
                let (talk, kept) = (Arc::clone(&talk), Arc::clone(&keep));
                std::thread::spawn(move || {
                    let mut peer = Peer { stream, kept, number };
                    talk(&mut peer);
                    peer.finish();
                });
            }
        });
        Self { address, kept }
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.kept.with(|connections| connections.len())
    }

    /// Waits until all connections have ended; returns the bytes received on each.
    pub fn arrived(&self) -> Vec<Vec<u8>> {
        let connections = self.kept.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let (connections, waited) = self
            .kept
            .changed
            .wait_timeout_while(connections, PATIENCE, |all| all.iter().any(|one| !one.has_ended))
            .unwrap();
        assert!(!waited.timed_out(), "some connections are still open");
        connections.iter().map(|connection| connection.bytes.clone()).collect()
    }

    /// Like [`Raw::arrived`], parsed as HTTP.
    pub fn requests(&self) -> Vec<Vec<Arrived>> {
        self.arrived().iter().map(|bytes| Arrived::read(bytes)).collect()
    }
}

impl Kept {
    fn with<T>(&self, with: impl FnOnce(&mut Vec<Connection>) -> T) -> T {
        let result = with(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }
}

impl Peer {
    /// Number of the connection; the first is 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Reads at most `bytes_max` bytes; none at the end.
    pub fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut bytes = vec![0; bytes_max];
        let read = self.stream.read(&mut bytes).unwrap_or(0);
        bytes.truncate(read);
        self.kept.with(|connections| connections[self.number].bytes.extend_from_slice(&bytes));
        bytes
    }

    /// Reads `count` bytes, or to the end.
    pub fn read_all(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let more = self.read(count - bytes.len());
            if more.is_empty() {
                break;
            }
            bytes.extend(more);
        }
        bytes
    }

    /// Reads a head and nothing beyond it; `None` at the end.
    pub fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let more = self.read(1);
            if more.is_empty() {
                return None;
            }
            head.extend(more);
        }
        Some(String::from_utf8_lossy(&head).into_owned())
    }

    /// Sends text. Returns false if the other end is gone.
    pub fn say(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).is_ok()
    }

    /// Sends a short response.
    pub fn answer(&mut self, text: &str) -> bool {
        self.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    }

    fn finish(&mut self) {
        drop(self.stream.shutdown(Shutdown::Write));
        while !self.read(1 << 16).is_empty() {}
        self.kept.with(|connections| connections[self.number].has_ended = true);
    }
}

impl Arrived {
    /// Parses consecutive requests.
    pub fn read(mut bytes: &[u8]) -> Vec<Self> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let Some(end) = find(bytes, b"\r\n\r\n") else {
                let text = String::from_utf8_lossy(bytes).into_owned();
                all.push(Self { is_whole: false, ..Self::head(&text) });
                break;
            };
            let mut request = Self::head(&String::from_utf8_lossy(&bytes[..end]));
            bytes = &bytes[end + 4..];
            match (request.header("content-length"), request.header("transfer-encoding")) {
                (Some(length), None) => {
                    let length: usize = length.parse().unwrap();
                    request.is_whole = bytes.len() >= length;
                    request.body = bytes[..length.min(bytes.len())].to_vec();
                    bytes = &bytes[length.min(bytes.len())..];
                }
                (None, Some("chunked")) => bytes = request.chunks(bytes),
                (None, None) => {}
                both => panic!("{both:?}: {request:?}"),
            }
            all.push(request);
        }
        all
    }

    fn head(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let mut word = || first.next().unwrap_or_default().to_owned();
        let (method, path) = (word(), word());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Self { method, path, headers: headers.collect(), body: Vec::new(), is_whole: true }
    }

    fn chunks<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        self.is_whole = false;
        while let Some(end) = find(bytes, b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
            bytes = &bytes[end + 2..];
            if bytes.len() < size + 2 {
                self.body.extend_from_slice(&bytes[..size.min(bytes.len())]);
                return &[];
            }
            self.body.extend_from_slice(&bytes[..size]);
            assert_eq!(&bytes[size..size + 2], b"\r\n");
            bytes = &bytes[size + 2..];
            if size == 0 {
                self.is_whole = true;
                return bytes;
            }
        }
        &[]
    }

    /// Value of a header field, which must be unique.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(this, _)| this == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands there twice: {self:?}");
        value
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}
