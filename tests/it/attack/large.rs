//! Large and dense messages: their memory is reserved before they are read, and protocol threads do not process them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use toolgate_tests::client::headers;
use toolgate_tests::kept::{Kept, modern};
use toolgate_tests::named::naming;
use toolgate_tests::process::{field, of_process, ticks, wait_until};
use toolgate_tests::{HttpReply, Server, Transport, World, test_guest};

fn world(limits: &str) -> World {
    World::new()
        .server(&format!("[server.limits]\n{limits}"))
        .plugin("park", &test_guest("parking"))
        .limit("fuel = 1_000_000_000_000\nmemory_bytes_max = 200_000_000")
}

fn fine(server: &Server) {
    assert_eq!(server.call("park_wait", json!({ "ms": 0 })).text(), "waited");
}

/// A call with this many keys that no tool has.
fn unknown_keys(count: usize) -> Value {
    let keys: serde_json::Map<String, Value> = (0..count).map(|n| (format!("key{n:06}"), json!(0))).collect();
    json!({ "name": "park_wait", "arguments": keys })
}

/// Sends a message as bytes; returns the answer.
fn say(server: &Server, transport: Transport, message: &Value) -> Value {
    match transport {
        Transport::Http => server.post(&message.to_string(), &headers(message)).message(),
        Transport::Stdio => {
            server.send(&message.to_string());
            server.reply(&message["id"]).unwrap()
        }
    }
}

fn peak_kib(server: &Server) -> u64 {
    field(&of_process(server.pid(), "status"), "VmHWM:").unwrap()
}

#[test]
fn a_call_with_more_keys_than_anything_has_is_refused_by_its_id() {
    for transport in Transport::ALL {
        let server = world("").serve(transport);
        let call = modern("tools/call", unknown_keys(250_000));
        let text = call.to_string().replace(",\"id\":1", "").replacen('{', "{\"id\":\"dense\",", 1);
        assert!(text.len() > 3_000_000 && text.starts_with("{\"id\":\"dense\""), "{:.50}", text);
        let reply = match transport {
            Transport::Http => server.post(&text, &headers(&call)).message(),
            Transport::Stdio => {
                server.send(&text);
                server.reply(&json!("dense")).unwrap()
            }
        };
        assert_eq!(reply["id"], "dense");
        assert_eq!(reply["result"]["isError"], true, "{reply}");
        assert!(
            reply["result"]["content"][0]["text"].as_str().unwrap().contains("more than 65536 keys"),
            "{reply}"
        );
        fine(&server);
    }
}

#[test]
fn what_is_wrong_with_arguments_is_counted_up_to_a_bound() {
    for transport in Transport::ALL {
        let server = world("").serve(transport);
        for (keys, words) in [(40, "and 9 more"), (60_000, "and 968 more at least")] {
            let reply = say(&server, transport, &modern("tools/call", unknown_keys(keys)));
            let text = reply["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{reply}"));
            assert!(text.ends_with(words), "{keys}: {}", text.lines().last().unwrap());
            assert!(text.len() < 10_000, "{}", text.len());
        }
        // The same where each element of a long list is wrong.
        let wrong = json!({ "name": "park_numbers", "arguments": { "items": vec!["x"; 300_000] } });
        let reply = say(&server, transport, &modern("tools/call", wrong));
        assert!(reply.to_string().contains("and 968 more at least"), "{reply}");
        fine(&server);
    }
}

#[test]
fn large_messages_and_answers_are_not_worked_on_by_the_protocols_threads() {
    let world = world("").limit("output_bytes_max = 60_000_000");
    for transport in Transport::ALL {
        let server = world.serve(transport);
        for _ in 0..2 {
            say(&server, transport, &modern("tools/call", unknown_keys(60_000)));
            let numbers = json!({ "name": "park_numbers", "arguments": { "items": vec![7; 500_000] } });
            let reply = say(&server, transport, &modern("tools/call", numbers));
            assert_eq!(reply["result"]["structuredContent"], json!({ "result": 500_000 }), "{reply}");
        }
        let (large, protocol) = (ticks(server.pid(), "large"), ticks(server.pid(), "tokio-rt-worker"));
        assert!(large > 20 && large > 5 * protocol, "{transport:?}: {large} to {protocol}");
        // The same for results.
        let before = ticks(server.pid(), "tokio-rt-worker");
        for _ in 0..2 {
            let answer = server.call("park_long", json!({ "kibibytes": 8_000 }));
            assert_eq!(answer.text().len(), 8_000 << 10);
        }
        let (large, protocol) =
            (ticks(server.pid(), "large") - large, ticks(server.pid(), "tokio-rt-worker") - before);
        assert!(large > protocol, "{transport:?}: {large} to {protocol}");
    }
}

#[test]
fn what_goes_to_a_worker_and_comes_back_large_is_not_worked_on_where_short_calls_run() {
    let world = World::new()
        .plugin("echo", &test_guest("echoing"))
        .with(r#"isolation = "process""#)
        .limit("fuel = 1_000_000_000_000\noutput_bytes_max = 60_000_000\nmemory_bytes_max = 200_000_000");
    let server = world.serve(Transport::Http);
    let lists = vec![vec![1, 2, 3]; 60_000];
    for _ in 0..3 {
        assert_eq!(
            server.call("echo_lists", json!({ "a": lists })).structured(),
            &json!({ "result": lists })
        );
    }
    let (slow, quick) = (ticks(server.pid(), "guest-slow"), ticks(server.pid(), "guest"));
    assert!(slow > 10 && slow > 5 * quick, "{slow} to {quick}");
}

#[test]
fn large_answers_say_the_same_over_every_transport_and_revision() {
    let world = world("").limit("output_bytes_max = 60_000_000").plugin("echo", &test_guest("echoing"));
    for transport in Transport::ALL {
        let server = world.serve(transport);
        let long: String = (0..100_000).map(|n| char::from(b' ' + (n % 95) as u8)).collect();
        let echoed = server.call("echo_strings", json!({ "a": long }));
        assert_eq!(echoed.text(), long);
        assert_eq!(echoed.0["result"]["resultType"], "complete", "{transport:?}");
        assert_eq!(echoed.0["result"]["isError"], false);
        let lists = vec![vec![1, 2, 3]; 20_000];
        let echoed = server.call("echo_lists", json!({ "a": lists }));
        assert_eq!(echoed.structured(), &json!({ "result": lists }));
        assert_eq!(serde_json::from_str::<Value>(echoed.text()).unwrap(), json!(lists));
        let failed = server.call("echo_outcome", json!({ "a": { "err": "x".repeat(100_000) } }));
        assert!(failed.is_error() && failed.text().len() == 100_000, "{failed:?}");
    }
    let server = world.serve(Transport::Http);
    let mut session = vec![("MCP-Protocol-Version".to_owned(), "2025-11-25".to_owned())];
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    let begun = server.post(&initialize.to_string(), &[]);
    session.push(("Mcp-Session-Id".to_owned(), begun.header("Mcp-Session-Id").unwrap().to_owned()));
    let text = "y".repeat(200_000);
    let call = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call",
        "params": { "name": "echo_strings", "arguments": { "a": text } } });
    let reply = server.post(&call.to_string(), &session).message();
    assert_eq!(reply["result"]["content"][0]["text"], json!(text));
    assert_eq!(reply["id"], 5);
}

#[test]
fn a_large_message_is_refused_before_it_is_read_where_there_is_no_room() {
    let limits = "body_bytes_max = 1_000_000\nmessages_bytes_max = 4_000_000";
    let server = world(limits).serve(Transport::Http);
    // One client's share is half: two of these bodies. The server sends 100 once it has reserved memory.
    let begin = || {
        let mut connection = Kept::to(server.address());
        connection.head("POST", "/mcp", &[("Expect".to_owned(), "100-continue".to_owned())], Some(900_000));
        connection
    };
    let mut held = [begin(), begin()];
    wait_until("both have room", || held.iter_mut().all(Kept::has_come));
    let refused = |reply: HttpReply| {
        assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("5")), "{reply:?}");
        assert!(reply.body.contains("as many large messages as it may"), "{reply:?}");
    };
    refused(begin().answer());
    // Without an announced length, a body that is more than small is refused.
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, "x".repeat(60_000));
    let mut chunked = Kept::to(server.address());
    chunked.head("POST", "/mcp", &[("Transfer-Encoding".to_owned(), "chunked".to_owned())], None);
    (0..10).for_each(|_| chunked.send(chunk.as_bytes()));
    refused(chunked.answer());
    // Small ones are still accepted.
    fine(&server);
    let mut small = Kept::to(server.address());
    assert_eq!(small.call("park_wait", json!({ "ms": 0 })).text(), "waited");
    drop(held);
    let text = "x".repeat(900_000);
    wait_until("room comes back", || {
        let call =
            modern("tools/call", json!({ "name": "park_text", "arguments": { "words": text, "ms": 0 } }));
        server.post(&call.to_string(), &headers(&call)).status == 200
    });
    server.wait_for_log("large messages were told to come back");
}

#[test]
fn a_message_that_announces_more_than_may_be_is_refused_at_once() {
    let server = world("body_bytes_max = 100_000").serve(Transport::Http);
    let mut connection = Kept::to(server.address());
    connection.head("POST", "/mcp", &[], Some(5_000_000));
    assert_eq!(connection.answer().status, 413, "nothing of it was sent");
}

#[test]
fn arguments_of_calls_that_wait_are_held_up_to_a_bound() {
    const CALLS: usize = 24;
    let limits = "body_bytes_max = 4_000_000\nmessages_bytes_max = 20_000_000";
    for transport in Transport::ALL {
        let world = world(limits).limit("concurrency = 1\nqueue = 64").env("TOOLGATE_LOG", "debug");
        let server = world.serve(transport);
        fine(&server);
        let before = peak_kib(&server);
        // One call runs until others have been refused.
        let napping = server.begin("park_wait", json!({ "ms": 1_000_000 }));
        wait_until("it runs", || server.log().matches("a guest begins").count() >= 2);
        let seen = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..CALLS)
            .map(|_| {
                let (server, seen) = (server.clone(), Arc::clone(&seen));
                std::thread::spawn(move || {
                    let params = json!({ "name": "park_text", "arguments": { "words": "x".repeat(3_000_000), "ms": 0 } });
                    let reply = match transport {
                        Transport::Http => {
                            let call = modern("tools/call", params);
                            server.post(&call.to_string(), &headers(&call)).body
                        }
                        Transport::Stdio => {
                            let (id, call) = server.modern("tools/call", params);
                            server.send(&call.to_string());
                            server.reply(&json!(id)).unwrap().to_string()
                        }
                    };
                    seen.fetch_add(1, Ordering::Relaxed);
                    reply
                })
            })
            .collect();
        wait_until("some are refused", || seen.load(Ordering::Relaxed) > CALLS / 2);
        napping.cancel();
        let replies: Vec<String> = waiting.into_iter().map(|call| call.join().unwrap()).collect();
        let refused: Vec<_> =
            replies.iter().filter(|reply| reply.contains("as many large messages as it may")).collect();
        for refused in &refused {
            let refused: Value = serde_json::from_str(refused).unwrap();
            assert!(refused["id"].is_i64(), "{transport:?}: it is refused by its id: {refused}");
        }
        let refused = refused.len();
        let answered = replies.iter().filter(|reply| reply.contains("3000000")).count();
        assert!(
            answered > 0 && refused > 0 && answered + refused == CALLS,
            "{transport:?}: {answered} {refused}"
        );
        let grown = peak_kib(&server) - before;
        assert!(grown < 100 << 10, "{transport:?}: {grown} KiB for {answered} that waited");
    }
}

#[test]
fn values_that_take_far_more_memory_than_their_text_are_refused() {
    for transport in Transport::ALL {
        let server = world("").serve(transport);
        fine(&server);
        let before = peak_kib(&server);
        let sparse = |count: usize| {
            let items = vec![json!({}); count];
            modern("tools/call", json!({ "name": "park_sparse", "arguments": { "items": items } }))
        };
        let few = say(&server, transport, &sparse(100));
        assert_eq!(few["result"]["structuredContent"], json!({ "result": 100 }), "{few}");
        // Small as a message, megabytes as values.
        let some = say(&server, transport, &sparse(15_000));
        assert_eq!(some["result"]["structuredContent"], json!({ "result": 15_000 }), "{some}");
        let many = say(&server, transport, &sparse(400_000));
        assert!(many.to_string().contains("bytes of memory as values"), "{many}");
        let grown = peak_kib(&server) - before;
        assert!(grown < 400 << 10, "{transport:?}: {grown} KiB");
        fine(&server);
    }
}

#[test]
fn only_the_arguments_of_a_call_may_be_large() {
    for transport in Transport::ALL {
        let server = world("").serve(transport);
        for (method, params) in [
            ("tools/list", json!({ "x": "y".repeat(100_000) })),
            ("tools/list", json!({ "x": vec![0; 20_000] })),
            ("tools/call", json!({ "name": "park_wait", "arguments": { "ms": 0 }, "x": vec![0; 20_000] })),
            ("server/discover", json!({ "x": "y".repeat(100_000) })),
            ("notifications/x", json!({ "x": "y".repeat(100_000) })),
        ] {
            let reply = say(&server, transport, &modern(method, params));
            assert_eq!(reply["error"]["code"], -32600, "{method}: {reply}");
            assert!(reply.to_string().contains("beside the arguments of a call"), "{method}: {reply}");
        }
        fine(&server);
    }
}

/// A call of some 4 MiB, and the memory that a server comes to hold for it at most beyond what it held before, in MiB.
fn held_mib(transport: Transport, named: &[u8], tool: &str, arguments: &Value) -> u64 {
    // One that has made no call as large: what it gave back to itself would not be seen.
    let server = world("").plugin("named", named).serve(transport);
    fine(&server);
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    let before = peak_kib(&server);
    let reply =
        say(&server, transport, &modern("tools/call", json!({ "name": tool, "arguments": arguments })));
    assert!(reply["result"]["isError"].is_boolean(), "{reply}");
    (peak_kib(&server) - before) >> 10
}

#[test]
fn what_one_call_of_four_mebibytes_holds_is_its_arguments_once_and_what_the_guest_takes() {
    const BYTES: usize = (4 << 20) - 2_000;
    let text = json!({ "words": "x".repeat(BYTES), "ms": 0 });
    let numbers = json!({ "items": vec![1_234; BYTES / 5] });
    let records = json!({ "items": vec![json!({ "ab": "twelve chars" }); BYTES / 23] });
    let schema = json!({ "type": "object", "properties": { "items": { "type": "array", "items": {
        "type": ["object", "integer"], "properties": { "ab": { "type": "string" } }, "required": ["ab"] } } } });
    // It has no room for what it is handed, so that all of it is the host's.
    let named = naming("Takes anything.", &schema.to_string(), None);
    for transport in Transport::ALL {
        for (tool, arguments, mib_max) in [
            ("park_text", &text, 15),
            ("park_numbers", &numbers, 70),
            // Read, recorded and refused.
            ("park_wait", &records, 45),
            ("named_one", &text, 15),
            ("named_one", &numbers, 45),
            ("named_one", &records, 65),
        ] {
            let held = held_mib(transport, &named, tool, arguments);
            assert!(held <= mib_max, "{transport:?} {tool} {:.20}: {held} MiB", arguments.to_string());
        }
    }
}
