//! A browser: a page of an origin that is named lists and calls tools, and a page of another cannot.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use toolgate_tests::process::wait_until;
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{Transport, World, peer};

use super::seven;

/// A browser that is shown one page. Ended when dropped.
struct Browser(Child);

impl Browser {
    fn open(program: &std::path::Path, world: &World, page: &Web) -> Self {
        let mut browser = Command::new(program);
        browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        browser.arg(format!("--user-data-dir={}", world.path("browser").display()));
        browser.arg("--remote-debugging-port=0").arg(format!("http://{}/", page.address));
        Self(browser.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Serves the page; `server` is where it calls.
fn page() -> (Web, std::sync::Arc<std::sync::OnceLock<String>>) {
    let server = std::sync::Arc::<std::sync::OnceLock<String>>::default();
    let of_page = std::sync::Arc::clone(&server);
    let text = std::fs::read_to_string(toolgate_tests::root().join("tests/clients/browser.html")).unwrap();
    let web = Web::answering(move |request, to| {
        let body = match request.starts_with("GET / ") {
            true => text.replace("SERVER", of_page.get().map_or("", String::as_str)),
            false => String::new(),
        };
        respond(to, "200 OK", &[("Content-Type", "text/html")], &body);
    });
    (web, server)
}

/// What the page told its own server.
fn told(page: &Web) -> Value {
    let mut told = None;
    wait_until("the page tells what came", || {
        told = page.heard().into_iter().find(|request| request.starts_with("POST /told"));
        told.is_some()
    });
    serde_json::from_str(told.unwrap().split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_page_of_a_named_origin_lists_and_calls_tools_in_a_browser_and_a_page_of_another_cannot() {
    let Some(program) = peer("TOOLGATE_CHROMIUM") else { return };
    for named in [true, false] {
        let (page, place) = page();
        let origin = match named {
            true => format!("http://{}", page.address),
            false => "http://app.example.com:80".to_owned(),
        };
        let world = seven().server(&format!("allowed_origins = [\"{origin}\"]"));
        let server = world.serve(Transport::Http);
        place.set(format!("http://{}/mcp", server.address())).unwrap();
        let _browser = Browser::open(&program, &world, &page);
        let told = told(&page);
        let calls = world.call_records().len();
        if named {
            let expected = json!({ "tools": ["seven_seven"], "texts": ["7", "7"], "ended": true });
            assert_eq!((told, calls), (expected, 2));
        } else {
            assert_eq!(told["error"], "TypeError: Failed to fetch");
            assert_eq!(calls, 0);
        }
    }
}
