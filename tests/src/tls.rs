//! TLS clients of a server: HTTP/1.1 as text, and HTTP/2 frame by frame, so that tests can break its rules.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::PATIENCE;
use crate::reply::HttpReply;
use crate::{Server, World};

/// A certificate for `localhost`, signed by its own key.
pub struct Certificate {
    /// Certificate in PEM.
    pub cert: String,
    /// Private key in PEM.
    pub key: String,
    /// Certificate in DER.
    pub der: CertificateDer<'static>,
}

impl Certificate {
    /// A certificate that is valid until the end of this year.
    pub fn until(year: i32) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year, 12, 31);
        let made = parameters.self_signed(&key).unwrap();
        Self { cert: made.pem(), key: key.serialize_pem(), der: made.der().clone() }
    }

    /// Writes certificate and key into a world.
    pub fn put(&self, world: &World) {
        world.put("chain.pem", self.cert.as_bytes(), 0o644);
        world.put("key.pem", self.key.as_bytes(), 0o600);
    }
}

/// A connection with TLS.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Connects by one protocol, trusting this certificate alone. The handshake is done when something is read or written.
pub fn connect(server: &Server, trusted: &Certificate, protocol: &str) -> TlsStream {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// Posts a body by HTTP/1.1 and reads the answer. The connection stays open.
pub fn post(stream: &mut TlsStream, headers: &[(String, String)], body: &str) -> HttpReply {
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let (mut text, mut chunk) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "it broke off: {text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if length.is_none_or(|length: usize| body.len() >= length) {
            return HttpReply::parse(&text);
        }
    }
}

/// A frame of HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Type, such as [`DATA`].
    pub kind: u8,
    /// Flags, such as [`END_STREAM`].
    pub flags: u8,
    /// Number of the stream.
    pub stream: u32,
    /// Content.
    pub payload: Vec<u8>,
}

/// Types of frames (RFC 9113, section 6).
pub const DATA: u8 = 0;
/// Begins a stream, or an answer.
pub const HEADERS: u8 = 1;
/// Ends a stream at once.
pub const RST_STREAM: u8 = 3;
/// Settings of one side.
pub const SETTINGS: u8 = 4;
/// Asks whether the other side is there.
pub const PING: u8 = 6;
/// Ends the connection.
pub const GOAWAY: u8 = 7;
/// Flag of the last frame of a message.
pub const END_STREAM: u8 = 1;
/// Flag of the last frame of a header list.
pub const END_HEADERS: u8 = 4;

/// A connection of HTTP/2.
pub struct Http2 {
    stream: TlsStream,
    next: u32,
}

impl Http2 {
    /// Connects and sends the preface.
    pub fn connect(server: &Server, trusted: &Certificate) -> Self {
        let mut stream = connect(server, trusted, "h2");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut this = Self { stream, next: 1 };
        this.send(SETTINGS, 0, 0, &[]).unwrap();
        this
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    /// Begins a POST whose body follows, and returns its stream.
    pub fn begin(&mut self, headers: &[(String, String)]) -> std::io::Result<u32> {
        let given = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut all = vec![
            given(":method", "POST"),
            given(":scheme", "https"),
            given(":path", "/mcp"),
            given(":authority", "localhost"),
            given("accept", "application/json, text/event-stream"),
            given("content-type", "application/json"),
        ];
        all.extend_from_slice(headers);
        let block: Vec<u8> = all.iter().flat_map(|(name, value)| literal(0x00, name, value)).collect();
        self.begin_with(&block)
    }

    /// The same with the bytes of a header list.
    pub fn begin_with(&mut self, block: &[u8]) -> std::io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        self.send(HEADERS, END_HEADERS, stream, block)?;
        Ok(stream)
    }

    /// Posts a body. Returns whether the answer has status 200, and its body.
    pub fn post(&mut self, headers: &[(String, String)], body: &str) -> (bool, String) {
        let stream = self.begin(headers).unwrap();
        self.send(DATA, END_STREAM, stream, body.as_bytes()).unwrap();
        let (mut is_ok, mut text) = (false, Vec::new());
        loop {
            let frame = self.read().expect("an answer");
            match frame.kind {
                HEADERS if frame.stream == stream => is_ok = frame.payload[0] == STATUS_200,
                DATA if frame.stream == stream => text.extend(&frame.payload),
                RST_STREAM | GOAWAY => panic!("{frame:?}"),
                _ => continue,
            }
            if frame.flags & END_STREAM != 0 {
                return (is_ok, String::from_utf8(text).unwrap());
            }
        }
    }

    /// The next frame; `None` when the connection has ended. Settings are confirmed.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == SETTINGS && frame.flags == 0 {
            drop(self.send(SETTINGS, 1, 0, &[]));
        }
        Some(frame)
    }
}

/// First byte of a header list that begins with status 200 (RFC 7541, appendix A).
pub const STATUS_200: u8 = 0x88;

/// A header as literal text, with a name of its own (RFC 7541, section 6.2).
pub fn literal(form: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![form];
    for text in [name, value] {
        match text.len().checked_sub(127) {
            None => bytes.push(u8::try_from(text.len()).unwrap()),
            Some(mut more) => {
                bytes.push(127);
                while more >= 128 {
                    bytes.push(u8::try_from(more % 128).unwrap() | 128);
                    more /= 128;
                }
                bytes.push(u8::try_from(more).unwrap());
            }
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}
