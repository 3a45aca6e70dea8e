//! `isolation = "process"`: a plugin in a worker behaves the same, and code that escapes WebAssembly is still confined
//! to the worker process.

use serde_json::json;
use toolgate_tests::client::PATIENCE;
use toolgate_tests::process::{assert_no_capabilities, children, field, of_process, signal, wait_until};
use toolgate_tests::{Server, Transport, World, guest, test_guest};

pub(super) const APART: &str = r#"isolation = "process""#;

fn workers(server: &Server) -> Vec<u32> {
    children(server.pid(), "__worker")
}

pub(super) fn worker(server: &Server) -> u32 {
    let found = workers(server);
    assert_eq!(found.len(), 1, "{}", server.log());
    found[0]
}

#[test]
fn what_ends_a_call_on_a_thread_ends_it_in_a_worker_by_the_same_name() {
    let fuel = "fuel = 10_000_000";
    let cases = [
        ("looping", fuel, "p_run", json!({}), "fuel"),
        ("timing", fuel, "p_look", json!({ "times": 100_000 }), "fuel"),
        ("looping", "deadline_ms = 300\nfuel = 1_000_000_000_000", "p_run", json!({}), "deadline_ms"),
        ("sleeping", "deadline_ms = 300", "p_run", json!({ "ms": 3_600_000 }), "deadline_ms"),
        ("hogging", "memory_bytes_max = 8_388_608", "p_run", json!({ "mebibytes": 64 }), "memory_bytes_max"),
        ("large", "output_bytes_max = 100_000", "p_text", json!({ "bytes": 200_000 }), "output_bytes_max"),
        ("large", "output_bytes_max = 100_000", "p_numbers", json!({ "count": 200_000 }), "output_bytes_max"),
        (
            "large",
            "memory_bytes_max = 536_870_912\nfuel = 100_000_000_000",
            "p_text",
            json!({ "bytes": 100_000_000 }),
            "output_bytes_max",
        ),
        ("panicking", "", "p_run", json!({ "why": "no reason" }), "trap"),
        ("exiting", "", "p_run", json!({ "status": 3 }), "exit"),
        ("recursing", "", "p_run", json!({}), "trap"),
    ];
    for (name, limits, tool, args, what) in cases {
        let ends = ["isolation = \"thread\"", APART].map(|isolation| {
            let world = World::new().plugin("p", &test_guest(name)).with(isolation).limit(limits);
            let server = world.serve(Transport::Http);
            let reply = server.call(tool, args.clone());
            assert!(reply.is_error(), "{name}, {isolation}: {reply:?}");
            let outcome = world.call_records().pop().unwrap()["outcome"].clone();
            let named = [&outcome["kind"], &outcome["limit"]];
            assert!(named.contains(&&json!(what)), "{name}, {isolation}: {outcome}");
            (
                reply.text().to_owned(),
                outcome["kind"].clone(),
                outcome["limit"].clone(),
                outcome["blame"].clone(),
            )
        });
        assert_eq!(ends[0], ends[1], "{name}");
    }
}

#[test]
fn a_plugin_in_a_worker_reports_logs_and_sees_that_it_was_cancelled() {
    let world = World::new().plugin("p", &test_guest("piecing")).with(APART).env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Stdio);
    assert_eq!(server.call("p_pieces", json!({})).structured(), &json!({ "pieces": 5 }));
    let arguments = json!({ "steps": [1, 2, 2, 1.5, 10] });
    let (id, mut call) = server.modern("tools/call", json!({ "name": "p_report", "arguments": arguments }));
    call["params"]["_meta"]["progressToken"] = json!("mine");
    server.send(&call.to_string());
    let told = [(); 3].map(|()| {
        let report = server.notification("notifications/progress", PATIENCE).expect("a report");
        report["params"]["progress"].as_f64().unwrap()
    });
    assert_eq!(told, [1.0, 2.0, 10.0], "only what grows");
    assert_eq!(server.reply(&json!(id)).unwrap()["result"]["content"][0]["text"], "5 steps");
    let (id, call) = server.modern("tools/call", json!({ "name": "p_until-cancelled", "arguments": {} }));
    let begun = server.log().matches("a guest begins").count();
    server.send(&call.to_string());
    wait_until("it runs", || server.log().matches("a guest begins").count() > begun);
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
    server.send(&cancel.to_string());
    wait_until("it says so", || server.log().contains("| warning: it was cancelled"));
    assert_eq!(workers(&server).len(), 1, "and its worker goes on");
}

#[test]
fn a_plugin_that_names_its_tools_does_so_in_its_worker_too() {
    let tools = ["isolation = \"thread\"", APART].map(|isolation| {
        let world = World::new().plugin("p", &test_guest("naming")).with(isolation);
        world.serve(Transport::Http).request("tools/list", json!({}))["result"]["tools"].clone()
    });
    assert!(tools[0].as_array().is_some_and(|tools| !tools.is_empty()));
    assert_eq!(tools[0], tools[1]);
}

#[test]
fn a_worker_that_is_killed_costs_its_calls_and_nothing_else() {
    // A lower `concurrency` gives it less memory, which distinguishes the two workers.
    let world = World::new()
        .plugin("good", &test_guest("sleeping"))
        .with(APART)
        .plugin("bad", &test_guest("sleeping"))
        .with(APART)
        .limit("concurrency = 3")
        .env("TOOLGATE_LOG", "debug");
    let server = world.serve(Transport::Http);
    let memory = |pid: &u32| field(&of_process(*pid, "limits"), "Max data size");
    let both = workers(&server);
    assert_eq!(both.len(), 2, "each plugin has its own");
    let bad = both.into_iter().min_by_key(memory).unwrap();
    let neighbour = server.calling("good_run", json!({ "ms": 3_000 }));
    let calls = [(); 3].map(|()| server.calling("bad_run", json!({ "ms": 30_000 })));
    wait_until("all run", || server.log().matches("a guest begins").count() == 4);
    signal("KILL", bad);
    for call in calls {
        let reply = call.join().unwrap();
        assert!(
            reply.is_error() && reply.text().contains("the process that runs the tool ended"),
            "{reply:?}"
        );
    }
    assert_eq!(server.call("bad_run", json!({ "ms": 1 })).text(), "awake", "the next call has a new worker");
    assert_eq!(neighbour.join().unwrap().text(), "awake", "another plugin's call goes on");
    assert!(workers(&server).len() == 2 && !workers(&server).contains(&bad));
    let faults = world.call_records().into_iter().filter(|record| record["outcome"]["kind"] == "worker");
    assert_eq!(faults.filter(|record| record["outcome"]["blame"] == "plugin").count(), 3);
}

#[test]
fn a_worker_that_stops_is_ended_at_the_deadline_of_its_call() {
    let world = World::new().plugin("p", &test_guest("sleeping")).with(APART).limit("deadline_ms = 3_000");
    let server = world.serve(Transport::Http);
    let stopped = worker(&server);
    signal("STOP", stopped);
    let reply = server.call("p_run", json!({ "ms": 1 }));
    assert!(reply.is_error() && reply.text().contains("deadline_ms = 3000"), "{reply:?}");
    wait_until("it is ended", || !workers(&server).contains(&stopped));
    // A busy machine may take longer than the deadline to start one.
    wait_until("another answers", || server.call("p_run", json!({ "ms": 1 })).text() == "awake");
}

#[test]
fn a_worker_has_nothing_of_the_servers_and_stands_behind_its_walls_with_every_thread() {
    let world = World::new()
        .plugin("p", &test_guest("languages"))
        .with(APART)
        .grant(r#"environment = { NAME = "value" }"#)
        .env("TOOLGATE_SECRET", "s3cret");
    let server = world.serve(Transport::Http);
    assert!(!server.call("p_nothing", json!({})).is_error());
    let pid = worker(&server);
    assert_eq!(of_process(pid, "environ"), "", "no environment");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(Result::ok) {
        let open = std::fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
        let known = open.starts_with("pipe:") || open.starts_with("/memfd:wasm") || open == "/dev/null";
        assert!(known, "a pipe, an image of the guest's memory, or nothing: {open}");
    }
    let limits = of_process(pid, "limits");
    for name in ["Max processes", "Max open files", "Max file size"] {
        assert_eq!(field(&limits, name), Some(0), "{limits}");
    }
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().filter_map(Result::ok) {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap();
        assert_eq!(field(&status, "Seccomp:"), Some(2), "{status}");
        assert_eq!(field(&status, "NoNewPrivs:"), Some(1), "{status}");
        assert_no_capabilities(&status);
        threads += 1;
    }
    assert!(threads >= 2, "the guests' beside the one that listens");
}

#[test]
fn no_core_dump_is_taken_of_the_server_or_of_a_process_of_its() {
    let world = World::new().plugin("p", &test_guest("languages")).with(APART);
    let server = world.serve(Transport::Http);
    assert!(!server.call("p_nothing", json!({})).is_error());
    for pid in [server.pid(), worker(&server)] {
        let limits = of_process(pid, "limits");
        // One byte: less than any core dump, and the value at which the kernel runs no dump program either.
        let row = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        // The limit may be 0 already if the tests were started so.
        let none = |bytes: &&str| ["0", "1"].contains(bytes);
        assert!(row.split_whitespace().skip(4).take(2).filter(none).count() == 2, "soft and hard: {row}");
    }
}

#[test]
fn a_worker_ends_with_its_server_and_with_its_plugin() {
    let world =
        World::new().plugin("seven", &guest::seven()).plugin("p", &test_guest("sleeping")).with(APART);
    for name in ["TERM", "KILL"] {
        let server = world.serve(Transport::Http);
        let pid = worker(&server);
        server.signal(name);
        server.wait();
        wait_until("it is gone", || !of_process(pid, "cmdline").contains("__worker"));
    }
    let server = world.serve(Transport::Http);
    let pid = worker(&server);
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put("toolgate.toml", text.replace(APART, "").as_bytes(), 0o644);
    server.signal("HUP");
    wait_until("it is gone", || !of_process(pid, "cmdline").contains("__worker"));
    assert_eq!(server.call("p_run", json!({ "ms": 1 })).text(), "awake", "on a thread now");
}

#[test]
fn an_isolation_that_is_none_is_refused() {
    let check = World::new().plugin("p", &guest::seven()).with(r#"isolation = "box""#).run(&["check"]);
    assert_eq!(check.code, 2);
    assert!(check.said().contains(r#"is `box`; write "thread" or "process""#), "{}", check.said());
}

/// Runs `check` with a system call that fails as on a system without that feature.
#[cfg(target_os = "linux")]
fn check_without(call: i64, errno: i32) -> toolgate_tests::Ended {
    use seccompiler::{SeccompAction, SeccompFilter};
    let world = World::new().plugin("p", &guest::seven()).with(APART);
    // The filter applies to this thread and to processes that it starts.
    let check = std::thread::spawn(move || {
        let absent = SeccompAction::Errno(errno.unsigned_abs());
        let machine = std::env::consts::ARCH.try_into().unwrap();
        let rules = [(call, Vec::new())].into();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, machine).unwrap();
        let program: seccompiler::BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        world.run(&["check"])
    });
    check.join().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn where_a_wall_cannot_be_built_the_plugin_is_refused() {
    for (call, errno, words) in [
        (libc::SYS_landlock_create_ruleset, libc::EOPNOTSUPP, "this system does not enforce Landlock"),
        (libc::SYS_landlock_create_ruleset, libc::ENOSYS, "this system does not enforce Landlock"),
        (libc::SYS_seccomp, libc::ENOSYS, "this system does not take a seccomp filter"),
    ] {
        let check = check_without(call, errno);
        assert_eq!(check.code, 3, "{}", check.said());
        assert!(check.said().contains(words), "{}", check.said());
    }
}
