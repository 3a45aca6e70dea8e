//! Plugins from URLs; those of the tests are local, and so without TLS.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use toolgate_tests::registry::{Count, answer, count, keeps};
use toolgate_tests::web::Web;
use toolgate_tests::{World, guest};

use super::{customer, digest, vendor};

/// Serves the files of a world's plugins.
fn files(world: &World) -> impl Fn(&str, &mut dyn Write) + Send + Sync + 'static {
    let folder = world.path("plugins");
    move |request, to| {
        let path = request.split_whitespace().nth(1).unwrap_or_default();
        match std::fs::read(folder.join(path.trim_start_matches('/'))) {
            Ok(bytes) => answer(to, "200 OK", &[], &bytes),
            Err(_) => answer(to, "404 Not Found", &[], b"not here"),
        }
    }
}

/// A world with a plugin from a server, pinned by digest.
fn pinned(vendor: &World, web: &Web) -> World {
    let world = customer(vendor).plugin_from("hello", &format!("http://{}/hello.wasm", web.address));
    world.with(&format!("digest = \"{}\"", digest()))
}

#[test]
fn a_pinned_plugin_is_fetched_once_verified_and_kept() {
    let vendor = vendor();
    let web = Web::answering(files(&vendor));
    let world = pinned(&vendor, &web);
    let called = world.call("hello_seven", &json!({}));
    assert_eq!((called.code, called.stdout.trim()), (0, "7"), "{}", called.said());
    assert!(keeps(&world, &digest()));
    let asked = web.heard().len();
    let again = world.call("hello_seven", &json!({}));
    assert_eq!((again.code, again.stdout.trim()), (0, "7"), "{}", again.said());
    assert_eq!(web.heard().len(), asked, "what is kept is not fetched again");
}

#[test]
fn what_is_kept_serves_without_a_network_and_not_when_it_was_touched() {
    let vendor = vendor();
    let web = Web::answering(files(&vendor));
    let world = pinned(&vendor, &web);
    assert_eq!(world.run(&["check"]).code, 0);
    let gone = world.path("toolgate.toml");
    let text = std::fs::read_to_string(&gone).unwrap();
    let dead = text.replace(&web.address.port().to_string(), &toolgate_tests::web::dead_port().to_string());
    world.put("toolgate.toml", dead.as_bytes(), 0o644);
    let offline = world.run_as_is(&["call", "hello_seven", "--args", "{}"]);
    assert_eq!((offline.code, offline.stdout.trim()), (0, "7"), "{}", offline.said());
    let kept = world.path("state/blobs/sha256").join(digest().strip_prefix("sha256:").unwrap());
    let mut bytes = std::fs::read(&kept).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&kept, bytes).unwrap();
    let touched = world.run_as_is(&["check"]);
    assert_eq!(touched.code, 4, "{}", touched.said());
    assert!(
        touched.stderr.contains("ALARM") && touched.stderr.contains("connection was refused"),
        "{}",
        touched.said()
    );
}

#[test]
fn further_signers_are_looked_for_by_their_keys() {
    let vendor = vendor();
    vendor.sign("hello", "second");
    let web = Web::answering(files(&vendor));
    let policy = toolgate_tests::world::TRUST.replace(
        "threshold = 1\nsigners = [\"vendor\"]",
        "threshold = 2\nsigners = [\"vendor\", \"second\"]",
    ) + "[[signer]]\nid = \"second\"\nkey = \"keys/second.pub\"\n";
    let world = pinned(&vendor, &web).trust(&policy);
    world.put("keys/second.pub", &std::fs::read(vendor.path("keys/second.pub")).unwrap(), 0o644);
    let check = world.run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn a_url_without_a_digest_or_in_the_clear_is_a_mistake_in_the_configuration() {
    for (source, pin, words) in [
        ("https://example.com/hello.wasm", false, "has its digest written here"),
        ("http://example.com/hello.wasm", true, "plain http goes to this machine only"),
        ("https://user:password@example.com/hello.wasm", true, "user information"),
        ("ftp://example.com/hello.wasm", true, "is not a source"),
        ("oci://example.com/hello", false, "is not an artefact in a registry"),
        ("oci://example.com/Hello:1", false, "is not an artefact in a registry"),
    ] {
        let mut world = World::new().plugin_from("hello", source);
        if pin {
            world = world.with(&format!("digest = \"{}\"", digest()));
        }
        let check = world.run(&["check"]);
        assert_eq!(check.code, 2, "{source}: {}", check.said());
        assert!(check.stderr.contains(words), "{source}: {}", check.stderr);
    }
}

/// Responder for the component: number of earlier requests, the server's address, output.
type Answer = fn(usize, &str, &mut dyn Write);

/// A server with false responses for the component and true ones for the rest.
fn lying(vendor: &World, lie: Answer) -> Web {
    let (honest, counted) = (files(vendor), Count::default());
    Web::answering(move |request, to| {
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().trim();
        match request.split_whitespace().nth(1) {
            Some("/hello.wasm") => lie(count(&counted), host, to),
            _ => honest(request, to),
        }
    })
}

fn seven(to: &mut dyn Write) {
    answer(to, "200 OK", &[], &guest::seven());
}

/// A false response, and exit code and message of the resulting `check`.
type Lie = (&'static str, Answer, i32, &'static str);

#[test]
fn no_body_that_a_server_makes_up_is_a_plugin() {
    let lies: [Lie; 5] = [
        ("other bytes", |_, _, to| answer(to, "200 OK", &[], b"other"), 3, "and the configuration pins"),
        (
            "a body that ends early",
            |_, _, to| {
                drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"));
            },
            4,
            "the exchange broke",
        ),
        (
            "a huge announcement",
            |_, _, to| {
                drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"));
            },
            3,
            "it has more than 67108864 bytes",
        ),
        (
            "a body without end",
            |_, _, to| {
                drop(to.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
                let zeroes = [0; 65_536];
                while to.write_all(&zeroes).is_ok() {}
            },
            3,
            "it has more than 67108864 bytes",
        ),
        (
            "a bomb in a packed body",
            |_, _, to| {
                answer(to, "200 OK", &[("Content-Encoding", "gzip")], b"\x1f\x8b");
            },
            3,
            "is packed as `gzip`",
        ),
    ];
    assert_all_refused(&lies);
}

#[test]
fn no_redirect_leads_to_a_plugin() {
    let lies: [Lie; 4] = [
        (
            "a redirect to a metadata service",
            |_, _, to| {
                answer(to, "302 Found", &[("Location", "https://169.254.169.254/latest/meta-data/")], b"");
            },
            3,
            "it is another host",
        ),
        (
            "a redirect to another host",
            |_, _, to| {
                answer(to, "301 Moved", &[("Location", "https://example.com/hello.wasm")], b"");
            },
            3,
            "it is another host",
        ),
        (
            "a redirect to a file",
            |_, _, to| {
                answer(to, "302 Found", &[("Location", "file:///etc/passwd")], b"");
            },
            3,
            "neither http nor https",
        ),
        (
            "a redirect to itself",
            |_, _, to| {
                answer(to, "302 Found", &[("Location", "/hello.wasm")], b"");
            },
            3,
            "there were 5 before it",
        ),
    ];
    assert_all_refused(&lies);
}

#[test]
fn no_other_answer_is_a_plugin_nor_speaks_to_the_terminal() {
    let lies: [Lie; 4] = [
        (
            "nothing there",
            |_, _, to| answer(to, "404 Not Found", &[], b"gone"),
            4,
            "the answer was 404: gone",
        ),
        (
            "never now",
            |_, _, to| answer(to, "503 Unavailable", &[], b"\x1b[31mlater"),
            4,
            "the answer was 503",
        ),
        (
            "come again in a year",
            |_, _, to| {
                answer(to, "429 Too Many", &[("Retry-After", "31536000")], b"");
            },
            4,
            "the answer was 429",
        ),
        ("no HTTP", |_, _, to| drop(to.write_all(b"SSH-2.0-nothing\r\n")), 4, "the exchange broke"),
    ];
    assert_all_refused(&lies);
}

fn assert_all_refused(lies: &[Lie]) {
    let vendor = vendor();
    std::thread::scope(|scope| {
        for (what, lie, code, words) in lies {
            let vendor = &vendor;
            scope.spawn(move || {
                let world = pinned(vendor, &lying(vendor, *lie));
                let check = world.run(&["check"]);
                assert_eq!(check.code, *code, "{what}: {}", check.said());
                assert!(check.stderr.contains(words), "{what}: {}", check.stderr);
                assert!(!check.said().contains('\x1b'), "{what}: a terminal is not spoken to");
                assert!(!keeps(&world, &digest()), "{what}");
            });
        }
    });
}

#[test]
fn a_server_that_drips_is_left() {
    let vendor = vendor();
    let web = lying(&vendor, |_, _, to| {
        drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"));
        while to.write_all(b"\0").and_then(|()| to.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let begun = Instant::now();
    let check = pinned(&vendor, &web).run(&["check"]);
    assert_eq!(check.code, 4, "{}", check.said());
    assert!(check.stderr.contains("the answer took too long"), "{}", check.stderr);
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(web.heard().len(), 1, "it is not asked again");
}

#[test]
fn what_fails_for_a_moment_is_asked_again_and_no_oftener_than_allowed() {
    let vendor = vendor();
    let tries: [(&str, Answer); 3] = [
        ("a moment of 503", |number, _, to| match number {
            0 | 1 => answer(to, "503 Unavailable", &[], b""),
            _ => seven(to),
        }),
        ("429 with a time", |number, _, to| match number {
            0 => answer(to, "429 Too Many", &[("Retry-After", "1")], b""),
            _ => seven(to),
        }),
        ("a body that breaks once", |number, _, to| match number {
            0 => drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")),
            _ => seven(to),
        }),
    ];
    for (what, lie) in tries {
        let check = pinned(&vendor, &lying(&vendor, lie)).run(&["check"]);
        assert_eq!(check.code, 0, "{what}: {}", check.said());
    }
    let web = lying(&vendor, |_, _, to| answer(to, "503 Unavailable", &[], b""));
    assert_eq!(pinned(&vendor, &web).run(&["check"]).code, 4);
    assert_eq!(web.heard().len(), 4);
}

#[test]
fn over_tls_the_certificate_is_checked_against_the_authority_that_was_named() {
    let web = Web::tls(|request, to| match request.split_whitespace().nth(1) {
        Some("/hello.wasm") => seven(to),
        _ => answer(to, "404 Not Found", &[], b""),
    });
    let world = |ca: &str| {
        let source = format!("https://localhost:{}/hello.wasm", web.address.port());
        let world = World::new().file("ca.pem", &web.ca).plugin_from("hello", &source).with(ca);
        world.with(&format!("digest = \"{}\"", digest()))
    };
    let stranger = world("").run(&["check"]);
    assert_eq!(stranger.code, 4, "{}", stranger.said());
    assert!(web.heard().is_empty(), "nothing is said to a stranger");
    let named = world("source_ca = \"ca.pem\"").run(&["check"]);
    assert_eq!(named.code, 3, "{}", named.said());
    assert!(named.stderr.contains("no signature was found"), "it arrived: {}", named.stderr);
}

#[test]
fn a_redirect_within_the_host_is_followed() {
    let vendor = vendor();
    let counted = Arc::new(files(&vendor));
    let web = Web::answering(move |request, to| match request.split_whitespace().nth(1) {
        Some("/hello.wasm") => answer(to, "302 Found", &[("Location", "/moved/hello.wasm")], b""),
        Some("/moved/hello.wasm") => seven(to),
        _ => counted(request, to),
    });
    let check = pinned(&vendor, &web).run(&["check"]);
    assert_eq!(check.code, 0, "{}", check.said());
}

#[test]
fn a_signature_from_elsewhere_is_bounded_and_held_to_the_same_rules() {
    let vendor = vendor();
    for (body, words) in [
        (vec![b' '; (1 << 20) + 1], "it has more than 1048576 bytes"),
        (b"{}".to_vec(), "is not a signature"),
    ] {
        let web = Web::answering(move |request, to| match request.split_whitespace().nth(1) {
            Some("/hello.wasm") => seven(to),
            Some("/hello.wasm.sigstore.json") => answer(to, "200 OK", &[], &body),
            _ => answer(to, "404 Not Found", &[], b""),
        });
        let world = pinned(&vendor, &web);
        let check = world.run(&["check"]);
        assert_eq!(check.code, 3, "{}", check.said());
        assert!(check.stderr.contains(words), "{}", check.stderr);
        assert!(!keeps(&world, &digest()), "what is not trusted is not kept");
    }
}
