//! Two keys: what a plugin asks for and is not given refuses it, and so does what it is given and never asked for.

use toolgate_policy::Capability;
use toolgate_tests::{World, guest, plugin, test_guest};

use super::{assert_refused, beside_a_good_one};

#[test]
fn a_missing_grant_is_refused_with_the_line_to_add() {
    let line = Capability::Http.suggestion();
    assert_refused(
        beside_a_good_one(&plugin("fetch")).with("id = \"fetch\""),
        &format!("it needs `http`; add to its [plugin.grant]: {line}"),
    );
}

#[test]
fn every_missing_grant_is_named_at_once() {
    let world = World::with_own_cache().plugin(
        "both",
        &guest::wat(
            r#"(component
            (import "wasi:config/store@0.2.0-rc.1" (instance))
            (import "wasi:keyvalue/store@0.2.0-draft" (instance))
            (import "wasi:sockets/tcp@0.2.0" (instance)))"#,
        ),
    );
    let check = world.run(&["check"]);
    assert_eq!(check.code, 3);
    for word in [Capability::Config, Capability::Keyvalue, Capability::Sockets] {
        assert!(check.stderr.contains(&format!("it needs `{word}`")), "{}", check.stderr);
    }
}

#[test]
fn a_grant_for_what_the_plugin_cannot_use_is_refused() {
    for word in Capability::ALL {
        let world = World::with_own_cache()
            .plugin("seven", &guest::seven())
            .folder("DIRECTORY")
            .grant(word.suggestion());
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{word}: {}", check.said());
        assert!(
            check.stderr.contains(&format!("`{word}` is granted and the plugin cannot use it")),
            "{}",
            check.stderr
        );
    }
}

#[test]
fn the_line_that_an_error_tells_to_add_is_one_that_the_configuration_takes() {
    for (word, name) in [
        (Capability::Http, "requesting"),
        (Capability::Config, "configured"),
        (Capability::Sockets, "connecting"),
        (Capability::Keyvalue, "storing"),
    ] {
        let world = World::with_own_cache().plugin("asking", &test_guest(name));
        assert_eq!(world.run(&["check"]).code, 3, "{word}");
        let check = world.grant(word.suggestion()).run(&["check"]);
        assert_eq!(check.code, 0, "{word}: {}", check.said());
    }
}

#[test]
fn a_plugin_needs_no_grant_for_pure_computation() {
    let check = World::with_own_cache().plugin("hello", &plugin("hello")).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}
