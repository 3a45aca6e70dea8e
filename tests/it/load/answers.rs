//! Changes made while a question waits for its answer, and partial writes: only what was shown is approved, and a
//! revocation takes effect.

use toolgate_policy::Digest;
use toolgate_tests::World;
use toolgate_tests::prompt::Prompt;
use toolgate_tests::world::TRUST;

use super::lock::{approve, seven};
use super::writers::{entry, revoked};

/// A plugin `q` whose approval waits for an answer, beside `p`, which is approved.
fn asked() -> (World, Prompt) {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    let world = world.plugin("q", &seven("Gives seven, too."));
    world.write();
    let prompt = Prompt::start(&world, &["plugin", "approve", "q", "--by", "a tester"]);
    assert!(prompt.shown().contains("q: new"), "{}", prompt.shown());
    (world, prompt)
}

#[test]
fn what_happened_while_a_question_waited_is_not_undone_by_the_answer() {
    for args in [&["plugin", "remove", "p"][..], &["plugin", "revoke", "p", "--reason", "a flaw"]] {
        let (world, prompt) = asked();
        let ended = world.run_as_is(args);
        assert_eq!(ended.code, 0, "{}", ended.said());
        let before = entry(&world, "p");
        let (code, shown) = prompt.answer("y");
        assert_eq!(code, 0, "{shown}");
        assert_eq!(entry(&world, "q").unwrap().pin.approval.by, "a tester");
        assert_eq!(entry(&world, "p"), before, "{args:?}");
        assert!(before.is_none_or(|entry| entry.pin.revoked.is_some()));
    }
}

/// A change made while the question waits.
type Change = fn(&World);

/// Asserts that after each of these changes nothing is approved; the last part is the text that names the change.
fn nothing_is_approved_after(changes: &[(&str, Change, &str)]) {
    for (what, change, words) in changes {
        let (world, prompt) = asked();
        change(&world);
        let before = std::fs::read_to_string(world.path("toolgate.lock")).unwrap();
        let (code, shown) = prompt.answer("y");
        assert_eq!(code, 3, "{what}: {shown}");
        assert!(shown.contains("nothing was written"), "{what}: {shown}");
        assert!(shown.contains(words), "{what}: not `{words}`: {shown}");
        let after = std::fs::read_to_string(world.path("toolgate.lock")).unwrap();
        assert_eq!(after, before, "{what}: nothing was written");
    }
}

#[test]
fn what_is_approved_is_what_was_shown_or_nothing() {
    nothing_is_approved_after(&[
        ("other bytes", |world| world.install("q", &seven("Gives eight.")), "its bytes changed"),
        (
            "another grant",
            |world| {
                let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
                let more = "source = \"file:plugins/q.wasm\"\n[plugin.limits]\nfuel = 5\n";
                let text = text.replace("source = \"file:plugins/q.wasm\"\n", more);
                world.put("toolgate.toml", text.as_bytes(), 0o644);
            },
            "its configuration changed",
        ),
        (
            "no configuration",
            |world| assert_eq!(world.run_as_is(&["plugin", "remove", "q"]).code, 0),
            "there is no [[plugin]] called `q`",
        ),
        (
            "another approval",
            |world| {
                let other = ["plugin", "approve", "q", "--yes", "--by", "another"];
                assert_eq!(world.run_as_is(&other).code, 0);
            },
            "another approved it meanwhile",
        ),
        (
            "revoked bytes",
            |world| {
                let digest = Digest::of(&seven("Gives seven, too.")).to_string();
                let ended = world.run_as_is(&["plugin", "revoke", &digest, "--reason", "a flaw"]);
                assert_eq!(ended.code, 0, "{}", ended.said());
            },
            "is revoked: a flaw",
        ),
        (
            "a signer who counts no more",
            |world| {
                world.key("other");
                let trust = TRUST.replace("version = 1", "version = 2").replace("vendor.pub", "other.pub");
                world.put("trust.toml", trust.as_bytes(), 0o644);
            },
            "is not a [[signer]]",
        ),
    ]);
}

#[test]
fn what_cannot_be_read_any_more_is_not_approved() {
    nothing_is_approved_after(&[
        (
            "no file",
            |world| std::fs::remove_file(world.path("plugins/q.wasm")).unwrap(),
            "plugins/q.wasm: No such file",
        ),
        (
            "a configuration that is wrong",
            |world| world.put("toolgate.toml", b"[server]\nlisten = 5\n", 0o644),
            "server.listen",
        ),
        (
            "a trust policy that is wrong",
            |world| world.put("trust.toml", b"version = 0\n", 0o644),
            "counts from 1",
        ),
        (
            "no approvals asked",
            |world| {
                let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
                let text = text.replace("[trust]\n", "[trust]\nlock = \"off\"\n");
                world.put("toolgate.toml", text.as_bytes(), 0o644);
            },
            "approvals are not asked here",
        ),
    ]);
}

/// Trust policy with two signers in one role and this threshold.
fn two_signers(version: u32, threshold: u32, signers: &str) -> String {
    format!(
        "version = {version}\n[[signer]]\nid = \"vendor\"\nkey = \"keys/vendor.pub\"\n[[signer]]\nid = \"second\"\n\
         key = \"keys/second.pub\"\n[[role]]\nname = \"publisher\"\nthreshold = {threshold}\nsigners = [{signers}]\n\
         [[rule]]\nplugin = \"*\"\nrequire = [\"publisher\"]\n"
    )
}

#[test]
fn a_trust_policy_that_changed_since_may_say_nothing_else_of_what_was_shown() {
    let both = "\"vendor\", \"second\"";
    let again = two_signers(2, 2, both);
    let comment = format!("# what others wrote\n{again}");
    for (args, nothing) in [
        (&["plugin", "approve", "q", "--by", "a tester"][..], None),
        (&["plugin", "add", "plugins/q.wasm", "--by", "a tester"], Some("[[plugin]]")),
    ] {
        for (trust, code) in
            [(comment.as_str(), 0), (&two_signers(2, 1, "\"vendor\""), 3), (&two_signers(2, 1, both), 3)]
        {
            let world = World::new().locked();
            let world = if nothing.is_none() { world.plugin("q", &seven("Gives seven.")) } else { world };
            world.install("q", &seven("Gives seven."));
            world.sign("q", "second");
            let world = world.trust(&two_signers(1, 2, both));
            world.write();
            let prompt = Prompt::start(&world, args);
            assert!(prompt.shown().contains("publisher: vendor, second"), "{}", prompt.shown());
            world.put("trust.toml", trust.as_bytes(), 0o644);
            let (ended, shown) = prompt.answer("y");
            assert_eq!(ended, code, "{args:?} {trust}: {shown}");
            if code == 3 {
                assert!(shown.contains("signed by others than was shown: publisher: vendor"), "{shown}");
                assert!(!world.path("toolgate.lock").exists(), "{shown}");
                let config = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
                assert!(nothing.is_none_or(|words| !config.contains(words)), "{config}");
            }
        }
    }
}

#[test]
fn a_plugin_that_is_being_added_is_not_added_twice_nor_over_what_came_meanwhile() {
    let world = World::new().locked();
    world.install("q", &seven("Gives seven."));
    world.write();
    let prompt = Prompt::start(&world, &["plugin", "add", "plugins/q.wasm", "--by", "first"]);
    let second = world.run_as_is(&["plugin", "add", "plugins/q.wasm", "--yes", "--by", "second"]);
    assert_eq!(second.code, 0, "{}", second.said());
    let (code, shown) = prompt.answer("y");
    assert_eq!(code, 3, "{shown}");
    assert!(shown.contains("`q` was added meanwhile"), "{shown}");
    assert_eq!(entry(&world, "q").unwrap().pin.approval.by, "second");
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    assert_eq!(text.matches("name = \"q\"").count(), 1, "{text}");

    // Changes that others made to the configuration meanwhile are kept.
    world.install("r", &seven("Gives seven, too."));
    let prompt = Prompt::start(&world, &["plugin", "add", "plugins/r.wasm", "--by", "first"]);
    world.put("toolgate.toml", format!("{text}\n# what came meanwhile\n").as_bytes(), 0o644);
    let removed = world.run_as_is(&["plugin", "remove", "q"]);
    assert_eq!(removed.code, 0, "{}", removed.said());
    let (code, shown) = prompt.answer("y");
    assert_eq!(code, 0, "{shown}");
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    assert!(text.contains("# what came meanwhile") && !text.contains("name = \"q\""), "{text}");
    assert_eq!(world.run_as_is(&["call", "r_seven"]).code, 0);
    assert!(entry(&world, "q").is_none());
}

#[test]
fn a_revocation_that_stands_already_still_takes_the_approval_back() {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    let digest = entry(&world, "p").unwrap().pin.digest;
    let by_hand = TRUST.replace("version = 1", "version = 2");
    let by_hand = format!("{by_hand}[[revoke]]\ndigest = \"{digest}\"\nreason = \"by hand\"\n");
    world.put("trust.toml", by_hand.as_bytes(), 0o644);
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert_eq!(ended.code, 0, "{}", ended.said());
    assert_eq!(std::fs::read_to_string(world.path("trust.toml")).unwrap(), by_hand, "nothing to add");
    assert_eq!(entry(&world, "p").unwrap().pin.revoked.as_deref(), Some("a flaw"));
}

#[test]
fn a_revocation_does_not_need_the_rest_of_the_configuration() {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    world.put(
        "toolgate.toml",
        format!("{text}\n[[secret]]\nname = \"x\"\nfile = \"gone\"\n").as_bytes(),
        0o644,
    );
    assert_eq!(world.run_as_is(&["check"]).code, 2);
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert_eq!(ended.code, 0, "{}", ended.said());
    assert_eq!(revoked(&world).len(), 1);
    assert!(entry(&world, "p").unwrap().pin.revoked.is_some());
}

#[test]
fn a_version_that_cannot_be_raised_is_an_error_and_nothing_is_written() {
    let trust = TRUST.replace("version = 1", &format!("version = {}", i64::MAX));
    let world = World::new().locked().plugin("p", &seven("Gives seven.")).trust(&trust);
    approve(&world);
    let before =
        ["trust.toml", "toolgate.lock"].map(|file| std::fs::read_to_string(world.path(file)).unwrap());
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert!(ended.code == 2 && ended.stderr.contains("cannot be raised"), "{}", ended.said());
    let after =
        ["trust.toml", "toolgate.lock"].map(|file| std::fs::read_to_string(world.path(file)).unwrap());
    assert_eq!(after, before);
}

#[test]
fn what_could_only_be_written_in_part_is_said() {
    let world = World::new().locked().plugin("p", &seven("Gives seven."));
    approve(&world);
    // The lock is a link into a folder to which it cannot be written.
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    std::fs::rename(world.path("toolgate.lock"), world.path("elsewhere/toolgate.lock")).unwrap();
    std::os::unix::fs::symlink(world.path("elsewhere/toolgate.lock"), world.path("toolgate.lock")).unwrap();
    // A folder takes the name of the temporary file.
    std::fs::create_dir(world.path("elsewhere/.toolgate.lock.new")).unwrap();
    let ended = world.run_as_is(&["plugin", "revoke", "p", "--reason", "a flaw"]);
    assert_eq!(ended.code, 4, "{}", ended.said());
    assert!(ended.stdout.contains("revoked in "), "{}", ended.said());
    assert!(ended.stderr.contains("is revoked all the same"), "{}", ended.said());
    assert_eq!(revoked(&world).len(), 1);
    assert_eq!(world.run_as_is(&["check"]).code, 3);
    let approve = world.run_as_is(&["plugin", "approve", "p", "--yes"]);
    assert_ne!(approve.code, 0, "{}", approve.said());
}
