//! `sockets`: connections and datagrams to granted addresses, and no listening. Every fact by WASI 0.2 and 0.3.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};

use serde_json::{Value, json};
use toolgate_tests::web::{converse, was_connected, was_sent};
use toolgate_tests::{World, apart, test_guest};

use super::{answer, assert_misconfigured, error, value};

fn connecting() -> World {
    World::new().plugin("net", &test_guest("connecting"))
}

fn dialing() -> World {
    World::new().plugin("net", &test_guest("dialing")).with("engine = \"async\"")
}

/// A world for the guest of each WASI version.
fn worlds(grant: &str) -> [World; 2] {
    [connecting().grant(grant), dialing().grant(grant)]
}

/// Grants an address on this machine.
fn rule(host: &str, port: u16, protocol: &str) -> String {
    format!(r#"sockets = [{{ host = "{host}", port = {port}, protocol = "{protocol}", private = true }}]"#)
}

fn hosts(world: &World) -> Vec<Value> {
    world.call_records().iter().map(|record| record["hosts"].clone()).collect()
}

#[test]
fn granted_a_connection_goes_out_and_the_answer_comes_in() {
    let server = converse(|heard| format!("you said {heard}").into_bytes());
    let port = server.port();
    for world in worlds(&rule("127.0.0.1", port, "tcp")) {
        let told = answer(&world, "net_talk", &json!({ "address": server.to_string(), "text": "hello" }));
        assert_eq!(told, "you said hello");
        assert_eq!(hosts(&world), [json!([format!("tcp://127.0.0.1:{port}")])]);
    }
}

#[test]
fn granted_by_name_it_is_looked_up_by_the_host_and_reached_where_it_was_found() {
    let server = converse(|heard| format!("you said {heard}").into_bytes());
    let port = server.port();
    for world in worlds(&rule("localhost", port, "tcp")) {
        for name in ["localhost", "LOCALHOST", "localhost."] {
            let args = json!({ "address": format!("{name}:{port}"), "text": "hello" });
            assert_eq!(answer(&world, "net_talk", &args), "you said hello");
        }
        let found = value(&world, "net_lookup", &json!({ "name": "localhost" }));
        assert!(found.as_array().unwrap().contains(&json!("127.0.0.1")), "{found}");
        let noted = hosts(&world).first().unwrap().to_string();
        assert!(noted.contains("lookup of localhost"), "{noted}");
        assert!(noted.contains(&format!("tcp://localhost:{port}")), "{noted}");
    }
}

#[test]
fn granted_datagrams_go_out_and_come_back() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let echo = std::thread::spawn(move || {
        let mut text = [0; 100];
        let mut heard = Vec::new();
        for _ in 0..2 {
            let (count, from) = socket.recv_from(&mut text).unwrap();
            socket.send_to(&text[..count], from).unwrap();
            let (count, _) = socket.recv_from(&mut text).unwrap();
            heard.push(String::from_utf8_lossy(&text[..count]).into_owned());
        }
        heard
    });
    for world in worlds(&rule("127.0.0.1", address.port(), "udp")) {
        let args = |text: &str| json!({ "address": address.to_string(), "text": text });
        assert_eq!(answer(&world, "net_ask", &args("there and back")), "there and back");
        answer(&world, "net_tell", &args("connected"));
        assert_eq!(hosts(&world)[0], json!([format!("udp://{address}")]));
    }
    assert_eq!(echo.join().unwrap(), ["connected", "connected"]);
}

#[test]
fn denied_it_does_not_load() {
    for world in [connecting(), dialing()] {
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3);
        assert!(check.stderr.contains("it needs `sockets`"), "{}", check.stderr);
    }
}

#[test]
fn narrowed_to_nothing_no_connection_no_packet_and_no_lookup_leaves_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for world in worlds("sockets = []") {
        error(&world, "net_tcp", &json!({ "address": listener.local_addr().unwrap().to_string() }));
        error(
            &world,
            "net_udp",
            &json!({ "address": socket.local_addr().unwrap().to_string(), "text": "x" }),
        );
        error(&world, "net_lookup", &json!({ "name": "localhost" }));
        error(&world, "net_listen-at", &json!({ "address": "0.0.0.0:0" }));
    }
    assert!(!was_connected(&listener) && !was_sent(&socket));
}

#[test]
fn narrowed_to_a_host_a_port_and_a_protocol_nothing_else_is_reached() {
    let granted = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = granted.local_addr().unwrap().port();
    let (other, same) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind(("127.0.0.1", port)));
    for world in worlds(&rule("127.0.0.1", port, "tcp")) {
        for (tool, address) in [
            ("net_tcp", other.local_addr().unwrap().to_string()),
            ("net_tcp", format!("127.0.0.2:{port}")),
            ("net_tcp", format!("localhost:{port}")),
            ("net_tcp", format!("[::1]:{port}")),
            ("net_udp", format!("127.0.0.1:{port}")),
            ("net_tell", format!("127.0.0.1:{port}")),
        ] {
            let mut args = json!({ "address": address });
            if tool != "net_tcp" {
                args["text"] = json!("x");
            }
            error(&world, tool, &args);
        }
        assert!(!was_connected(&other) && !was_connected(&granted));
        assert!(same.as_ref().is_err() || !was_sent(same.as_ref().unwrap()));
        assert_eq!(
            answer(&world, "net_tcp", &json!({ "address": format!("127.0.0.1:{port}") })),
            "connected"
        );
        assert!(was_connected(&granted));
        let refused = hosts(&world)[0].to_string();
        assert!(refused.contains("refused: tcp://127.0.0.1:"), "{refused}");
    }
}

#[test]
fn what_cannot_be_granted_is_refused_with_what_to_write() {
    for (rule, words) in [
        (r#"{ host = "*.example.com", port = 443 }"#, "`*` is not for sockets"),
        (r#"{ host = "example.com" }"#, "write port = 5432"),
        (r#"{ port = 443 }"#, "host"),
        (r#"{ host = "example.com", port = 70000 }"#, "1 to 65535"),
        (r#"{ host = "example.com", port = 443, protocol = "sctp" }"#, r#"write "tcp" or "udp""#),
        (r#"{ host = "example.com", port = 443, protcol = "udp" }"#, "protocol"),
        (r#"{ host = "127.0.0.1", port = 443 }"#, "private = true"),
        (r#"{ host = "169.254.169.254", port = 80, private = true }"#, "no grant reaches it"),
        (r#"{ host = "metadata.google.internal", port = 80, private = true }"#, "no grant reaches it"),
    ] {
        assert_misconfigured(&connecting().grant(&format!("sockets = [{rule}]")), words);
    }
    let fine = connecting().grant(r#"sockets = [{ host = "db.example.com", port = 5432 }]"#);
    assert_eq!(fine.run(&["check"]).code, 0);
}

fn local(port: u16, more: &Value) -> Value {
    let mut args = json!({ "address": format!("127.0.0.1:{port}") });
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

#[test]
fn a_stream_that_is_let_go_of_ends_and_says_so_while_the_other_side_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"first and more").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap_or_default()
    });
    let world = dialing().grant(&rule("127.0.0.1", port, "tcp"));
    assert_eq!(answer(&world, "net_part", &local(port, &json!({ "bytes": 5 }))), "first");
    serving.join().unwrap();
}

#[test]
fn a_socket_that_is_used_in_the_wrong_order_says_so_and_is_used_once() {
    let granted = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = granted.local_addr().unwrap().port();
    let world = dialing().grant(&rule("127.0.0.1", port, "tcp"));
    let beside = json!({ "beside": other.local_addr().unwrap().to_string() });
    let told = value(&world, "net_misuse", &local(port, &beside));
    let told: Vec<&str> = told.as_array().unwrap().iter().map(|told| told.as_str().unwrap()).collect();
    let expected = [
        ("send early", "InvalidState"),
        ("receive early", "InvalidState"),
        ("remote early", "InvalidState"),
        ("connect by the other family", "InvalidArgument"),
        ("connect", "Ok"),
        ("connect again", "InvalidState"),
        ("bind late", "InvalidState"),
        ("receive twice", "InvalidState"),
        ("connect elsewhere", "AccessDenied"),
        ("connect after that", "AccessDenied"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, (what, how)) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("{what}: ")) && told.contains(how), "{what}: {told}");
    }
    assert!(was_connected(&granted) && !was_connected(&other) && !was_connected(&granted));
}

#[test]
fn options_of_a_connection_are_set_and_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = dialing().grant(&rule("127.0.0.1", port, "tcp"));
    let told = value(&world, "net_options", &local(port, &json!({})));
    let told: Vec<u64> = told.as_array().unwrap().iter().map(number).collect();
    assert_eq!(told, [1, 7_000_000_000, 32_767_000_000_000, 3, 9, 10_000, 10_000, 1]);
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

#[test]
fn in_a_worker_a_plugin_has_the_sockets_that_it_has_on_a_thread() {
    apart(&[
        granted_a_connection_goes_out_and_the_answer_comes_in,
        granted_by_name_it_is_looked_up_by_the_host_and_reached_where_it_was_found,
        granted_datagrams_go_out_and_come_back,
        a_socket_that_is_used_in_the_wrong_order_says_so_and_is_used_once,
        options_of_a_connection_are_set_and_read,
    ]);
}
