//! A real identity provider, oidc-provider on loopback: its metadata, keys and tokens.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use toolgate_tests::identity::{PUBLIC_URL, now_s};
use toolgate_tests::process::ended;
use toolgate_tests::{Transport, World, guest, peer, root};

/// A running identity provider, ended on drop.
struct Provider {
    process: Child,
    issuer: String,
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Provider {
    fn start(packages: &Path, port: u16) -> Self {
        let mut process = Command::new("node")
            .arg(root().join("tests/idp/server.mjs"))
            .arg(packages)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut issuer = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
        Self { process, issuer: issuer.trim().to_owned() }
    }

    fn address(&self) -> &str {
        self.issuer.strip_prefix("http://").unwrap()
    }

    fn port(&self) -> u16 {
        self.address().rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// A token of the client `robot` for this resource (RFC 6749 §4.4, RFC 8707).
    fn token(&self, resource: &str, scope: &str) -> String {
        let scope = scope.replace(':', "%3A").replace(' ', "+");
        let resource = resource.replace(':', "%3A").replace('/', "%2F");
        let body = format!(
            "grant_type=client_credentials&client_id=robot&client_secret=robot-of-tests\
             &resource={resource}&scope={scope}"
        );
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let head = format!(
            "POST /token HTTP/1.0\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let answer: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no token: {answer}"));
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }
}

/// A world that believes this issuer, with a row for services that may write.
fn trusting(issuer: &str) -> World {
    World::new().plugin("seven", &guest::seven()).authenticated(&format!(
        "[[auth.issuer]]\nid = \"idp\"\nissuer = \"{issuer}\"\nalgorithms = [\"ES256\"]\nprivate = true\n\
         scopes = [\"tools:write\"]\n[[allow]]\nid = \"robots\"\n\
         who = {{ kinds = [\"service\"], scopes = [\"tools:write\"] }}\ntools = {{}}\n"
    ))
}

fn resource() -> String {
    format!("{PUBLIC_URL}/mcp")
}

#[test]
fn a_token_of_a_real_provider_lists_and_calls_and_one_for_another_server_does_not() {
    let Some(packages) = peer("TOOLGATE_IDP") else { return };
    let provider = Provider::start(&packages, 0);
    let world = trusting(&provider.issuer);
    let server = world.serve(Transport::Http);
    let token = provider.token(&resource(), "tools:write");
    assert_eq!(server.tools_as(&token), ["seven_seven"]);
    assert_eq!(server.call_as(&token, "seven_seven", json!({})).text(), "7");
    assert!(world.call_records()[0].to_string().contains("idp/robot"), "{:?}", world.call_records());

    let poor = provider.token(&resource(), "tools:read");
    let reply = server.post_as(&poor, "tools/call", json!({ "name": "seven_seven", "arguments": {} }));
    assert_eq!(reply.status, 403, "{reply:?}");
    assert!(reply.header("WWW-Authenticate").unwrap().contains("scope=\"tools:write\""), "{reply:?}");

    let other = provider.token("https://other.example.com/mcp", "tools:write");
    let reply = server.post_as(&other, "tools/list", json!({}));
    assert!(reply.status == 401 && reply.body.contains("not valid here"), "{reply:?}");
}

#[test]
fn a_provider_that_is_down_makes_the_server_unready_until_it_is_up() {
    let Some(packages) = peer("TOOLGATE_IDP") else { return };
    let provider = Provider::start(&packages, 0);
    let (issuer, port) = (provider.issuer.clone(), provider.port());
    let token = provider.token(&resource(), "tools:write");
    drop(provider);
    let server = trusting(&issuer).serve(Transport::Http);
    let ready = || server.http("GET", "/readyz", &[], None).status;
    assert_eq!(ready(), 503);
    let reply = server.post_as(&token, "tools/list", json!({}));
    assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("10")), "{reply:?}");
    assert_eq!(reply.header("WWW-Authenticate"), None);

    // It comes back with another key, so the token of the former one counts no more.
    let provider = Provider::start(&packages, port);
    server.wait_until("the server is ready", || ready() == 200);
    let token_of_now = provider.token(&resource(), "tools:write");
    assert_eq!(server.call_as(&token_of_now, "seven_seven", json!({})).text(), "7");
    assert_eq!(server.post_as(&token, "tools/list", json!({})).status, 401);
}

#[test]
fn a_key_that_a_provider_has_since_is_fetched_by_the_first_token_that_names_it() {
    let Some(packages) = peer("TOOLGATE_IDP") else { return };
    let provider = Provider::start(&packages, 0);
    let port = provider.port();
    let server = trusting(&provider.issuer).serve(Transport::Http);
    let former = provider.token(&resource(), "tools:write");
    assert_eq!(server.call_as(&former, "seven_seven", json!({})).text(), "7");
    drop(provider);
    let provider = Provider::start(&packages, port);
    assert_eq!(server.call_as(&former, "seven_seven", json!({})).text(), "7", "nobody was asked yet");
    let token = provider.token(&resource(), "tools:write");
    // Keys are fetched once in ten seconds, and twenty failures a minute are allowed: one attempt a second.
    let mut tried_at = 0;
    server.wait_until("the new key counts", || {
        let is_due = now_s() != tried_at;
        tried_at = now_s();
        is_due && server.post_as(&token, "tools/list", json!({})).status == 200
    });
    assert_eq!(server.post_as(&former, "tools/list", json!({})).status, 401, "its key is published no more");
}

#[test]
fn official_clients_find_the_provider_by_the_challenge_and_call() {
    let (Some(packages), Some(typescript), Some(python)) =
        (peer("TOOLGATE_IDP"), peer("TOOLGATE_TYPESCRIPT"), peer("TOOLGATE_PYTHON"))
    else {
        return;
    };
    let provider = Provider::start(&packages, 0);
    // Clients compare the resource with the address that they call, so the port is chosen before the start.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let world = World::new()
        .plugin("seven", &guest::seven())
        .server(&format!("public_url = \"http://{address}\""))
        .more(&format!(
            "\n[auth]\nscopes = [\"tools:read\"]\n[[auth.issuer]]\nid = \"idp\"\nissuer = \"{}\"\n\
             algorithms = [\"ES256\"]\nprivate = true\n[[allow]]\nid = \"readers\"\n\
             who = {{ scopes = [\"tools:read\"] }}\ntools = {{}}\n",
            provider.issuer
        ));
    let _server = world.serve_with(Transport::Http, &["--listen", &address]);
    let url = format!("http://{address}/mcp");
    let typescript = |mode: &str| {
        let mut client = Command::new("node");
        client
            .arg(root().join("tests/clients/official.mjs"))
            .arg(&typescript)
            .args(["v2", mode, "http", &url]);
        client
    };
    let python = |mode: &str| {
        let mut client = Command::new(&python);
        client.arg(root().join("tests/clients/official.py")).args([mode, "http", &url]);
        client
    };
    let clients = [
        ("TypeScript, 2025-06-18", typescript("2025-06-18")),
        ("TypeScript, 2025-11-25", typescript("2025-11-25")),
        ("TypeScript, 2026-07-28", typescript("2026-07-28")),
        ("Python, with a session", python("legacy")),
        ("Python, 2026-07-28", python("2026-07-28")),
    ];
    for (what, mut client) in clients {
        let mut client = client
            .env("TOOLGATE_ISSUER", &provider.issuer)
            .env("TOOLGATE_CREDENTIALS", "program:program-of-tests")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(b"[[\"seven_seven\", {}]]").unwrap();
        let output = ended(client);
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{what}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(told["tools"], json!(["seven_seven"]), "{what}");
        assert_eq!(told["answers"][0]["texts"][0], "7", "{what}: {told}");
    }
    assert!(world.call_records().iter().all(|record| record.to_string().contains("idp/program")));
}
