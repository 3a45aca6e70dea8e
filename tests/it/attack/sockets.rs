//! Attempts to connect a socket to an address that is not granted, or to listen. Each by WASI 0.2 and 0.3.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use toolgate_tests::client::PATIENCE;
use toolgate_tests::web::{dead_port, was_connected, was_sent};
use toolgate_tests::{World, apart, test_guest};

/// A world for the guest of each WASI version.
fn worlds(rules: &str) -> [World; 2] {
    let world = |guest: &str| World::new().plugin("net", &test_guest(guest));
    let grant = format!("sockets = [{rules}]");
    [world("connecting").grant(&grant), dialing(rules)]
}

fn dialing(rules: &str) -> World {
    let world = World::new().plugin("net", &test_guest("dialing")).with("engine = \"async\"");
    world.grant(&format!("sockets = [{rules}]"))
}

fn refused(world: &World, tool: &str, args: &serde_json::Value) -> String {
    let reply = world.ask(tool, args);
    assert!(reply.is_error(), "{tool} {args}: {reply:?}");
    reply.text().to_owned()
}

#[test]
fn no_spelling_of_this_machine_is_reached_by_a_socket_without_a_grant_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_port = socket.local_addr().unwrap().port();
    for world in worlds(&format!(
        r#"{{ host = "example.org", port = {port} }}, {{ host = "8.8.8.8", port = {udp_port}, protocol = "udp" }},
           {{ host = "10.99.99.99", port = {port}, private = true }}"#
    )) {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "localhost",
        ] {
            refused(&world, "net_tcp", &json!({ "address": format!("{host}:{port}") }));
            refused(&world, "net_udp", &json!({ "address": format!("{host}:{udp_port}"), "text": "x" }));
            refused(&world, "net_tell", &json!({ "address": format!("{host}:{udp_port}"), "text": "x" }));
        }
        assert!(!was_connected(&listener) && !was_sent(&socket));
    }
}

#[test]
fn a_granted_name_that_leads_to_this_machine_gives_no_address_and_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for world in worlds(&format!(r#"{{ host = "localhost", port = {port} }}"#)) {
        refused(&world, "net_lookup", &json!({ "name": "localhost" }));
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            refused(&world, "net_tcp", &json!({ "address": format!("{host}:{port}") }));
        }
        let around = json!({ "name": "localhost", "address": format!("127.0.0.1:{port}") });
        refused(&world, "net_roundabout", &around);
        assert!(!was_connected(&listener));
    }
}

#[test]
fn an_address_counts_for_a_name_only_in_the_call_that_looked_it_up() {
    // Like a resolver that changes its answer between calls, or a guest that remembers an old one.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for world in worlds(&format!(r#"{{ host = "localhost", port = {port}, private = true }}"#)) {
        let server = world.serve(toolgate_tests::Transport::Http);
        let looked_up = server.call("net_lookup", json!({ "name": "localhost" }));
        assert!(!looked_up.is_error(), "{looked_up:?}");
        let reply = server.call("net_tcp", json!({ "address": format!("127.0.0.1:{port}") }));
        assert!(reply.is_error(), "{reply:?}");
        assert!(!was_connected(&listener));
        let around = json!({ "name": "localhost", "address": format!("127.0.0.1:{port}") });
        assert!(
            !server.call("net_roundabout", around).is_error(),
            "looked up in the same call it is reached"
        );
        assert!(was_connected(&listener));
        let beside = json!({ "name": "localhost", "address": format!("127.0.0.2:{port}") });
        assert!(server.call("net_roundabout", beside).is_error(), "and its neighbour is not");
    }
}

#[test]
fn a_socket_reaches_no_metadata_link_local_or_unnamed_address_whatever_is_private() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for world in worlds(&format!(
        r#"{{ host = "localhost", port = 80, private = true }}, {{ host = "127.0.0.1", port = {port}, private = true }},
           {{ host = "localhost", port = 80, protocol = "udp", private = true }}"#
    )) {
        for address in [
            "169.254.169.254:80",
            "169.254.1.1:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "[::ffff:169.254.169.254]:80",
            "168.63.129.16:80",
            "100.100.100.200:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "10.0.0.1:80",
            "8.8.8.8:80",
        ] {
            for tool in ["net_tcp", "net_udp", "net_tell"] {
                let mut args = json!({ "address": address });
                if tool != "net_tcp" {
                    args["text"] = json!("x");
                }
                refused(&world, tool, &args);
            }
        }
        let noted = world.call_records()[0]["hosts"].to_string();
        assert!(noted.contains("refused: tcp://169.254.169.254:80"), "{noted}");
    }
}

#[test]
fn a_name_that_is_not_granted_is_not_looked_up() {
    for world in worlds(
        r#"{ host = "db.example.com", port = 5432 }, { host = "127.0.0.1", port = 1, private = true }"#,
    ) {
        for name in
            ["localhost", "example.com", "x.db.example.com", "metadata.google.internal", "8.8.8.8", "a b", ""]
        {
            refused(&world, "net_lookup", &json!({ "name": name }));
        }
        let noted: Vec<_> = world.call_records().iter().map(|record| record["hosts"].to_string()).collect();
        assert!(noted.iter().any(|hosts| hosts.contains("refused: lookup of localhost")), "{noted:?}");
        assert!(noted.iter().all(|hosts| !hosts.contains("\"lookup of")), "{noted:?}");
    }
}

#[test]
fn a_plugin_never_listens_and_takes_no_place_on_this_machine() {
    let port = dead_port();
    for world in worlds(&format!(
        r#"{{ host = "127.0.0.1", port = {port}, private = true }},
           {{ host = "127.0.0.1", port = {port}, protocol = "udp", private = true }}"#
    )) {
        for address in
            ["0.0.0.0:0", "127.0.0.1:0", "[::]:0", &format!("0.0.0.0:{port}"), &format!("127.0.0.1:{port}")]
        {
            let told = refused(&world, "net_listen-at", &json!({ "address": address }));
            assert!(told.contains("access-denied, listening: false"), "{address}: {told}");
        }
        for address in
            ["127.0.0.1:0", &format!("0.0.0.0:{port}"), &format!("127.0.0.1:{port}"), &format!("[::]:{port}")]
        {
            let told = refused(&world, "net_bind-at", &json!({ "address": address }));
            assert!(told.contains("access-denied"), "{address}: {told}");
        }
        let noted = world.call_records()[0]["hosts"].to_string();
        assert!(noted.contains("refused: listen"), "{noted}");
    }
}

#[test]
fn a_datagram_of_a_stranger_is_not_heard() {
    let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
    friend.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = friend.local_addr().unwrap();
    let talk = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut text = [0; 10];
            let (_, guest) = friend.recv_from(&mut text).unwrap();
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            stranger.send_to(b"of a stranger", guest).unwrap();
            friend.send_to(b"of a friend", guest).unwrap();
        }
    });
    for world in worlds(&format!(
        r#"{{ host = "127.0.0.1", port = {}, protocol = "udp", private = true }}"#,
        address.port()
    )) {
        let ended = world.call("net_ask", &json!({ "address": address.to_string(), "text": "here" }));
        assert_eq!((ended.code, ended.stdout.trim()), (0, "of a friend"), "{}", ended.said());
    }
    talk.join().unwrap();
}

/// A server for one connection that sends without end, and counts the bytes that come back.
fn endless() -> (SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut writer = stream.try_clone().unwrap();
        std::thread::spawn(move || while writer.write_all(&[b'x'; 10_000]).is_ok() {});
        let (mut back, mut chunk) = (0, [0; 10_000]);
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            back += count;
        }
        back
    });
    (address, serving)
}

#[test]
fn what_goes_from_one_stream_into_another_without_the_guest_is_counted_and_ends() {
    // The guest passes its receive stream to its send stream, and is not entered again.
    for (limits, met) in [
        (["socket_bytes_max = 1_000_000", "deadline_ms = 60_000"], "socket_bytes_max = "),
        (["socket_bytes_max = 1_000_000_000", "fuel = 5_000_000"], "fuel = "),
    ] {
        let (address, serving) = endless();
        let rule = format!(r#"{{ host = "127.0.0.1", port = {}, private = true }}"#, address.port());
        let world = limits.into_iter().fold(dialing(&rule), World::limit);
        let told = refused(&world, "net_reflect", &json!({ "address": address.to_string() }));
        assert!(told.contains(met), "{told}");
        let back = serving.join().unwrap();
        assert!((1..5_000_000).contains(&back), "{met}: {back}");
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let rule = format!(r#"{{ host = "127.0.0.1", port = {port}, private = true }}"#);
    let world = dialing(&rule).limit("deadline_ms = 500");
    let told = refused(&world, "net_reflect", &json!({ "address": format!("127.0.0.1:{port}") }));
    assert!(told.contains("deadline_ms"), "{told}");
}

#[test]
fn waiting_for_a_datagram_many_times_at_once_takes_turns_and_stands_in_nobodys_way() {
    const TIMES: usize = 100;
    let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = friend.local_addr().unwrap();
    let talk = std::thread::spawn(move || {
        let (_, guest) = friend.recv_from(&mut [0; 10]).unwrap();
        for _ in 0..TIMES {
            friend.send_to(b"again", guest).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let rule =
        format!(r#"{{ host = "127.0.0.1", port = {}, protocol = "udp", private = true }}"#, address.port());
    let world = dialing(&rule).limit("sockets_max = 1");
    let ended = world.call("net_ask-often", &json!({ "address": address.to_string(), "times": TIMES }));
    assert_eq!((ended.code, ended.stdout.trim()), (0, "100"), "{}", ended.said());
    talk.join().unwrap();
}

#[test]
fn from_a_worker_a_socket_leads_nowhere_else_than_from_a_thread() {
    apart(&[
        no_spelling_of_this_machine_is_reached_by_a_socket_without_a_grant_for_it,
        what_goes_from_one_stream_into_another_without_the_guest_is_counted_and_ends,
        waiting_for_a_datagram_many_times_at_once_takes_turns_and_stands_in_nobodys_way,
    ]);
}
