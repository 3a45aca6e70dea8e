//! A local name server with answers chosen by the test, which may change.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// A name server. Runs until the process ends.
pub struct Dns {
    /// Listening address.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    /// Answers queries with the addresses that `answer` gives for the name and the number of earlier queries. Only
    /// addresses of the requested type are sent.
    pub fn serve(answer: impl Fn(&str, usize) -> Vec<IpAddr> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let Some((name, kind, end)) = question(&packet[..length]) else { continue };
                let is_v4 = kind == A;
                let before = {
                    let mut noted = noted.lock().unwrap();
                    let before = noted.iter().filter(|asked| **asked == name).count();
                    if is_v4 {
                        noted.push(name.clone());
                    }
                    before
                };
                let found: Vec<IpAddr> =
                    answer(&name, before).into_iter().filter(|ip| ip.is_ipv4() == is_v4).collect();
                drop(socket.send_to(&reply(&packet[..end], kind, &found), client));
            }
        });
        Self { address, asked }
    }

    /// Number of queries for the addresses of a name.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

/// Record types (RFC 1035 §3.2.2, RFC 3596 §2.1).
const A: u16 = 1;
const AAAA: u16 = 28;

/// Name and type of the question, and its end (RFC 1035 §4.1).
fn question(packet: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

/// A response with the question and these addresses, cacheable for an hour.
fn reply(question: &[u8], kind: u16, found: &[IpAddr]) -> Vec<u8> {
    let mut reply = question.to_vec();
    reply[2..4].copy_from_slice(&[0x81, 0x80]);
    reply[6..12].copy_from_slice(&[0, found.len() as u8, 0, 0, 0, 0]);
    for ip in found {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        assert!(kind == A || kind == AAAA);
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0x0e, 0x10, 0, octets.len() as u8]);
        reply.extend(octets);
    }
    reply
}
