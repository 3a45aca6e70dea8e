//! Secrets that must not leak: the one that the host adds to a request, and a client's own credentials. The guests
//! search all of their own memory for them.

use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{Server, Transport, World, client, plugin, test_guest};

const CANARY: &str = "canary-5d41402abc4b2a76b9719d911017c592/+x";
/// The same, without characters that a header name cannot contain.
const CANARY_OF_A_NAME: &str = "canary-5d41402abc4b2a76b9719d911017c592";
/// Not secret, as a control: a search that misses this finds nothing.
const PLAIN: &str = "plain-7b8b965ad4bca0e41ab51de7b31363a1";

/// Guests of WASI 0.2 and 0.3.
const GUESTS: [(&str, &str); 2] = [("requesting", ""), ("fetching", "engine = \"async\"")];

fn world((guest, engine): (&str, &str), port: u16, more: &str) -> World {
    let rule = format!(
        r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, methods = ["GET", "TELL"]{more} }}]"#
    );
    World::new()
        .env("TOOLGATE_LOG", "trace")
        .plugin("web", &test_guest(guest))
        .with(engine)
        .grant(&rule)
        .limit("fuel = 100_000_000_000")
}

fn with_secret(guest: (&str, &str), port: u16, secret: &str) -> World {
    world(guest, port, r#", secret = "token""#)
        .secret_file("secrets/token", secret)
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"Authorization\"\nformat = \"Bearer {}\"\n")
}

/// Encodings of the canary that are searched for.
fn forms(canary: &str) -> [String; 4] {
    let percent = canary.replace('/', "%2F").replace('+', "%2B");
    let basic = STANDARD.encode(canary);
    [canary.to_owned(), percent, basic, STANDARD.encode(format!("Bearer {canary}"))]
}

/// First half and reversed second half of a text, so that the search itself does not put the text into memory.
fn halves(text: &str) -> Value {
    let (first, last) = text.split_at(text.len() / 2);
    json!([first, last.chars().rev().collect::<String>()])
}

fn search(port: u16, path: &str, needles: &[String]) -> Value {
    let needles: Vec<Value> = needles.iter().map(|needle| halves(needle)).collect();
    json!({ "authority": format!("127.0.0.1:{port}"), "path": path, "needles": needles })
}

/// Occurrences in a guest's memory after its request: of the canary in all forms, and of the control.
fn found(reply: &Value) -> (u64, u64) {
    let counts =
        reply["result"]["structuredContent"]["result"].as_array().unwrap_or_else(|| panic!("{reply}"));
    let counts: Vec<u64> = counts.iter().map(|count| count.as_u64().unwrap()).collect();
    let (plain, canary) = counts.split_last().unwrap();
    (canary.iter().sum(), *plain)
}

/// Searches the log and the state directory.
fn assert_nowhere(world: &World, server: &Server, canary: &str) {
    for form in forms(canary) {
        assert!(!server.log().contains(&form), "in the log: {}", server.log());
        assert_not_below(&world.path("state"), &form);
    }
}

fn assert_not_below(folder: &Path, text: &str) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            assert_not_below(&entry, text);
        } else {
            let bytes = std::fs::read(&entry).unwrap();
            assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "in {}", entry.display());
        }
    }
}

/// Returns the bearer token that it received, in every place and form, and in pieces; or as an invalid response.
fn echo(heard: &str, to: &mut dyn Write) {
    let given =
        heard.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or("nothing");
    if heard.starts_with("GET /broken ") {
        drop(write!(to, "{given}\r\n\r\n"));
        return;
    }
    if heard.starts_with("GET /name ") {
        respond(to, "200 OK", &[(&format!("X-{given}"), "in a name"), ("X-Plain", PLAIN)], "");
        return;
    }
    let [_, percent, basic, bearer] = forms(given);
    let (one, two) = given.split_at(given.len() / 2);
    drop(write!(
        to,
        "HTTP/1.1 200 {given}\r\nX-Echo: {given}\r\nSet-Cookie: a=Bearer {given}; b={basic}\r\nX-Plain: {PLAIN}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Last\r\n\r\n"
    ));
    for piece in ["<", one, two, ">", &percent, &basic, "Bearer ", one, two, &bearer] {
        drop(write!(to, "{:x}\r\n{piece}\r\n", piece.len()));
        drop(to.flush());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(write!(to, "0\r\nX-Last: {given}\r\n\r\n"));
}

#[test]
fn a_secret_is_nowhere_in_a_guests_memory_its_results_the_log_or_the_records() {
    for guest in GUESTS {
        let web = Web::plain(echo);
        let port = web.address.port();
        let world = with_secret(guest, port, CANARY);
        let server = world.serve(Transport::Http);
        let needles = [forms(CANARY).as_slice(), &[PLAIN.to_owned()]].concat();
        let reply = server.call("web_search", search(port, "/", &needles));
        assert!(web.heard()[0].contains(CANARY), "the server was given it");
        let (canary, plain) = found(&reply.0);
        assert_eq!(canary, 0, "{guest:?}: {reply:?}");
        assert!(plain > 0, "{guest:?}: what is there is found: {reply:?}");

        let asked = |path: &str, method: &str| {
            let mut asked =
                json!({ "method": method, "scheme": "http", "authority": format!("127.0.0.1:{port}") });
            (asked["path"], asked["headers"], asked["body"]) = (json!(path), json!([]), json!(""));
            asked
        };
        // Answers and errors of every kind.
        for (path, method, fails) in [
            ("/", "GET", false),
            ("/broken", "GET", true),
            ("/", "TELL", false),
            ("/", "PUT", true),
            ("/a/../b", "GET", true),
        ] {
            let reply = server.call("web_run", asked(path, method));
            assert_eq!(reply.is_error(), fails, "{guest:?} {path}: {reply:?}");
            for form in forms(CANARY) {
                assert!(!reply.0.to_string().contains(&form), "{guest:?} {path}: {}", reply.0);
            }
        }
        assert_nowhere(&world, &server, CANARY);
    }
}

#[test]
fn a_secret_that_comes_back_as_the_name_of_a_header_is_taken_out_as_well() {
    for guest in GUESTS {
        for secret in [CANARY_OF_A_NAME.to_owned(), CANARY_OF_A_NAME.to_uppercase()] {
            let web = Web::plain(echo);
            let port = web.address.port();
            let world = with_secret(guest, port, &secret);
            let server = world.serve(Transport::Http);
            // Header names arrive in lower case.
            let needles = [CANARY_OF_A_NAME.to_owned(), secret.clone(), PLAIN.to_owned()];
            let reply = server.call("web_search", search(port, "/name", &needles));
            let (canary, plain) = found(&reply.0);
            assert_eq!((canary, plain > 0), (0, true), "{guest:?}: {reply:?}");
            assert_nowhere(&world, &server, CANARY_OF_A_NAME);
        }
    }
}

#[test]
fn what_a_client_shows_to_be_let_in_is_nowhere_in_a_guests_memory_the_results_the_log_or_the_records() {
    for guest in GUESTS {
        let web = Web::plain(|_, to| respond(to, "200 OK", &[("X-Plain", PLAIN)], "hello"));
        let port = web.address.port();
        let world = world(guest, port, "");
        let server = world.serve(Transport::Http);
        let shown = |message: &Value, path: &str| {
            let mut headers = client::headers(message);
            for (name, value) in [
                ("Authorization", format!("Bearer {CANARY}")),
                ("Proxy-Authorization", format!("Basic {}", STANDARD.encode(CANARY))),
                ("Cookie", format!("session={CANARY}")),
                ("X-Api-Key", CANARY.to_owned()),
            ] {
                headers.push((name.to_owned(), value));
            }
            server.http("POST", path, &headers, Some(&message.to_string()))
        };
        let call = |name: &str, arguments: Value| {
            server.modern("tools/call", json!({ "name": name, "arguments": arguments })).1
        };
        let needles = [forms(CANARY).as_slice(), &[PLAIN.to_owned()]].concat();
        let reply = shown(&call("web_search", search(port, "/", &needles)), "/mcp");
        let (canary, plain) =
            found(&serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{reply:?}")));
        assert_eq!((canary, plain > 0), (0, true), "{guest:?}: {reply:?}");
        assert!(!web.heard()[0].contains(CANARY), "it is not passed on: {:?}", web.heard());

        // The same for calls that fail.
        let fine = call("web_search", search(port, "/", &needles));
        let mut replies = vec![
            reply,
            shown(&fine, &format!("/mcp?access_token={CANARY}")),
            shown(&fine, &format!("/{CANARY}")),
            shown(&call("web_nothing", json!({})), "/mcp"),
            shown(&call("web_run", json!({ "wrong": 1 })), "/mcp"),
            shown(&server.modern("no/method", json!({})).1, "/mcp"),
            shown(&json!({ "jsonrpc": "1.0" }), "/mcp"),
        ];
        replies.push(server.http(
            "GET",
            "/mcp",
            &[("Authorization".to_owned(), format!("Bearer {CANARY}"))],
            None,
        ));
        let origin =
            [("Authorization", format!("Bearer {CANARY}")), ("Origin", "https://evil.example".to_owned())];
        replies.push(server.post("{}", &origin.map(|(name, value)| (name.to_owned(), value))));
        for reply in replies {
            for form in forms(CANARY) {
                assert!(!format!("{}{}", reply.head, reply.body).contains(&form), "{reply:?}");
            }
        }
        assert_nowhere(&world, &server, CANARY);
    }
}

#[test]
fn what_a_caller_sends_is_in_no_log_whatever_its_level() {
    for level in ["debug", "trace"] {
        for transport in Transport::ALL {
            let world = World::new().env("TOOLGATE_LOG", level).plugin("hello", &plugin("hello"));
            let server = world.serve(transport);
            assert_eq!(
                server.call("hello_greet", json!({ "name": PLAIN })).text(),
                format!("Hello, {PLAIN}.")
            );
            assert!(server.log().contains("DEBUG"), "{level}: {}", server.log());
            assert!(!server.log().contains(PLAIN), "{level}: {}", server.log());
        }
    }
}
