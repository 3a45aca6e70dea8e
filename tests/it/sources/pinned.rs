//! Pinned digests: those bytes or none, even if another version is approved, stored or serving.

use std::io::Write;

use serde_json::{Value, json};
use toolgate_policy::Digest;
use toolgate_tests::registry::{Shelf, answer};
use toolgate_tests::web::{Web, dead_port};
use toolgate_tests::{Server, Transport, World};

use super::{digest, trusting, vendor};

/// A world with `here`, a file, and `hello` from this source with this setting, both approved.
fn approved(vendor: &World, source: &str, line: &str) -> World {
    let world = trusting(vendor).plugin_from("here", "file:plugins/here.wasm");
    for name in ["here", "hello"] {
        for ending in ["wasm", "wasm.sigstore.json"] {
            let bytes = std::fs::read(vendor.path(&format!("plugins/hello.{ending}"))).unwrap();
            world.put(&format!("plugins/{name}.{ending}"), &bytes, 0o644);
        }
    }
    let world = world.plugin_from("hello", source).with(line).locked();
    let approved = world.run(&["plugin", "approve", "--all", "--yes", "--by", "a tester"]);
    assert_eq!(approved.code, 0, "{source}: {}", approved.said());
    world
}

/// Replaces a text in the configuration.
fn change(world: &World, from: &str, to: &str) {
    let text = std::fs::read_to_string(world.path("toolgate.toml")).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    world.put("toolgate.toml", text.replace(from, to).as_bytes(), 0o644);
}

fn reload(server: &Server, times: usize) {
    server.signal("HUP");
    server.wait_until("it reloads", || server.log().matches(" reloaded").count() == times);
}

fn refused(server: &Server) -> Value {
    let ready = server.http("GET", "/readyz", &[], None);
    serde_json::from_str::<Value>(&ready.body).unwrap()["plugins"]["refused"].clone()
}

/// Asserts that neither the server nor a new command has `hello`.
fn assert_out_of_service(what: &str, world: &World, server: &Server) {
    server.wait_until("it is refused", || refused(server) == json!(["hello"]));
    assert_eq!(server.tools(), ["here_seven"], "{what}: {}", server.log());
    assert!(!server.log().contains("goes on serving"), "{what}: {}", server.log());
    let check = world.run_as_is(&["check"]);
    assert!(check.code >= 3 && check.stdout.contains("plugin hello: not ok"), "{what}: {}", check.said());
    assert!(!check.stdout.contains("would serve"), "{what}: {}", check.said());
    let call = world.run_as_is(&["call", "hello_seven"]);
    assert!(call.code >= 3 && call.stdout.is_empty(), "{what}: {}", call.said());
    let tools = world.run_as_is(&["tools"]);
    assert!(!tools.stdout.contains("hello_seven"), "{what}: {}", tools.said());
    let listed = world.run_as_is(&["plugin", "list", "--json"]).json()["plugins"][1].clone();
    assert_eq!((&listed["name"], &listed["serves_instead"]), (&json!("hello"), &Value::Null), "{what}");
}

#[test]
fn a_pin_that_is_changed_takes_every_other_version_out_of_service() {
    let vendor = vendor();
    let registry = Shelf::of(&vendor, "hello").serve();
    let folder = vendor.path("plugins");
    let web = Web::answering(move |request: &str, to: &mut dyn Write| {
        let path = request.split_whitespace().nth(1).unwrap_or_default();
        match std::fs::read(folder.join(path.trim_start_matches('/'))) {
            Ok(bytes) => answer(to, "200 OK", &[], &bytes),
            Err(_) => answer(to, "404 Not Found", &[], b"not here"),
        }
    });
    let other = Digest::of(b"what somebody has reviewed");
    let (ours, pin) = (format!("digest = \"{}\"", digest()), format!("digest = \"{other}\""));
    let tag = format!("oci://{}/hello:1", registry.address);
    for (what, source, line, from, to) in [
        ("a file", "file:plugins/hello.wasm", "# here", "# here", pin.as_str()),
        ("a file that was pinned", "file:plugins/hello.wasm", &ours, &ours, &pin),
        ("a URL", &format!("http://{}/hello.wasm", web.address), &ours, &ours, &pin),
        ("a tag", &tag, "# here", "# here", &pin),
        ("a manifest", &tag, "", "/hello:1", &format!("/hello@{other}")),
        ("a manifest beside a tag", &tag, "", "/hello:1", &format!("/hello:1@{other}")),
    ] {
        let world = approved(&vendor, source, line);
        let server = world.serve(Transport::Http);
        server.wait_until("it serves", || server.tools() == ["hello_seven", "here_seven"]);
        change(&world, from, to);
        reload(&server, 1);
        assert_out_of_service(what, &world, &server);
        // The version pinned before serves again.
        change(&world, to, from);
        reload(&server, 2);
        server.wait_until("it serves again", || server.tools() == ["hello_seven", "here_seven"]);
    }
}

#[test]
fn a_pin_that_names_the_approved_bytes_lets_the_version_before_serve() {
    let vendor = vendor();
    let shelf = Shelf::of(&vendor, "hello");
    let manifest = shelf.manifest.clone();
    let web = shelf.serve();
    let host = web.address.to_string();
    for (what, version, line) in [
        ("a pin of the bytes", "hello:1".to_owned(), format!("digest = \"{}\"", digest())),
        ("a pin of the manifest", format!("hello@{manifest}"), String::new()),
        ("both, and a tag", format!("hello:2@{manifest}"), format!("digest = \"{}\"", digest())),
    ] {
        let world = approved(&vendor, &format!("oci://{host}/{version}"), &line);
        let server = world.serve(Transport::Http);
        server.wait_until("it serves", || server.tools() == ["hello_seven", "here_seven"]);
        change(&world, &host, &format!("127.0.0.1:{}", dead_port()));
        reload(&server, 1);
        assert_eq!(server.call("hello_seven", json!({})).text(), "7", "{what}");
        let call = world.run_as_is(&["call", "hello_seven"]);
        assert_eq!((call.code, call.stdout.trim()), (0, "7"), "{what}: {}", call.said());
        // A modified stored manifest is not used. If the component's bytes are pinned it is not needed.
        let kept = world.path("state/blobs/sha256").join(manifest.strip_prefix("sha256:").unwrap());
        std::fs::write(&kept, b"{}").unwrap();
        let call = world.run_as_is(&["call", "hello_seven"]);
        assert_eq!(call.code, if line.is_empty() { 4 } else { 0 }, "{what}: {}", call.said());
    }
}
