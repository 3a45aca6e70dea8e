//! Stdio clients that disconnect: calls are recorded, and the process ends before clients kill it.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolgate_tests::process::wait_until;
use toolgate_tests::{Server, Transport, World, test_guest};

use super::seven;

/// Time that official clients wait after closing stdin before SIGTERM, and again before SIGKILL.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);

/// Ends a server as official clients do; returns its exit code, or −1 if it had to be killed.
fn close_as_clients_do(server: &Server) -> i32 {
    server.hang_up();
    for next in ["TERM", "KILL"] {
        if let Some(code) = ends_within(server, CLIENT_PATIENCE) {
            return code;
        }
        server.signal(next);
    }
    server.wait()
}

/// Exit code of a server, if it ends in this time.
fn ends_within(server: &Server, patience: Duration) -> Option<i32> {
    let until = Instant::now() + patience;
    while server.is_alive() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    (!server.is_alive()).then(|| server.wait())
}

/// Starts a server with pipes for stdin and stdout.
fn start(world: &World) -> Child {
    world.write();
    let mut command = world.command();
    command.args(["serve", "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn write(child: &mut Child, messages: &[Value]) {
    let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
    child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
}

/// Waits for the process to end; returns its exit code.
fn ended(child: &mut Child) -> Option<i32> {
    wait_until("the server ends", || child.try_wait().unwrap().is_some());
    child.wait().unwrap().code()
}

fn read_all(mut stdout: ChildStdout) -> String {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    text
}

fn modern(id: i64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn listen(id: i64) -> Value {
    modern(id, "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }))
}

fn recorded(world: &World) -> Vec<Value> {
    world.call_records().iter().map(|record| record["outcome"]["kind"].clone()).collect()
}

#[test]
fn a_call_in_flight_when_its_client_closes_is_recorded_before_the_client_loses_patience() {
    const LONG: u32 = 3_600_000;
    let tools = [("slow_run", json!({ "ms": LONG })), ("loop_run", json!({}))];
    for isolation in ["thread", "process"] {
        for (tool, args) in tools.clone() {
            let world = World::new()
                .env("TOOLGATE_LOG", "debug")
                .plugin("slow", &test_guest("sleeping"))
                .with(&format!("isolation = \"{isolation}\""))
                .plugin("loop", &test_guest("looping"))
                .with(&format!("isolation = \"{isolation}\""))
                .limit("fuel = 1_000_000_000_000");
            let server = world.serve(Transport::Stdio);
            server.send(&listen(1_000).to_string());
            server.notification("notifications/subscriptions/acknowledged", CLIENT_PATIENCE * 30).unwrap();
            let _call = server.begin(tool, args);
            server.wait_for_guest();
            assert_eq!(close_as_clients_do(&server), 0, "{tool}, {isolation}: {}", server.log());
            assert_eq!(recorded(&world), ["cancelled"], "{tool}, {isolation}");
        }
    }
}

#[test]
fn a_stop_over_stdio_ends_the_server_before_its_client_kills_it() {
    let world = World::new()
        .env("TOOLGATE_LOG", "debug")
        .plugin("loop", &test_guest("looping"))
        .limit("fuel = 1_000_000_000_000");
    let server = world.serve(Transport::Stdio);
    let _call = server.begin("loop_run", json!({}));
    server.wait_for_guest();
    server.signal("TERM");
    assert_eq!(ends_within(&server, 2 * CLIENT_PATIENCE), Some(0), "{}", server.log());
    assert_eq!(recorded(&world), ["stopping"]);
}

#[test]
fn a_stream_of_changes_keeps_no_server_whose_client_is_gone() {
    let world = seven();
    let server = world.serve(Transport::Stdio);
    server.send(&listen(5).to_string());
    server.notification("notifications/subscriptions/acknowledged", CLIENT_PATIENCE * 30).unwrap();
    assert_eq!(close_as_clients_do(&server), 0, "{}", server.log());
}

#[test]
fn a_pipe_that_ends_with_its_last_request_gets_its_answers() {
    let world = seven();
    let mut child = start(&world);
    let call = modern(2, "tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    write(&mut child, &[modern(1, "tools/list", json!({})), call]);
    drop(child.stdin.take());
    let said = read_all(child.stdout.take().unwrap());
    assert_eq!(ended(&mut child), Some(0));
    let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answer = |id: i64| answers.iter().find(|answer| answer["id"] == id).expect(&said);
    assert_eq!(answer(1)["result"]["tools"][0]["name"], "seven_seven");
    assert_eq!(answer(2)["result"]["isError"], false, "{said}");
}

#[test]
fn a_stop_tells_who_listens_over_stdio_first_that_it_is_over_and_then_the_result() {
    let world = seven();
    let server = world.serve(Transport::Stdio);
    server.send(&listen(5).to_string());
    server.notification("notifications/subscriptions/acknowledged", CLIENT_PATIENCE * 30).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(), 0, "{}", server.log());
    let lines: Vec<Value> = server.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [.., over, result] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(
        (&over["method"], &over["params"]["requestId"]),
        (&json!("notifications/cancelled"), &json!(5))
    );
    assert_eq!((&result["id"], &result["result"]["resultType"]), (&json!(5), &json!("complete")), "{result}");
}

#[test]
fn a_client_that_never_reads_keeps_no_server_after_it_has_closed() {
    let world = seven();
    let mut child = start(&world);
    // The requests fit into a pipe, but their responses do not.
    let lists: Vec<Value> = (0..160).map(|id| modern(id, "tools/list", json!({}))).collect();
    write(&mut child, &lists);
    drop(child.stdin.take());
    assert_eq!(ended(&mut child), Some(0));
    drop(child.stdout.take());
}

#[test]
fn the_end_of_stdin_is_seen_although_refusals_are_not_read_and_calls_are_cancelled() {
    let world = World::new().plugin("loop", &test_guest("looping")).limit("fuel = 1_000_000_000_000");
    let mut child = start(&world);
    write(&mut child, &[modern(1, "tools/call", json!({ "name": "loop_run", "arguments": {} }))]);
    // Short invalid requests, whose error responses exceed a pipe's capacity.
    let refused: Vec<Value> = (2..1_500).map(|id| json!({ "jsonrpc": "2.0", "id": id })).collect();
    write(&mut child, &refused);
    drop(child.stdin.take());
    assert_eq!(ended(&mut child), Some(0));
    assert_eq!(recorded(&world), ["cancelled"]);
    drop(child.stdout.take());
}

#[test]
fn a_client_that_can_hear_no_answer_has_hung_up() {
    let world = seven();
    let mut child = start(&world);
    drop(child.stdout.take());
    write(&mut child, &[modern(1, "tools/list", json!({}))]);
    assert_eq!(ended(&mut child), Some(0));
    drop(child.stdin.take());
}
