//! Bounds of clients over TLS and HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use toolgate_tests::Transport;
use toolgate_tests::client::PATIENCE;
use toolgate_tests::tls::{
    Certificate, DATA, END_STREAM, GOAWAY, HEADERS, Http2, RST_STREAM, STATUS_200, connect, literal,
};

use super::tls::{call, with};

/// Error codes (RFC 9113, section 7).
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[test]
fn a_client_that_takes_back_what_it_asks_is_closed() {
    let certificate = Certificate::until(2999);
    let server = with(&certificate).serve(Transport::Http);
    let (headers, message) = call(&server);
    let mut fast = Http2::connect(&server, &certificate);
    for _ in 0..100 {
        let Ok(stream) = fast.begin(&headers) else { break };
        if fast.send(RST_STREAM, 0, stream, &CANCEL).is_err() {
            break;
        }
    }
    while fast.read().is_some() {}
    server.wait_for_log("their clients took back too many requests");
    assert!(Http2::connect(&server, &certificate).post(&headers, &message).0);
}

#[test]
fn one_stream_more_than_a_connection_may_have_is_refused_and_the_others_go_on() {
    let certificate = Certificate::until(2999);
    let server = with(&certificate).serve(Transport::Http);
    let (headers, message) = call(&server);
    let mut many = Http2::connect(&server, &certificate);
    let streams: Vec<u32> = (0..101).map(|_| many.begin(&headers).unwrap()).collect();
    let refused = loop {
        let frame = many.read().unwrap();
        assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert_eq!((refused.stream, refused.payload), (streams[100], REFUSED_STREAM.to_vec()));
    many.send(DATA, END_STREAM, streams[0], message.as_bytes()).unwrap();
    let answer = loop {
        let frame = many.read().unwrap();
        if frame.kind == HEADERS {
            break frame;
        }
    };
    assert_eq!((answer.stream, answer.payload[0]), (streams[0], STATUS_200));
}

#[test]
fn a_header_list_that_grows_when_it_is_read_is_refused() {
    let certificate = Certificate::until(2999);
    let server = with(&certificate).serve(Transport::Http);
    let (headers, message) = call(&server);
    let mut bomb = Http2::connect(&server, &certificate);
    let named = [(":method", "POST"), (":scheme", "https"), (":path", "/mcp"), (":authority", "localhost")];
    let mut block: Vec<u8> = named.iter().flat_map(|(name, value)| literal(0, name, value)).collect();
    // A header that the server is to remember, and then that one again: 62 is the last one remembered.
    block.extend(literal(0x40, "x", &"x".repeat(3_000)));
    block.extend([0x80 | 62; 100]);
    let stream = bomb.begin_with(&block).unwrap();
    drop(bomb.send(DATA, END_STREAM, stream, message.as_bytes()));
    let answer = loop {
        match bomb.read() {
            Some(frame) if matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY) => break Some(frame),
            Some(_) => {}
            None => break None,
        }
    };
    let is_served =
        answer.as_ref().is_some_and(|frame| frame.kind == HEADERS && frame.payload[0] == STATUS_200);
    assert!(!is_served, "{answer:?}");
    assert!(Http2::connect(&server, &certificate).post(&headers, &message).0);
}

#[test]
fn a_client_that_does_not_finish_its_handshake_or_asks_nothing_after_it_is_closed() {
    let certificate = Certificate::until(2999);
    let server = with(&certificate).serve(Transport::Http);
    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    // The beginning of a record of a handshake.
    slow.write_all(&[22, 3, 1, 1, 0, 1]).unwrap();
    let mut silent = connect(&server, &certificate, "http/1.1");
    silent.conn.complete_io(&mut silent.sock).unwrap();
    let mut idle = Http2::connect(&server, &certificate);
    while idle.read().is_some() {}
    let mut told = Vec::new();
    drop(silent.read_to_end(&mut told));
    assert!(told.is_empty(), "{told:?}");
    let ended = slow.read_to_end(&mut told);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
}
