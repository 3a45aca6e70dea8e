//! Components built to exhaust resources when compiled. Each is refused by the name of the limit that it meets, in a
//! process of its own, and the server continues.

use std::time::{Duration, Instant};

use serde_json::json;
use toolgate_policy::limits::load::LOADS_AT_ONCE;
use toolgate_tests::client::PATIENCE;
use toolgate_tests::process::{
    assert_no_capabilities, children, field, of_process, signal, stat, wait_until,
};
use toolgate_tests::{Server, Transport, World, bomb, guest};

/// A component that takes well over a second to compile.
fn slow() -> Vec<u8> {
    bomb::huge_functions(1)
}

/// A server with one plugin whose reloaded configuration also has these bombs.
fn serving(limits: &str, bombs: &[Vec<u8>]) -> (World, Server) {
    let world = World::new().server(&format!("[server.limits]\n{limits}")).plugin("good", &guest::seven());
    let server = world.serve(Transport::Http);
    assert_eq!(server.tools(), ["good_seven"]);
    let add = |world: World, (n, bytes): (usize, &Vec<u8>)| world.plugin(&format!("bomb{n}"), bytes);
    let world = bombs.iter().enumerate().fold(world, add);
    world.write();
    server.signal("HUP");
    (world, server)
}

fn compilers(server: u32) -> Vec<u32> {
    children(server, "__compile")
}

fn compiler(server: &Server) -> u32 {
    let mut found = None;
    wait_until("a compiler runs", || {
        found = compilers(server.pid()).first().copied();
        // Niceness is the last thing that a compiler sets before it reads its input.
        found.is_some_and(|pid| stat(pid).get(16).is_some_and(|nice| nice == "10"))
    });
    found.unwrap()
}

#[test]
fn what_is_made_to_be_slow_or_large_to_compile_is_refused_by_the_name_of_its_limit() {
    let second = "compile_cpu_s = 1";
    let little = "compile_memory_bytes_max = 100_000_000";
    let time = "more than 1 seconds of the processor (compile_cpu_s = 1)";
    let memory = "more than 100000000 bytes of memory (compile_memory_bytes_max = 100000000)";
    for (what, bytes, limit, words) in [
        ("a huge function", slow(), second, time),
        ("huge functions", bomb::huge_functions(5), little, memory),
        ("blocks in blocks", bomb::deep_blocks(2, 600_000), second, time),
        ("blocks in blocks", bomb::deep_blocks(2, 600_000), little, memory),
        ("many types", bomb::many_types(60_000), second, time),
        ("many types", bomb::many_types(60_000), little, memory),
        ("huge tables of jumps", bomb::huge_tables(4, 1_900_000), second, "`br_table` has 1900000 targets"),
        ("many tables of jumps", bomb::huge_tables(100, 65_000), second, time),
        ("wide memories", bomb::wide_memories(5), "", "its machine code has more than 268435456 bytes"),
    ] {
        let world = World::new().plugin("bomb", &bytes).server(&format!("[server.limits]\n{limit}"));
        let check = world.run(&["check"]);
        assert_eq!(check.code, 4, "{what}, {limit}: {}", check.said());
        assert!(check.stderr.contains("plugin bomb: failed: compile it: "), "{what}: {}", check.stderr);
        assert!(check.stderr.contains(words), "{what}, {limit}: {}", check.stderr);
        assert!(world.cached().is_empty(), "{what}");
    }
}

#[test]
fn fifty_bombs_at_once_hold_up_no_call() {
    let (blocks, types) = (bomb::deep_blocks(1, 300_000), bomb::many_types(20_000));
    let kinds = [slow(), blocks.clone(), types.clone(), blocks, types];
    let bombs: Vec<Vec<u8>> = kinds.iter().cycle().take(50).cloned().collect();
    let (world, server) = serving("compile_cpu_s = 1\ncompile_memory_bytes_max = 40_000_000", &bombs);
    let is_over = || world.records().iter().any(|record| record["event"] == "reload");
    // Each of the fifty takes at most a second of CPU time.
    let until = Instant::now() + 4 * PATIENCE;
    let (mut calls, mut at_once) = (0, 0);
    while !is_over() {
        assert_eq!(server.call("good_seven", json!({})).text(), "7");
        calls += 1;
        at_once = compilers(server.pid()).len().max(at_once);
        std::thread::sleep(Duration::from_millis(20));
        assert!(Instant::now() < until, "{}", server.log());
    }
    assert!(calls > 50, "{calls} calls meanwhile");
    let (least, most) = LOADS_AT_ONCE;
    let bound = std::thread::available_parallelism().unwrap().get().clamp(least, most);
    assert!((2..=bound).contains(&at_once), "{at_once} compilers at once");
    let refused = world.records().into_iter().filter(|record| record["event"] == "refuse");
    let reasons: Vec<String> = refused.map(|record| record["reasons"].to_string()).collect();
    assert_eq!(reasons.len(), 50);
    for reason in reasons {
        assert!(reason.contains("compile_cpu_s") || reason.contains("compile_memory_bytes_max"), "{reason}");
    }
    assert_eq!(server.tools(), ["good_seven"]);
    assert!(compilers(server.pid()).is_empty(), "none is left");
}

#[test]
fn a_compiler_has_limits_and_nothing_of_the_servers() {
    let (world, server) = serving("compile_cpu_s = 77\ncompile_memory_bytes_max = 777_777_777", &[slow()]);
    let pid = compiler(&server);
    // This limit is the last thing that a compiler sets before it reads its input.
    wait_until("it is bounded", || field(&of_process(pid, "limits"), "Max cpu time") == Some(77));
    assert_eq!(of_process(pid, "environ"), "", "no environment");
    let limits = of_process(pid, "limits");
    for (name, value) in
        [("Max cpu time", 77), ("Max data size", 777_777_777), ("Max file size", 0), ("Max open files", 16)]
    {
        assert_eq!(field(&limits, name), Some(value), "{limits}");
    }
    assert!(field(&limits, "Max core file size").is_some_and(|bytes| bytes <= 1), "{limits}");
    let status = of_process(pid, "status");
    assert_eq!(field(&status, "NoNewPrivs:"), Some(1));
    assert_no_capabilities(&status);
    assert_eq!(stat(pid)[2], pid.to_string(), "a group of its own");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let world = world.path("").to_string_lossy().into_owned();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(Result::ok) {
        let open = std::fs::read_link(entry.path()).unwrap_or_default().to_string_lossy().into_owned();
        assert!(!open.starts_with("socket:") && !open.starts_with(&world), "{open}");
    }
    assert_eq!(server.call("good_seven", json!({})).text(), "7");
}

#[test]
fn a_compiler_that_is_killed_costs_its_plugin_and_says_so() {
    let (_world, server) = serving("", &[slow()]);
    signal("KILL", compiler(&server));
    let words = "the compiler was ended by signal 9, which Toolgate did not send";
    wait_until(words, || server.log().contains(words));
    assert_eq!(server.call("good_seven", json!({})).text(), "7");
    assert!(compilers(server.pid()).is_empty());
}

#[test]
fn a_compiler_ends_with_its_server() {
    let (_world, server) = serving("", &[slow()]);
    let pid = compiler(&server);
    server.signal("KILL");
    server.wait();
    wait_until("it is gone", || !of_process(pid, "cmdline").contains("__compile"));
}
