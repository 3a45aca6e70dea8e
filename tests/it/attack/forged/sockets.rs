//! A compromised worker with a grant for sockets: one address by TCP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use toolgate_policy::capability::sockets::{Grant, RuleText as Place};
use toolgate_tests::client::PATIENCE;
use toolgate_tests::web::was_sent;

use super::*;

pub(super) const SOCKETS_MAX: u64 = 5;
pub(super) const BYTES_MAX: u64 = 100_000;

/// That something is asked of sockets.
const SOCKETS: u8 = 3;
/// That it is answered.
const ANSWER: u8 = 3;
const DONE: [u8; 3] = [ANSWER, 0, 0];
const DENIED: [u8; 3] = [ANSWER, 1, 0];

const TCP: [u8; 4] = [SOCKETS, 1, 0, 0];
const UDP: [u8; 4] = [SOCKETS, 1, 1, 0];

fn look_up(name: &str) -> Vec<u8> {
    let mut words = vec![SOCKETS, 0];
    length(name.len(), &mut words);
    words.extend(name.as_bytes());
    words
}

/// Encodes an operation on a socket.
fn of(socket: u8, wanted: &[u8]) -> Vec<u8> {
    [&[SOCKETS, 2, socket], wanted].concat()
}

fn at(wanted: &[u8], address: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    let mut words = [wanted, &[0], &address.ip().octets()].concat();
    length(address.port().into(), &mut words);
    words
}

fn bind(address: SocketAddr) -> Vec<u8> {
    at(&[0], address)
}

fn connect(address: SocketAddr) -> Vec<u8> {
    at(&[1], address)
}

fn send(bytes: usize) -> Vec<u8> {
    let mut words = vec![8];
    length(bytes, &mut words);
    words.resize(words.len() + bytes, b'x');
    words
}

const LISTEN: [u8; 1] = [3];
const LOCAL: [u8; 1] = [4];
const AWAIT: [u8; 1] = [9];
const RECEIVE: [u8; 2] = [10, 100];
const SHUT: [u8; 2] = [13, 0];

/// A server whose plugin may connect to one address.
fn taken(place: SocketAddr) -> Taken {
    let host = place.ip().to_string();
    let rule = Place { host, port: place.port().into(), protocol: None, private: true };
    let grants = Grants { sockets: Some(Grant::new(vec![rule]).unwrap()), ..Grants::default() };
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], ""));
    let world = World::new().plugin("web", &test_guest("connecting"));
    Taken::granted(world, grants, web, "web_tcp", json!({ "address": "127.0.0.1:1" }))
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Call {
    /// Sends a request with this number; returns the answer.
    fn asks(&mut self, number: u64, words: &[u8]) -> Vec<u8> {
        self.say(&ask(1, number, words));
        self.answer(number)
    }

    /// Opens a connection as socket 1.
    fn connected(&mut self, to: SocketAddr) {
        assert_eq!(self.asks(1, &TCP), DONE);
        assert_eq!(self.asks(2, &of(1, &connect(to))), DONE);
    }
}

#[test]
fn a_worker_in_wrong_hands_connects_where_it_is_granted_and_nowhere_else() {
    let ((granted, place), (other, elsewhere)) = (listener(), listener());
    let beside = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken(place);
    let mut call = taken.call();
    assert_eq!(call.asks(1, &look_up("localhost")), DENIED);
    assert_eq!(call.asks(2, &UDP), DENIED);
    assert_eq!(
        call.asks(3, &of(2, &at(&[11, 1, b'x', 1], beside.local_addr().unwrap())))[1],
        1,
        "it is not open"
    );
    assert_eq!(call.asks(4, &TCP), DONE);
    assert_eq!(call.asks(5, &of(4, &bind("127.0.0.1:0".parse().unwrap()))), DENIED);
    assert_eq!(call.asks(6, &of(4, &LISTEN)), DENIED);
    assert_eq!(call.asks(7, &of(4, &connect(elsewhere))), DENIED);
    assert_eq!(call.asks(8, &of(4, &connect(place))), DENIED, "it was refused once");
    assert_eq!(call.asks(9, &of(4, &send(10))), DENIED);
    assert!(!was_connected(&other) && !was_connected(&granted) && !was_sent(&beside));
    assert_eq!(call.asks(10, &TCP), DONE);
    assert_eq!(call.asks(11, &of(10, &connect(place))), DONE, "what is granted is done");
    granted.set_nonblocking(false).unwrap();
    let (mut stream, _) = granted.accept().unwrap();
    assert_eq!(call.asks(12, &of(10, &send(3))), DONE);
    let mut heard = [0; 3];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"xxx");
    stream.write_all(b"hello").unwrap();
    assert_eq!(call.asks(13, &of(10, &RECEIVE)), [&[ANSWER, 0, 4, 5], b"hello".as_slice()].concat());
    call.say(&ended(1));
    taken.outcome(&mut call);
    let record = taken.world.call_records().pop().unwrap()["hosts"].to_string();
    for noted in [
        "refused: lookup of localhost".to_owned(),
        "refused: bind 127.0.0.1:0".to_owned(),
        "refused: listen".to_owned(),
        format!("refused: tcp://{elsewhere}"),
        format!("\"tcp://{place}\""),
    ] {
        assert!(record.contains(&noted), "{noted}: {record}");
    }
}

#[test]
fn a_worker_in_wrong_hands_opens_and_sends_no_more_than_its_call_may() {
    let (listener, place) = listener();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        // Ending a call may reset its connection.
        drop(stream.read_to_end(&mut heard));
        heard.len()
    });
    let taken = taken(place);
    let mut call = taken.call();
    call.connected(place);
    for number in 3..=SOCKETS_MAX + 1 {
        assert_eq!(call.asks(number, &TCP), DONE, "{number}");
    }
    assert_eq!(call.asks(10, &TCP), DENIED);
    assert!(call.is_stopped_by("sockets_max"));
    assert_eq!(call.asks(11, &of(1, &send(1))), DENIED, "the call has met its limit");
    call.say(&ended(1));
    taken.outcome(&mut call);
    assert_eq!(heard.join().unwrap(), 0);

    let (listener, place) = self::listener();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read_to_end(&mut heard));
        heard.len() as u64
    });
    let taken = self::taken(place);
    let mut call = taken.call();
    call.connected(place);
    assert_eq!(call.asks(3, &of(1, &send(60_000))), DONE);
    assert_eq!(call.asks(4, &of(1, &send(60_000)))[1], 1);
    assert!(call.is_stopped_by("socket_bytes_max"));
    call.say(&ended(1));
    taken.outcome(&mut call);
    assert!(heard.join().unwrap() <= BYTES_MAX);
}

#[test]
fn a_worker_that_asks_of_sockets_what_no_worker_may_is_ended() {
    let (listener, place) = listener();
    let kept: std::sync::Arc<std::sync::Mutex<Vec<TcpStream>>> = std::sync::Arc::default();
    let keep = std::sync::Arc::clone(&kept);
    // Accepts connections and sends nothing.
    std::thread::spawn(move || {
        listener.incoming().map_while(Result::ok).for_each(|stream| keep.lock().unwrap().push(stream));
    });
    let taken = taken(place);
    let twice = |first: &[u8], second: &[u8]| [ask(1, 3, first), ask(1, 4, second)].concat();
    let closed = close(1);
    let cases: [(&str, Vec<u8>); 10] = [
        ("of a socket that is not", ask(1, 3, &of(7, &LOCAL))),
        ("of a socket that was closed", twice(&closed, &of(1, &LOCAL))),
        ("closing what was closed", twice(&closed, &closed)),
        ("two things from one direction", twice(&of(1, &RECEIVE), &of(1, &AWAIT))),
        ("a second end of a socket that is not", ask(1, 3, &of(9, &SHUT))),
        ("too long a name", ask(1, 3, &look_up(&"x".repeat(3_000)))),
        ("too much to send", ask(1, 3, &of(1, &send(70_000)))),
        ("something unknown of a socket", ask(1, 3, &of(1, &[99]))),
        ("something unknown of sockets", ask(1, 3, &[SOCKETS, 9])),
        ("something and more", ask(1, 3, &[of(1, &LOCAL).as_slice(), b"more"].concat())),
    ];
    for (what, words) in cases {
        let mut call = taken.call();
        call.connected(place);
        call.say(&words);
        let outcome = taken.outcome(&mut call);
        assert!(
            matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Worker),
            "{what}: {outcome:?}"
        );
        call.wait_for_end();
        // The connection is established, but may not have been accepted yet.
        wait_until("the connection is taken", || !kept.lock().unwrap().is_empty());
        let mut stream = kept.lock().unwrap().pop().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let ended = stream.read(&mut [0]);
        assert!(
            !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{what}: {ended:?}"
        );
    }
    // Opens more sockets than allowed, one after another.
    let mut call = taken.call();
    let at_once = toolgate_policy::limits::call::SOCKETS_OPENING_MAX as u64;
    for number in 1..=SOCKETS_MAX + at_once {
        call.asks(number, &TCP);
    }
    call.say(&ask(1, SOCKETS_MAX + at_once + 1, &TCP));
    let outcome = taken.outcome(&mut call);
    assert!(matches!(&outcome, Outcome::Fault(fault) if fault.kind() == FaultKind::Worker), "{outcome:?}");
}
