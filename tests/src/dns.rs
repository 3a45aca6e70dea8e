//! A name server on this machine, which answers as it is told and may change its mind.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// A name server. Ends with the test's process.
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    /// Answers each question for addresses with what `answer` gives for the name and how often it was asked for before. What
    /// it gives may be of either kind; only those of the kind that was asked for are told.
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

    /// How often it was asked for the addresses of a name.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

/// Types of records. RFC 1035, section 3.2.2, and RFC 3596, section 2.1.
const A: u16 = 1;
const AAAA: u16 = 28;

/// The name and type that are asked for, and where the question ends. RFC 1035, section 4.1.
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

/// The question again, as one that is answered, and the answers, which whoever remembers them may use for an hour.
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
