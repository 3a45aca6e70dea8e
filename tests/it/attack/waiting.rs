//! Files that block whoever opens them: here because another process has a lease on one, elsewhere because a disk or
//! file server does not respond.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use toolgate_tests::begun::Begun;
use toolgate_tests::{Transport, World, test_guest};

/// A lease that blocks others from opening a file, until it is dropped or the kernel breaks it (`lease-break-time`,
/// usually 45 seconds).
struct Lease(Child);

impl Lease {
    /// In Perl, which every Linux has: fcntl(2), F_SETLEASE, F_WRLCK.
    fn take(file: &std::path::Path) -> Self {
        const HOLD: &str = r#"$| = 1; $SIG{IO} = "IGNORE"; open(F, "+<", $ARGV[0]) or die; fcntl(F, 1024, 1) or die; print "held\n"; sleep 120"#;
        let mut child =
            Command::new("perl").args(["-e", HOLD]).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        Self(child)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_plugin_whose_files_do_not_answer_holds_up_no_other() {
    // More than the threads for all guests together, in each WASI version.
    const CALLS: usize = 80;
    for (guest, engine) in [("filing", ""), ("awaiting", "engine = \"async\"")] {
        let folder = |name: &str| {
            format!(r#"files = [{{ host = "{name}", guest = "/docs", access = "read-write" }}]"#)
        };
        let world = World::new()
            .plugin("bad", &test_guest(guest))
            .with(engine)
            .grant(&folder("held"))
            .limit("concurrency = 128")
            .plugin("late", &test_guest(guest))
            .with(engine)
            .with("allow_lints = [\"similar-name\"]")
            .grant(&folder("held"))
            .limit("deadline_ms = 500")
            .plugin("good", &test_guest("filing"))
            .with("allow_lints = [\"similar-name\"]")
            .grant(&folder("docs"))
            .env("TOOLGATE_LOG", "debug")
            .file("held/a.txt", "held")
            .file("docs/a.txt", "text");
        let _lease = Lease::take(&world.path("held/a.txt"));
        let server = world.serve(Transport::Http);
        let path = || json!({ "path": "/docs/a.txt" });
        let calls: Vec<_> = (0..CALLS).map(|_| server.begin("bad_look", path())).collect();
        server.wait_until("all of them run", || server.log().matches("a guest begins").count() == CALLS);
        assert_eq!(server.call("good_look", path()).text(), "text", "meanwhile");
        let ended = || world.call_records().iter().filter(|record| record["plugin"] == "bad").count();
        assert_eq!(ended(), 0, "all of them wait");
        // Each call ends by its deadline, and no other call waits for the file.
        let reply = server.call("late_look", path());
        assert!(reply.text().contains("deadline_ms = 500"), "{guest}: {reply:?}");
        calls.into_iter().for_each(Begun::cancel);
        server.wait_until("those who waited are gone", || ended() == CALLS);
        assert_eq!(server.call("good_look", path()).text(), "text", "afterwards");
        assert!(!server.call("good_put", json!({ "path": "/docs/b.txt", "text": "x" })).is_error());
    }
}
