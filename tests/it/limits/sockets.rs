//! Other bytes that count against the limits of sockets, and that no byte beyond them is sent.

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};

use serde_json::json;
use toolgate_policy::limits::call::DATAGRAM_BYTES;
use toolgate_tests::Transport;

use super::{assert_met, dialing, socket};

#[test]
pub(super) fn sockets_max_counts_names_that_are_looked_up() {
    let rule = r#"sockets = [{ host = "localhost", port = 1, private = true }]"#;
    let around = json!({ "name": "localhost", "address": "127.0.0.1:1" });
    for world in dialing(rule) {
        let fine = Some(("bad_lookup", json!({ "name": "localhost" })));
        assert_met(world.limit("sockets_max = 1"), "bad_roundabout", &around, "sockets_max", fine);
    }
}

#[test]
pub(super) fn socket_bytes_max_keeps_here_what_would_be_sent_beyond_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let heard = listener.incoming().take(4).map_while(Result::ok).map(|mut stream| {
            let mut heard = Vec::new();
            // Ending a call may reset its connection.
            drop(stream.read_to_end(&mut heard));
            heard.len()
        });
        heard.collect::<Vec<_>>()
    });
    let talk = json!({ "address": address.to_string(), "text": "x".repeat(200_000) });
    for world in dialing(&socket(address, "tcp")) {
        assert_met(world.limit("socket_bytes_max = 100_000"), "bad_talk", &talk, "socket_bytes_max", None);
    }
    assert!(heard.join().unwrap().iter().all(|heard| *heard <= 100_000));
}

#[test]
pub(super) fn socket_bytes_max_counts_datagrams_with_their_headers() {
    let heard = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = heard.local_addr().unwrap();
    heard.set_nonblocking(true).unwrap();
    let worlds = || dialing(&socket(address, "udp")).map(|world| world.limit("socket_bytes_max = 1_000"));
    let tell = |bytes: u64| json!({ "address": address.to_string(), "text": "x".repeat((bytes - DATAGRAM_BYTES) as usize) });
    for (world, again) in worlds().into_iter().zip(worlds()) {
        assert!(!world.serve(Transport::Http).call("bad_tell", tell(999)).is_error());
        assert_met(again, "bad_tell", &tell(1_001), "socket_bytes_max", Some(("bad_tell", tell(1_000))));
        let came: Vec<usize> = std::iter::from_fn(|| heard.recv(&mut [0; 2_000]).ok()).collect();
        assert_eq!(came, [971, 972, 972], "what is over the limit is not sent");
    }
}
