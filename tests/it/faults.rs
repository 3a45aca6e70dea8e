//! How a guest's own end is told apart, and that the next call does not notice.

use serde_json::{Value, json};
use toolgate_tests::{Transport, World, test_guest};

#[test]
fn a_panic_an_exit_and_a_recursion_are_faults_that_say_which_and_the_next_call_is_fine() {
    // Compilers keep a stack of their own in memory, which ends first; this one has none.
    let deeper = toolgate_tests::wat(
        r#"(component
            (core module $m (func $f (export "run") (call $f)))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#,
    );
    for transport in Transport::ALL {
        let world = World::new()
            .plugin("panic", &test_guest("panicking"))
            .plugin("exit", &test_guest("exiting"))
            .plugin("deep", &test_guest("recursing"))
            .plugin("deeper", &deeper);
        let server = world.serve(transport);
        for _ in 0..2 {
            let reply = server.call("panic_run", json!({ "why": "a reason with \u{1b}[31mcolour" }));
            assert!(reply.is_error() && reply.text().contains("crashed"), "{reply:?}");
            assert!(!reply.text().contains("a reason"), "the guest's words are for the operator");
            for (given, status) in [(0, 0), (1, 1), (3, 1)] {
                let reply = server.call("exit_run", json!({ "status": given }));
                assert!(reply.is_error() && reply.text().contains(&format!("status {status}")), "{reply:?}");
            }
            let reply = server.call("deep_run", json!({}));
            assert!(reply.is_error() && reply.text().contains("crashed"), "{reply:?}");
            let reply = server.call("deeper_run", json!({}));
            assert!(reply.is_error() && reply.text().contains("recursed too deeply"), "{reply:?}");
        }
        let kinds: Vec<Value> =
            world.call_records().iter().map(|record| record["outcome"]["kind"].clone()).collect();
        assert_eq!(kinds[..6], ["trap", "exit", "exit", "exit", "trap", "trap"].map(Value::from));
        let log = server.wait_for_log("a reason with");
        assert!(!log.contains('\u{1b}'), "what steers a terminal is escaped");
    }
}
