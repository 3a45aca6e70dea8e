//! Web servers on this machine for guests to talk to: each answers as it is told and remembers what it heard.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A web server. Serves until the process ends.
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate authority, in PEM, when it speaks TLS.
    pub ca: String,
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

/// What makes an answer: the request's head and body in, the whole answer out, written as it likes.
pub type Answer = fn(&str, &mut dyn Write);

impl Web {
    /// A plain server.
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
        Self { address, ca: String::new(), heard, connections: Arc::default() }
    }

    /// A plain server whose answers depend on more than the request.
    pub fn answering(answer: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Self {
        let (listener, address, heard) = bind();
        let (remember, answer) = (Arc::clone(&heard), Arc::new(answer));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (remember, answer) = (Arc::clone(&remember), Arc::clone(&answer));
                std::thread::spawn(move || exchange(&mut stream, &remember, &*answer));
            }
        });
        Self { address, ca: String::new(), heard, connections: Arc::default() }
    }

    /// A plain server that answers one request after the other on a connection, until the client hangs up.
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
        Self { address, ca: String::new(), heard, connections }
    }

    /// A server that speaks TLS under the name `localhost`.
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
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (remember, config) = (Arc::clone(&remember), Arc::clone(&config));
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    exchange(&mut StreamOwned::new(connection, stream), &remember, answer)
                });
            }
        });
        Self { address, ca, heard, connections: Arc::default() }
    }

    /// How many connections a lasting server was opened.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests that came, whole.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn bind() -> (TcpListener, SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address, Arc::default())
}

/// Whether anything was asked.
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

/// A plain answer.
pub fn respond(to: &mut dyn Write, status: &str, headers: &[(&str, &str)], body: &str) {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    drop(to.write_all(format!("{head}\r\n{body}").as_bytes()));
}

/// A port on which nobody listens.
pub fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether a listener of ours was connected to. On one machine a connection is there as soon as it is made: what a call did,
/// or a program, is seen when that has ended.
pub fn was_connected(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    let connected: Result<(TcpStream, SocketAddr), _> = listener.accept();
    connected.is_ok()
}

/// A server without a protocol: hears one piece, answers it and ends the connection. Serves until the process ends.
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

/// Whether a socket of ours was sent to; when that is seen, see `was_connected`.
pub fn was_sent(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    socket.recv_from(&mut [0]).is_ok()
}
