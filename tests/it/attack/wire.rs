//! Servers that send more than their response needs: every byte of a connection counts, whatever its purpose.

use serde_json::{Value, json};
use toolgate_tests::raw::{Peer, Raw};
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{Transport, World, apart, test_guest};

/// Guests of WASI 0.2 on both engines, and of WASI 0.3.
const GUESTS: [(&str, &str); 3] =
    [("requesting", ""), ("requesting", "engine = \"async\""), ("fetching", "engine = \"async\"")];

/// A world with all other limits out of reach.
fn world((guest, engine): (&str, &str), port: u16, bytes_max: u64) -> World {
    let rule = format!(r#"{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true }}"#);
    World::new()
        .plugin("web", &test_guest(guest))
        .with(engine)
        .grant(&format!("http = [{rule}]"))
        .limit(&format!("faults_max = 1000000\nfuel = 1_000_000_000_000\nhttp_bytes_max = {bytes_max}"))
}

fn request(authority: &str) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": authority, "path": "/", "headers": [], "body": "" })
}

const MORE: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";

#[test]
fn an_answer_that_is_announced_a_few_times_is_awaited_and_not_for_ever() {
    for guest in GUESTS {
        for (times, comes) in [(8, true), (9, false), (u32::MAX, false)] {
            let raw = Raw::serve(move |peer: &mut Peer| {
                while peer.head().is_some() {
                    if (0..times).all(|_| peer.say(MORE)) {
                        peer.answer("own");
                    }
                }
            });
            let server = world(guest, raw.address.port(), 1 << 30).serve(Transport::Http);
            let reply = server.call("web_run", request(&raw.address.to_string()));
            assert_eq!(reply.is_error(), !comes, "{guest:?} {times}: {reply:?}");
            // All at once, with the response in the same write.
            let raw = Raw::serve(move |peer: &mut Peer| {
                peer.head();
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                peer.say(&(MORE.repeat(times.min(200) as usize) + answer));
            });
            let server = world(guest, raw.address.port(), 1 << 30).serve(Transport::Http);
            let reply = server.call("web_run", request(&raw.address.to_string()));
            assert_eq!(reply.is_error(), !comes, "{guest:?} {times} at once: {reply:?}");
        }
    }
}

/// Sends a response; returns whether all of it could be sent.
type Flood = fn(&mut Peer) -> bool;

#[test]
fn bytes_that_are_not_of_the_body_count_as_well() {
    const BYTES_MAX: u64 = 100_000;
    let floods: [(&str, Flood); 3] = [
        ("chunks of one byte", |peer| {
            peer.say(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                "1\r\nx\r\n".repeat(20_000)
            )) && peer.say("0\r\n\r\n")
        }),
        ("announcements", |peer| {
            let more = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "a".repeat(20_000));
            (0..8).all(|_| peer.say(&more)) && peer.answer("own")
        }),
        ("zeros before a length", |peer| {
            let chunk = format!("{}1\r\nx\r\n", "0".repeat(10));
            peer.say(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                chunk.repeat(10_000)
            )) && peer.say("0\r\n\r\n")
        }),
    ];
    for guest in GUESTS {
        for (what, answer) in floods {
            let raw = Raw::serve(move |peer: &mut Peer| {
                peer.head();
                answer(peer);
            });
            let server = world(guest, raw.address.port(), BYTES_MAX).serve(Transport::Http);
            let reply = server.call("web_run", request(&raw.address.to_string()));
            assert!(
                reply.text().contains(&format!("http_bytes_max = {BYTES_MAX}")),
                "{guest:?} {what}: {reply:?}"
            );
        }
        let raw = Raw::serve(|peer: &mut Peer| {
            peer.head();
            peer.answer(&"x".repeat(90_000));
        });
        let server = world(guest, raw.address.port(), BYTES_MAX).serve(Transport::Http);
        let reply = server.call("web_run", request(&raw.address.to_string()));
        assert!(!reply.is_error(), "{guest:?}: {}", reply.text().get(..200).unwrap_or_default());
    }
}

#[test]
fn what_it_takes_to_speak_tls_counts_as_well() {
    let web = Web::tls(|_, to| respond(to, "200 OK", &[], "hello"));
    let port = web.address.port();
    for guest in GUESTS {
        for (bytes_max, comes) in [(1_000, false), (10_000, true)] {
            let world = World::new()
                .plugin("web", &test_guest(guest.0))
                .with(guest.1)
                .file("ca.pem", &web.ca)
                .grant(&format!(
                    r#"http = [{{ host = "localhost", port = {port}, private = true, ca = "ca.pem" }}]"#
                ))
                .limit(&format!("http_bytes_max = {bytes_max}"));
            let mut asked = request(&format!("localhost:{port}"));
            asked["scheme"] = json!("https");
            let ended = world.call("web_run", &asked);
            assert_eq!(ended.code == 0, comes, "{guest:?} {bytes_max}: {}", ended.said());
            assert_eq!(ended.said().contains("http_bytes_max = 1000"), !comes, "{guest:?}: {}", ended.said());
        }
    }
}

#[test]
fn bytes_that_come_while_a_guest_waits_take_its_fuel() {
    for guest in GUESTS {
        // More than its fuel allows, while the guest only waits for them.
        let raw = Raw::serve(|peer: &mut Peer| {
            peer.head();
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while peer.say(&"x".repeat(1 << 16)) {}
        });
        let rule = format!(
            r#"{{ scheme = "http", host = "127.0.0.1", port = {}, private = true }}"#,
            raw.address.port()
        );
        let server = World::new()
            .plugin("web", &test_guest(guest.0))
            .with(guest.1)
            .grant(&format!("http = [{rule}]"))
            .limit("fuel = 20_000_000\nhttp_bytes_max = 1_000_000_000\nmemory_bytes_max = 1_000_000_000")
            .serve(Transport::Http);
        let reply = server.call("web_run", request(&raw.address.to_string()));
        assert!(reply.text().contains("fuel = 20000000"), "{guest:?}: {reply:?}");
    }
}

#[test]
fn what_comes_to_plugins_in_workers_counts_as_well() {
    apart(&[bytes_that_come_while_a_guest_waits_take_its_fuel]);
}
