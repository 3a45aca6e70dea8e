//! Untrusted text in terminal output: file names, arguments, a lock in the current folder, texts of a component. No
//! command prints it unescaped; JSON escapes it. No command blocks on special files.

use std::process::Command;

use serde_json::json;
use toolgate_policy::redact::is_plain;
use toolgate_tests::world::TRUST;
use toolgate_tests::{Ended, Transport, World, bomb, guest, process, test_guest};

/// Cursor movement, a C1 control sequence, bidirectional override, invisible characters and tags.
const HOSTILE: &str = "x\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{feff}\u{e0041}\u{7f}";

fn assert_plain(what: &str, ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        let odd: Vec<char> = text.chars().filter(|c| *c != '\n' && !is_plain(*c)).collect();
        assert!(odd.is_empty(), "{what}: {odd:?} in {text:?}");
    }
}

#[test]
fn no_command_prints_what_it_is_given_as_it_is() {
    let world = World::new().plugin("echo", &test_guest("echoing"));
    let component = format!("{HOSTILE}.wasm");
    world.put(&component, &guest::seven(), 0o644);
    world.put(&format!("{component}.sigstore.json"), HOSTILE.as_bytes(), 0o644);
    world.put(&format!("{HOSTILE}.toml"), format!("[{HOSTILE}]\n\"{HOSTILE}\" = 1").as_bytes(), 0o644);
    world.put("toolgate.lock", format!("version = 1\n\"{HOSTILE}\" = 1\n").as_bytes(), 0o644);
    let toml = format!("{HOSTILE}.toml");
    let absent = format!("absent-{HOSTILE}");
    let strings = json!({ "a": HOSTILE }).to_string();
    let commands: &[&[&str]] = &[
        &["inspect", &component],
        &["inspect", &component, "--json"],
        &["inspect", &component, "--lock", "no.lock"],
        &["inspect", &component, "--lock", "no.lock", "--json"],
        &["inspect", &component, "--lock", &toml],
        &["inspect", &absent],
        &["verify", &component],
        &["verify", &absent],
        &["sign", &component, "--key", &absent],
        &["sign", &absent, "--key", &absent],
        &["pack", &component, "--manifest", &toml],
        &["pack", &component, "--wit", &absent],
        &["push", &component, &absent],
        &["bundle", "export", &component, "--out", &absent],
        &["bundle", "import", &absent],
        &["key", "generate", "--out", &absent],
        &["check", "--config", &toml],
        &["check", "--config", &absent],
        &["serve", "--config", &toml],
        &["call", &absent],
        &["call", "echo_strings", "--args", &strings],
        &["call", "echo_strings", "--args", &strings, "--json"],
        &["call", "echo_strings", "--args", HOSTILE],
        &["tools", "--json"],
        &["explain", &absent],
        &["learn", &absent, &absent],
        &["plugin", "list"],
        &["plugin", "list", "--json"],
        &["plugin", "diff", &absent],
        &["plugin", "approve", &absent],
        &["plugin", "remove", &absent],
        &["plugin", "revoke", &absent, "--reason", HOSTILE],
        &["plugin", "add", &absent],
        &[HOSTILE],
        &["call", &format!("--{HOSTILE}")],
        &["completions", HOSTILE],
        &["--help"],
    ];
    for command in commands {
        assert_plain(&format!("{command:?}"), &world.run(command));
    }
}

#[test]
fn no_text_of_the_trust_policy_begins_a_line_of_its_own() {
    const FORGED: &str = "plugin p: ok: 1 tools";
    let lines = |ended: &Ended| ended.said().lines().any(|line| line.trim_start().starts_with(FORGED));
    let world = World::new().plugin("p", &guest::seven()).locked();
    let approved = world.run(&["plugin", "approve", "p", "--yes"]);
    assert_eq!(approved.code, 0, "{}", approved.said());
    let text = format!("a flaw\\n{FORGED}\\r\\u001b[2J");
    let digest = toolgate_policy::Digest::of(&guest::seven());
    let revoking = format!("{TRUST}# {FORGED}\n[[revoke]]\ndigest = \"{digest}\"\nreason = \"{text}\"\n");
    let revoking = revoking.replace("version = 1", "version = 2");
    let wrong = [
        TRUST.replace("id = \"vendor\"", &format!("id = \"{text}\"")),
        TRUST.replace("name = \"publisher\"", &format!("name = \"{text}\"")),
        TRUST.replace("signers = [\"vendor\"]", &format!("signers = [\"{text}\"]")),
        TRUST.replace("plugin = \"*\"", &format!("plugin = \"{text}\"")),
        TRUST.replace("keys/vendor.pub", &format!("keys/{}", text.replace("\\u001b", "x"))),
        format!("{TRUST}\"{text}\" = 1\n"),
        format!("{TRUST}[[revoke]]\ndigest = \"{text}\"\n"),
        format!("{TRUST}[[revoke]]\ndigest = {FORGED}\n"),
    ];
    let commands: [&[&str]; 9] = [
        &["check"],
        &["call", "p_seven"],
        &["tools"],
        &["serve", "--stdio"],
        &["explain", "p"],
        &["verify", "plugins/p.wasm"],
        &["plugin", "list"],
        &["plugin", "diff", "p"],
        &["plugin", "approve", "p", "--yes"],
    ];
    for (trust, code) in wrong.iter().map(|trust| (trust, 2)).chain([(&revoking, 3)]) {
        world.put("trust.toml", trust.as_bytes(), 0o644);
        for command in commands {
            let ended = world.run_as_is(command);
            if ended.code != 0 {
                assert_eq!(ended.code, code, "{command:?}: {trust}: {}", ended.said());
            }
            assert_plain(&format!("{command:?}"), &ended);
            assert!(!lines(&ended), "{command:?}: {trust}: {}", ended.said());
        }
    }
    // A command that could read the trust policy reported the reason in one line.
    let told = world.run_as_is(&["call", "p_seven"]);
    let escaped = format!("is revoked: a flaw\\u{{a}}{FORGED}\\u{{d}}\\u{{1b}}[2J");
    assert!(told.stderr.contains(&escaped), "{}", told.said());
}

#[test]
fn json_on_a_terminal_is_the_same_document_in_escapes() {
    let world = World::new().plugin("echo", &test_guest("echoing"));
    let args = json!({ "a": HOSTILE }).to_string();
    let ended = world.run(&["call", "echo_strings", "--args", &args, "--json"]);
    assert_plain("call", &ended);
    assert_eq!(ended.json()["text"], HOSTILE);
}

#[test]
fn no_command_waits_for_what_is_no_file() {
    let world = World::new().plugin("echo", &test_guest("echoing"));
    world.write();
    let fifo = |name: &str| {
        assert!(Command::new("mkfifo").arg(world.path(name)).status().unwrap().success());
    };
    std::fs::create_dir_all(world.path("wit/deps/inner")).unwrap();
    ["pipe", "wit/deps/inner/a.wit", "x.wasm.sigstore.json", "pipe.toml"].into_iter().for_each(fifo);
    world.put("x.wasm", &guest::seven(), 0o644);
    let key = world.run(&["key", "generate", "--out", "own"]);
    assert_eq!(key.code, 0, "{}", key.said());
    let commands: &[&[&str]] = &[
        &["pack", "pipe", "--wit", "wit"],
        &["pack", "x.wasm", "--wit", "pipe"],
        &["pack", "x.wasm", "--wit", "wit"],
        &["pack", "x.wasm", "--wit", "/dev/zero"],
        &["pack", "x.wasm", "--manifest", "pipe.toml"],
        &["sign", "pipe", "--key", "own"],
        &["sign", "x.wasm", "--key", "pipe"],
        &["sign", "/dev/zero", "--key", "own"],
        &["verify", "pipe"],
        &["inspect", "pipe"],
        &["inspect", "x.wasm", "--lock", "pipe"],
        &["bundle", "import", "pipe"],
        &["bundle", "export", "pipe", "--out", "out"],
        &["push", "pipe", "oci://localhost/x:1"],
        &["check", "--config", "pipe.toml"],
        &["plugin", "list", "--config", "pipe.toml"],
        &["learn", "echo", "echo_strings", "--grant-file", "pipe.toml"],
    ];
    for command in commands {
        let ended = world.run(command);
        assert_ne!(ended.code, 0, "{command:?}: {}", ended.said());
    }
    // If a signature's file name is taken by a pipe, the signature gets another.
    let signed = world.run(&["sign", "x.wasm", "--key", "own"]);
    assert_eq!(signed.code, 0, "{}", signed.said());
}

/// A plugin that takes three seconds of CPU time to compile and is then refused.
fn slow() -> World {
    World::new().plugin("slow", &bomb::huge_functions(1)).server("[server.limits]\ncompile_cpu_s = 3")
}

#[test]
fn what_takes_long_to_compile_is_named_on_stderr_with_how_long_it_took() {
    for args in [&["check"][..], &["call", "slow_seven"], &["tools"]] {
        let ended = slow().run(args);
        let begun = ended
            .stderr
            .find("plugin slow: compiling ")
            .unwrap_or_else(|| panic!("{args:?}: {}", ended.said()));
        let over = ended
            .stderr
            .find("plugin slow: compiling took ")
            .unwrap_or_else(|| panic!("{args:?}: {}", ended.said()));
        assert!(begun < over && ended.stderr[..over].contains(" MB\n"), "{args:?}: {}", ended.said());
        assert_eq!(ended.stderr.matches("compiling took").count(), 1, "{args:?}: {}", ended.said());
    }
    let approved = slow().locked().run(&["plugin", "approve", "--all", "--yes"]);
    assert!(approved.stderr.contains("plugin slow: compiling took "), "{}", approved.said());
    // A terminal shows progress.
    let world = slow();
    world.write();
    let command = format!("{} check", toolgate_tests::toolgate().display());
    let mut script = Command::new("script");
    script.current_dir(world.path("")).args(["-q", "-e", "-c", &command, "/dev/null"]);
    let shown = process::output_of(&mut script);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for words in ["plugin slow: compiling ", ", for ", "plugin slow: compiling took "] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn a_server_says_in_its_log_what_takes_long_to_compile() {
    let server = slow().plugin("good", &guest::seven()).serve(Transport::Http);
    let log = server.wait_for_log("compiling is over");
    assert!(log.contains("compiling; this takes longer than a moment"), "{log}");
    assert!(!log.contains("plugin slow: compiling"), "once: {log}");
}
