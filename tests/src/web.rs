//! Local web servers for guests, with scripted responses. They record requests.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

/// A web server. Runs until the process ends.
pub struct Web {
    /// Listening address.
    pub address: SocketAddr,
    /// Certificate authority in PEM, if it uses TLS.
    pub ca: String,
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
}

/// Writes the response to a request (head and body).
pub type Answer = fn(&str, &mut dyn Write);

impl Web {
    /// A server without TLS.
    pub fn plain(answer: Answer) -> Self {
        let (listener, address, heard) = bind();
        let remember = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let remember = Arc::clone(&remember);
                std::thread::spawn(move || {
                    let mut stream = stream;
                    exchange(&mut stream, &remember, answer)
                });
            }
        });
        Self { address, ca: String::new(), heard, connections: Arc::default(), resumed: Arc::default() }
    }

    /// A server without TLS, with a closure for responses.
    pub fn answering(answer: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Self {
        let (listener, address, heard) = bind();
        let (remember, answer) = (Arc::clone(&heard), Arc::new(answer));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (remember, answer) = (Arc::clone(&remember), Arc::clone(&answer));
                std::thread::spawn(move || exchange(&mut stream, &remember, &*answer));
            }
        });
        Self { address, ca: String::new(), heard, connections: Arc::default(), resumed: Arc::default() }
    }

    /// A server without TLS and with persistent connections.
    pub fn lasting(answer: Answer) -> Self {
        let (listener, address, heard) = bind();
        let (remember, connections) = (Arc::clone(&heard), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let remember = Arc::clone(&remember);
                std::thread::spawn(move || while exchange(&mut stream, &remember, answer) {});
            }
        });
        Self { address, ca: String::new(), heard, connections, resumed: Arc::default() }
    }

    /// A server with TLS under the name `localhost` and with persistent connections.
    pub fn tls(answer: Answer) -> Self {
        let (listener, address, heard) = bind();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca = made.cert.pem();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
        let remember = Arc::clone(&heard);
        let (connections, resumed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (count, goes_on) = (Arc::clone(&connections), Arc::clone(&resumed));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let (remember, config, goes_on) =
                    (Arc::clone(&remember), Arc::clone(&config), Arc::clone(&goes_on));
                std::thread::spawn(move || {
                    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    while exchange(&mut tls, &remember, answer) {}
                    if tls.conn.handshake_kind() == Some(HandshakeKind::Resumed) {
                        goes_on.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, ca, heard, connections, resumed }
    }

    /// Number of ended connections that resumed a TLS session.
    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }

    /// Number of connections to a server of [`Web::lasting`] or [`Web::tls`].
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Complete requests received.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn bind() -> (TcpListener, SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address, Arc::default())
}

/// Serves one request. Returns false if none arrived.
fn exchange<S: std::io::Read + Write>(
    stream: &mut S,
    heard: &Mutex<Vec<String>>,
    answer: impl Fn(&str, &mut dyn Write),
) -> bool {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(read) => text.extend_from_slice(&chunk[..read]),
        }
        if is_whole(&text) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    if text.is_empty() {
        return false;
    }
    heard.lock().unwrap().push(text.clone());
    answer(&text, stream);
    drop(stream.flush());
    true
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None => !head.contains("transfer-encoding: chunked") || body.ends_with("0\r\n\r\n"),
    }
}

/// Sends a text response.
pub fn respond(to: &mut dyn Write, status: &str, headers: &[(&str, &str)], body: &str) {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    drop(to.write_all(format!("{head}\r\n{body}").as_bytes()));
}

/// A port without a listener.
pub fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether a listener received a connection. Local connections are visible at once, so check after the call or program
/// has ended.
pub fn was_connected(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    let connected: Result<(TcpStream, SocketAddr), _> = listener.accept();
    connected.is_ok()
}

/// A server without a protocol: reads once, replies, closes. Runs until the process ends.
pub fn converse(answer: fn(&str) -> Vec<u8>) -> SocketAddr {
    let (listener, address, _) = bind();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut heard = vec![0; 65_536];
                let count = stream.read(&mut heard).unwrap_or(0);
                drop(stream.write_all(&answer(&String::from_utf8_lossy(&heard[..count]))));
            });
        }
    });
    address
}

/// Whether a socket received a datagram; see [`was_connected`] for when to check.
pub fn was_sent(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    socket.recv_from(&mut [0]).is_ok()
}
