//! Servers that return a secret as ordinary ones do: in a path, JSON, HTML, base64, or compressed.

use serde_json::{Value, json};
use toolgate_tests::raw::Raw;
use toolgate_tests::{Transport, World, test_guest};

/// Guests of WASI 0.2 and 0.3.
const GUESTS: [(&str, &str); 2] = [("requesting", ""), ("fetching", "engine = \"async\"")];

const SECRET: &str = "s3cr3t/t0ken+x\"y";

fn world((guest, engine): (&str, &str), raw: &Raw) -> World {
    let port = raw.address.port();
    World::new()
        .plugin("web", &test_guest(guest))
        .with(engine)
        .grant(&format!(r#"http = [{{ scheme = "http", host = "127.0.0.1", port = {port}, private = true, secret = "token" }}]"#))
        .secret_file("secrets/token", SECRET)
        .more("\n[[secret]]\nname = \"token\"\nfile = \"secrets/token\"\nheader = \"Authorization\"\nformat = \"Bearer {}\"\n")
        .limit("faults_max = 1000000")
}

fn request(raw: &Raw) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": raw.address.to_string(), "path": "/", "headers": [], "body": "" })
}

/// The forms in which ordinary servers return it.
fn forms() -> Vec<String> {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let lines = |line_break: &str| {
        let text = encode(&format!("a user with a long name:{SECRET}"));
        let lines: Vec<&str> =
            text.as_bytes().chunks(16).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join(line_break)
    };
    vec![
        SECRET.to_owned(),
        "s3cr3t/t0ken%2Bx%22y".to_owned(),
        "s3cr3t/t0ken%2bx%22y".to_owned(),
        "s3cr3t%2Ft0ken%2Bx%22y".to_owned(),
        r#"s3cr3t\/t0ken+x\"y"#.to_owned(),
        r"s3cr3t\u002ft0ken\u002Bx\u0022y".to_owned(),
        "s3cr3t/t0ken+x&quot;y".to_owned(),
        "s3cr3t&#x2F;t0ken&#43;x&#34;y".to_owned(),
        encode(SECRET),
        encode(SECRET).replace('+', "-").replace('/', "_"),
        encode(SECRET).replace('/', "\\/"),
        lines(r"\n"),
        lines(r"\r\n"),
    ]
}

#[test]
fn a_secret_that_comes_back_as_ordinary_servers_write_it_reaches_no_guest() {
    for guest in GUESTS {
        for form in forms() {
            let said = form.clone();
            let raw = Raw::serve(move |peer| {
                peer.head();
                peer.say(&format!(
                    "HTTP/1.1 302 Found\r\nLocation: /login?to={said}\r\nX-{}: 1\r\nX-Other: <{said}>\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "Plain"
                ));
                // In small chunks.
                let body = format!("{{\"was\": \"{said}\", \"and\": \"{said}\"}}");
                for piece in body.as_bytes().chunks(3) {
                    peer.say(&format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)));
                }
                peer.say("0\r\n\r\n");
            });
            let server = world(guest, &raw).serve(Transport::Http);
            let reply = server.call("web_run", request(&raw));
            assert!(!reply.is_error(), "{form}: {reply:?}");
            let got = reply.structured();
            let got = if got["result"].is_null() { got } else { &got["result"] };
            let texts = [got["body"].as_str().unwrap().to_owned(), got["headers"].to_string()];
            for text in texts {
                assert_eq!(text.matches("[secret]").count(), 2, "{guest:?} {form}: {text}");
                assert!(!text.contains(&form), "{guest:?} {form}: {text}");
            }
        }
    }
}

#[test]
fn line_breaks_in_a_body_hide_no_secret() {
    use base64::Engine as _;
    for guest in GUESTS {
        for line_break in ["\r\n", "\n", "\r\n  "] {
            let raw = Raw::serve(move |peer| {
                peer.head();
                let text = base64::engine::general_purpose::STANDARD.encode(format!("us:{SECRET}"));
                let lines: Vec<&str> =
                    text.as_bytes().chunks(5).map(|line| std::str::from_utf8(line).unwrap()).collect();
                peer.answer(&lines.join(line_break));
            });
            let server = world(guest, &raw).serve(Transport::Http);
            let reply = server.call("web_run", request(&raw));
            assert!(reply.text().contains("[secret]"), "{guest:?} {line_break:?}: {reply:?}");
        }
    }
}

#[test]
fn an_answer_that_is_packed_although_that_was_not_asked_for_is_refused() {
    for guest in GUESTS {
        for (headers, comes) in [
            ("Content-Encoding: gzip", false),
            ("Content-Encoding: GZIP", false),
            ("Content-Encoding: identity, br", false),
            ("Content-Encoding: identity\r\nContent-Encoding: deflate", false),
            ("Content-Encoding: x-made-up", false),
            ("IM: gzip", false),
            ("Content-Encoding: identity", true),
            ("Content-Type: text/plain", true),
        ] {
            let raw = Raw::serve(move |peer| {
                peer.head();
                peer.say(&format!("HTTP/1.1 200 OK\r\n{headers}\r\nContent-Length: 3\r\n\r\nown"));
            });
            let server = world(guest, &raw).serve(Transport::Http);
            let reply = server.call("web_run", request(&raw));
            assert_eq!(reply.is_error(), !comes, "{guest:?} {headers}: {reply:?}");
            assert!(
                comes || reply.text().contains("HttpResponseContentCoding"),
                "{guest:?} {headers}: {reply:?}"
            );
        }
        let raw = Raw::serve(|peer| {
            peer.head();
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nown\r\n0\r\n\r\n");
        });
        let server = world(guest, &raw).serve(Transport::Http);
        let reply = server.call("web_run", request(&raw));
        assert!(reply.text().contains("HttpResponseContentCoding"), "{guest:?}: {reply:?}");
    }
}
