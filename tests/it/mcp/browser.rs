//! A real browser: a page of an allowed origin lists and calls tools, one of another origin gets nothing. Runs only if
//! `TOOLGATE_CHROMIUM` names the program, as in `cargo xtask soak browser`.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use toolgate_tests::process::wait_until;
use toolgate_tests::web::Web;
use toolgate_tests::{Server, Transport};

use super::seven;

/// Script of each page; it posts its results to the page's own server.
const SCRIPT: &str = r#"
const told = {};
const said = (method, params) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
const post = (headers, body) => fetch(SERVER, {
    method: "POST", headers: { "Content-Type": "application/json", ...headers }, body });
const modern = async (method, params, more) => {
    const _meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} };
    const headers = { "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, ...more };
    return (await post(headers, said(method, { ...params, _meta }))).json();
};
const run = async () => {
    told.tools = (await modern("tools/list", {})).result.tools.map((tool) => tool.name);
    const called = await modern("tools/call", { name: "seven_seven", arguments: {} }, { "Mcp-Name": "seven_seven" });
    told.called = called.result.content[0].text;
    told.refused = (await post({ Accept: "text/html" }, "{}")).status;
    const begun = await post({}, said("initialize", {
        protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "page", version: "1" } }));
    await begun.text();
    const session = { "Mcp-Session-Id": begun.headers.get("Mcp-Session-Id"), "MCP-Protocol-Version": "2025-11-25" };
    told.listed = (await post({ Accept: "application/json", ...session }, said("tools/list", {})).then((reply) => reply.json())).result.tools.length;
    told.ended = (await fetch(SERVER, { method: "DELETE", headers: session })).status;
};
run().catch((error) => { told.error = String(error); })
    .finally(() => fetch("/told", { method: "POST", body: JSON.stringify(told) }));
"#;

/// A browser that shows one page. Dropping it ends the process.
struct Browser {
    process: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn show(program: &std::ffi::OsStr, page: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"])
            .args([
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--disable-dev-shm-usage",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(page)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A server of one page, whose script calls the MCP server once its address is set.
fn page() -> (Web, std::sync::Arc<std::sync::OnceLock<String>>) {
    let server = std::sync::Arc::<std::sync::OnceLock<String>>::default();
    let address = std::sync::Arc::clone(&server);
    let web = Web::answering(move |asked, to| {
        let server = address.get().map(String::as_str).unwrap_or_default();
        let body = match asked.starts_with("GET / ") {
            true => format!("<!doctype html><script>const SERVER = \"{server}\";{SCRIPT}</script>"),
            false => String::new(),
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
        drop(write!(to, "{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    });
    (web, server)
}

/// Results of the page's script, after showing the page once more.
fn told(browser: &std::ffi::OsStr, web: &Web, server: &Server) -> Value {
    let came = || web.heard().into_iter().filter(|asked| asked.starts_with("POST /told")).collect::<Vec<_>>();
    let before = came().len();
    let browser = Browser::show(browser, &format!("http://localhost:{}/", web.address.port()));
    wait_until("the page told what came of it", || came().len() > before);
    drop(browser);
    let asked = came().pop().unwrap();
    let (_, body) = asked.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{asked}: {}", server.log()))
}

#[test]
fn a_page_of_a_named_origin_calls_from_a_real_browser_and_one_of_another_origin_does_not() {
    let Some(browser) = std::env::var_os("TOOLGATE_CHROMIUM") else {
        eprintln!("skipped: TOOLGATE_CHROMIUM names no program; `cargo xtask soak browser` sets it up");
        return;
    };
    let rounds = std::env::var("TOOLGATE_CASES").map_or(1, |cases| cases.parse().unwrap());
    let ((named, of_named), (other, of_other)) = (page(), page());
    let origin = format!("http://localhost:{}", named.address.port());
    let world = seven().server(&format!("allowed_origins = [\"{origin}\"]"));
    let server = world.serve(Transport::Http);
    for known in [of_named, of_other] {
        known.set(format!("http://{}/mcp", server.address())).unwrap();
    }
    for round in 1..=rounds {
        let expected =
            json!({ "tools": ["seven_seven"], "called": "7", "refused": 406, "listed": 1, "ended": 204 });
        assert_eq!(told(&browser, &named, &server), expected);
        assert_eq!(told(&browser, &other, &server), json!({ "error": "TypeError: Failed to fetch" }));
        assert_eq!(world.call_records().len(), round, "the other page called nothing");
    }
}
