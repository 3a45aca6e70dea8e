//! Host memory for results of every shape, on both engines, on a thread and in a worker: never more than was reserved
//! from the memory for all calls.

use serde_json::{Value, json};
use toolgate_policy::limits::lift::{frame_bytes_max, lift_bytes_max};
use toolgate_tests::process::{children, field, of_process};
use toolgate_tests::wit::repeat::repeated;
use toolgate_tests::wit::shapes::ALL;
use toolgate_tests::{Server, Transport, World, test_guest};

const MIB: u64 = 1 << 20;

/// The default of `output_bytes_max`.
const OUTPUT_BYTES: u64 = MIB;

/// Memory that is not for values: the message, per-thread buffers, and freed memory that the allocator retains.
const BESIDE_BYTES: u64 = 12 * MIB;

const LIMITS: &str = "fuel = 1_000_000_000_000\nfaults_max = 1_000_000_000\nmemory_bytes_max = 134_217_728";

fn held(pid: u32, what: &str) -> u64 {
    field(&of_process(pid, "status"), what).unwrap_or_default() << 10
}

/// Makes a call; fails if the server or a worker grows by more than the guest's own memory and the bound for a result.
fn assert_bounded(server: &Server, name: &str, tool: &str, args: Value, guest_bytes: u64) {
    let processes: Vec<(u32, u64)> = std::iter::once(server.pid())
        .chain(children(server.pid(), "__worker"))
        .map(|pid| {
            // Resets the peak.
            std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
            (pid, held(pid, "VmRSS:"))
        })
        .collect();
    let reply = server.call(tool, args);
    let bound = guest_bytes + lift_bytes_max(OUTPUT_BYTES) + 2 * frame_bytes_max(OUTPUT_BYTES) + BESIDE_BYTES;
    for (pid, before) in processes {
        let grown = held(pid, "VmHWM:").saturating_sub(before);
        assert!(grown <= bound, "{name}: {} MiB, {:.200}", grown / MIB, reply.text());
    }
    let is_known = !reply.is_error() || reply.text().contains("output_bytes_max = 1048576");
    assert!(is_known, "{name}: {:.200}", reply.text());
}

/// Tries every shape with 1, 10 and 50 MiB.
fn assert_all_bounded(engine: &str, isolation: &str) {
    // A few at once, to bound the number of workers.
    for shapes in ALL.chunks(10) {
        let mut world = World::new();
        for (n, shape) in shapes.iter().enumerate() {
            world = world
                .plugin(&format!("x{n}"), &repeated(shape))
                .with(&format!("engine = \"{engine}\"\nisolation = \"{isolation}\""))
                .limit(LIMITS);
        }
        let server = world.serve(Transport::Http);
        for (n, shape) in shapes.iter().enumerate() {
            for mib in [1, 10, 50] {
                let count = mib * MIB / shape.element.len() as u64;
                let name = format!("{}, {mib} MiB", shape.name);
                let tool = format!("x{n}_run");
                assert_bounded(&server, &name, &tool, json!({ "count": count }), (mib + 1) * MIB);
            }
        }
    }
}

#[test]
fn output_bytes_max_bounds_what_the_host_holds_of_an_answer_of_any_shape() {
    assert_all_bounded("sync", "thread");
}

#[test]
fn output_bytes_max_bounds_it_on_the_asynchronous_engine() {
    assert_all_bounded("async", "thread");
}

#[test]
fn output_bytes_max_bounds_it_in_a_worker_and_where_it_is_heard() {
    for engine in ["sync", "async"] {
        assert_all_bounded(engine, "process");
    }
}

#[test]
fn output_bytes_max_bounds_what_is_held_of_an_answer_that_comes_later() {
    for isolation in ["thread", "process"] {
        let world = World::new()
            .plugin("s", &test_guest("streaming"))
            .with(&format!("engine = \"async\"\nisolation = \"{isolation}\""))
            .limit(LIMITS);
        let server = world.serve(Transport::Http);
        for tool in ["s_large", "s_large-text", "s_bytes"] {
            for mib in [1, 10, 50] {
                let name = format!("{isolation}, {tool}, {mib} MiB");
                assert_bounded(&server, &name, tool, json!({ "count": mib * MIB }), (mib + 2) * MIB);
            }
        }
    }
}

#[test]
fn output_bytes_max_counts_an_answer_as_it_goes_out_with_all_that_is_around_it() {
    // Blocks with an empty text consist of overhead only.
    let blocks = ALL.iter().find(|shape| shape.name == "an answer").unwrap();
    let world = World::new().plugin("x", &repeated(blocks)).limit(LIMITS);
    let server = world.serve(Transport::Http);
    let bytes = |count: u64| {
        let reply = server.call("x_run", json!({ "count": count }));
        (!reply.is_error()).then(|| reply.0["result"].to_string().len() as u64)
    };
    let (mut most, mut refused) = (0, OUTPUT_BYTES / 16);
    while refused - most > 1 {
        let count = most.midpoint(refused);
        if bytes(count).is_some() { most = count } else { refused = count }
    }
    let longest = bytes(most).unwrap();
    assert!(longest <= OUTPUT_BYTES, "{longest} bytes in {most} blocks");
    assert!(longest > OUTPUT_BYTES * 3 / 4, "{longest} bytes in {most} blocks: most of it is used");
}
