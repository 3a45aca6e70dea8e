//! An invalid configuration ends with exit code 2 before anything is loaded. All problems are reported at once, with
//! file, line, key and remedy.

use std::os::unix::fs::PermissionsExt as _;

use toolgate_tests::world::TRUST;
use toolgate_tests::{Ended, World, guest};

fn seven() -> World {
    World::with_own_cache().plugin("seven", &guest::seven())
}

/// Asserts that every command that reads it ends with 2 and this message, and compiles and records nothing.
fn assert_wrong(world: &World, words: &[&str]) {
    for args in [&["check"][..], &["serve", "--stdio"], &["tools"], &["call", "seven_seven"]] {
        let ended: Ended = world.run(args);
        assert_eq!(ended.code, 2, "{args:?}: {}", ended.said());
        assert_eq!(ended.stdout, "");
        for words in words {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
    }
    assert!(world.cached().is_empty() && world.records().is_empty());
}

#[test]
fn an_unknown_key_anywhere_is_named_with_its_line() {
    assert_wrong(&seven().server("lisen = \"127.0.0.1:1\""), &["toolgate.toml:3: server.lisen", "listen"]);
    assert_wrong(&seven().with("sources = \"x\""), &["plugin[0].sources"]);
    assert_wrong(&seven().grant("file = []"), &["plugin[0].grant.file", "files"]);
    assert_wrong(&seven().limit("fuell = 5"), &["plugin[0].limits.fuell", "fuel"]);
    assert_wrong(&seven().more("\n[extra]\na = 1\n"), &["extra"]);
    assert_wrong(&seven().trust(&TRUST.replace("threshold", "treshold")), &["trust.toml", "treshold"]);
}

#[test]
fn every_problem_is_told_at_once() {
    let world = seven()
        .server("listen = 5")
        .server("unknown = 1")
        .limit("fuel = 0")
        .limit("deadline_ms = 99999999999")
        .grant("clock = \"exact\"")
        .trust(&TRUST.replace("threshold = 1", "threshold = 0"));
    let words =
        ["server.listen", "server.unknown", "limits.fuel", "limits.deadline_ms", "grant.clock", "threshold"];
    assert_wrong(&world, &words);
}

#[test]
fn an_origin_or_a_host_that_would_let_nobody_in_is_refused_with_what_to_write() {
    let world = seven()
        .server("allowed_hosts = [\"*.example.com\", \"https://tools.example.com\"]")
        .server("allowed_origins = [\"https://*.example.com:*\", \"https://app.example.com:0443\", \"https://a@b:*\", \"https://例え:*\"]");
    let words = [
        "`*.example.com` is not a host",
        "`https://tools.example.com` is not a host: it has more than a host and a port",
        "`https://*.example.com:*` is not an origin: a * stands for a port only; write an entry for each host",
        "`https://app.example.com:0443` is not an origin: its port is neither * nor a number",
        "`https://a@b:*` is not an origin: it has more than a host and a port; leave the rest out",
        "is not an origin: its host is not ASCII; write it as browsers do, with xn--",
    ];
    assert_wrong(&world, &words);
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    assert_wrong(&seven().more("\n[[plugin\n"), &["toolgate.toml:"]);
    assert_wrong(&seven().more("\n[state]\ndir = \"a\"\ndir = \"b\"\n"), &["toolgate.toml:"]);
    assert_wrong(&seven().trust("version = "), &["trust.toml:"]);
}

#[test]
fn each_limit_keeps_to_its_ceiling() {
    for limit in toolgate_policy::limits::call::CallLimit::ALL {
        let spec = limit.spec();
        let over = format!("{} = {}", spec.name, spec.ceiling + 1);
        assert_wrong(&seven().limit(&over), &[spec.name, &spec.ceiling.to_string()]);
        assert_eq!(
            seven().limit(&format!("{} = {}", spec.name, spec.ceiling)).run(&["check"]).code,
            0,
            "{}",
            spec.name
        );
    }
}

#[test]
fn a_name_that_is_none_and_one_that_stands_twice_are_refused() {
    for name in ["Seven", "7even", "se_ven", "", &"s".repeat(33)] {
        let text = format!("\n[[plugin]]\nname = \"{name}\"\nsource = \"file:x.wasm\"\n");
        assert_wrong(
            &World::with_own_cache().plugin("seven", &guest::seven()).more(&text),
            &["plugin[1].name"],
        );
    }
    assert_wrong(&seven().more("\n[[plugin]]\nname = \"seven\"\nsource = \"file:x.wasm\"\n"), &["seven"]);
}

#[test]
fn a_source_of_a_kind_that_nobody_knows_is_refused() {
    for source in ["plugins/seven.wasm", "ftp://x", "file:", "dir:", ""] {
        let text = format!("\n[[plugin]]\nname = \"other\"\nsource = \"{source}\"\n");
        assert_wrong(&seven().more(&text), &["plugin[1].source", "file:"]);
    }
}

#[test]
fn a_policy_that_is_missing_or_contradicts_itself_is_refused() {
    let world = seven();
    world.write();
    std::fs::remove_file(world.path("trust.toml")).unwrap();
    let ended = world.run_as_is(&["check"]);
    assert_eq!(ended.code, 2, "{}", ended.said());
    assert!(ended.stderr.contains("trust.toml"), "{}", ended.stderr);

    for (from, to, words) in [
        ("threshold = 1", "threshold = 2", "threshold"),
        ("signers = [\"vendor\"]", "signers = [\"nobody\"]", "nobody"),
        ("signers = [\"vendor\"]", "signers = []", "signers"),
        ("require = [\"publisher\"]", "require = [\"auditor\"]", "auditor"),
        ("require = [\"publisher\"]", "require = []", "require"),
        ("version = 1", "version = 0", "version"),
        ("version = 1", "", "version"),
        ("keys/vendor.pub", "keys/none.pub", "none.pub"),
        ("keys/vendor.pub", "keys/vendor", "vendor"),
    ] {
        assert_wrong(&seven().trust(&TRUST.replace(from, to)), &[words]);
    }
    let twice = format!("{TRUST}[[signer]]\nid = \"again\"\nkey = \"keys/vendor.pub\"\n");
    assert_wrong(&seven().trust(&twice), &["again"]);
}

#[test]
fn a_file_that_others_can_write_to_decides_nothing() {
    for file in ["toolgate.toml", "trust.toml", "keys/vendor.pub"] {
        let world = seven();
        world.write();
        std::fs::set_permissions(world.path(file), std::fs::Permissions::from_mode(0o666)).unwrap();
        let ended = world.run_as_is(&["check"]);
        assert_eq!(ended.code, 2, "{file}: {}", ended.said());
        assert!(ended.stderr.contains("chmod go-w"), "{file}: {}", ended.stderr);
    }
}

#[test]
fn no_policy_means_that_nothing_loads() {
    let world = seven();
    let config = std::fs::read_to_string(world.write())
        .unwrap()
        .replace("[trust]\npolicy = \"trust.toml\"\nlock = \"off\"\n", "");
    world.put("toolgate.toml", config.as_bytes(), 0o644);
    let ended = world.run_as_is(&["check"]);
    assert_eq!(ended.code, 2, "{}", ended.said());
    assert!(ended.stderr.contains("trust"), "{}", ended.stderr);
}

#[test]
fn a_list_that_is_longer_than_may_be_is_refused_whole_and_before_it_is_read() {
    let many = |table: &str| format!("\n[[{table}]]\n").repeat(50_000);
    let configured = ["plugin", "secret"].map(|table| (table, seven().more(&many(table))));
    let trusted =
        ["signer", "role", "rule"].map(|table| (table, seven().trust(&format!("{TRUST}{}", many(table)))));
    for (table, world) in configured.into_iter().chain(trusted) {
        // One line for the list, not one per element.
        let ended = world.run(&["check"]);
        assert_eq!(ended.code, 2, "{table}");
        assert!(
            ended.stderr.contains("the limit is") && ended.stderr.lines().count() < 10,
            "{table}: {:.500}",
            ended.stderr
        );
    }
    let rules = "{ host = \"a.example\" },".repeat(20_000);
    for word in ["http", "sockets", "files"] {
        assert_wrong(&seven().grant(&format!("{word} = [{rules}]")), &["there are 20000; the limit is 1024"]);
    }
}
