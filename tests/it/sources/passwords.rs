//! Passwords in URLs: refused wherever a URL is written or named, and never printed.

use toolgate_tests::Ended;
use toolgate_tests::registry::answer;
use toolgate_tests::web::Web;

use super::lies::from;
use super::{customer, digest, vendor};

#[test]
fn a_password_in_a_source_a_realm_or_a_redirect_is_refused_and_told_to_nobody() {
    const PASSWORD: &str = "hunter2";
    let vendor = vendor();
    let world = customer(&vendor);
    let refused = |what: &str, ended: Ended, codes: &[i32]| {
        assert!(codes.contains(&ended.code), "{what}: {}", ended.said());
        assert!(!ended.said().contains(PASSWORD), "{what}: {}", ended.said());
    };
    for source in [
        "https://me:hunter2@example.com/a.wasm",
        "https://example.com:hunter2@/a.wasm",
        "http://me:hunter2@127.0.0.1/a.wasm",
        "ftp://me:hunter2@example.com/a.wasm",
        "https:me:hunter2@example.com/a.wasm",
        "oci://me:hunter2@example.com/a:1",
        "oci:me:hunter2@example.com/a:1",
        "https://example.com/a/../b.wasm?token=hunter2",
    ] {
        let plugin =
            customer(&vendor).plugin_from("hello", source).with(&format!("digest = \"{}\"", digest()));
        refused(source, plugin.run(&["check"]), &[2]);
        refused(source, world.run(&["verify", source]), &[2, 4]);
        refused(source, vendor.run(&["push", "plugins/hello.wasm", source]), &[2]);
        refused(source, vendor.run(&["plugin", "add", source, "--name", "p", "--yes"]), &[2]);
        refused(source, vendor.run(&["bundle", "export", source, "--out", "b.tar"]), &[2]);
        refused(source, vendor.run(&["inspect", source]), &[2]);
        refused(source, vendor.run(&["sign", source, "--key", "keys/vendor"]), &[2]);
    }
    let realm = "https://me:hunter2@example.com/token";
    let plugin = customer(&vendor).plugin_from("hello", "oci://example.com/a:1");
    refused("a realm", plugin.with(&format!("source_realm = \"{realm}\"")).run(&["check"]), &[2]);
    refused("a realm", world.run(&["verify", "oci://example.com/a:1", "--realm", realm]), &[2]);
    for (header, value) in [
        ("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")),
        ("Location", "https://me:hunter2@example.com/there".to_owned()),
    ] {
        let status = if header == "Location" { "307 There" } else { "401 Who" };
        let web = Web::answering(move |_, to| answer(to, status, &[(header, &value)], b""));
        refused(header, from(&vendor, &web).run(&["check"]), &[3]);
    }
}
