//! Granted names whose server lies, or changes its mind. Nobody on this machine may be reached through one.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use serde_json::{Value, json};
use toolgate_tests::dns::Dns;
use toolgate_tests::web::{Web, respond, was_connected};
use toolgate_tests::{Transport, World, test_guest};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// One of those kept for documents: routed nowhere.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

fn request(authority: &str) -> Value {
    json!({ "method": "GET", "scheme": "http", "authority": authority, "path": "/", "headers": [], "body": "" })
}

fn world(dns: &Dns, port: u16, more: &str) -> World {
    World::new()
        .server(&format!("name_servers = [\"{}\"]", dns.address))
        .plugin("web", &test_guest("requesting"))
        .grant(&format!(r#"http = [{{ scheme = "http", host = "app.example.com", port = {port}{more} }}]"#))
        .limit("deadline_ms = 3000")
}

#[test]
fn a_name_that_leads_to_this_machine_in_any_form_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for lie in [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fd00:ec2::254",
    ] {
        let lie: IpAddr = lie.parse().unwrap();
        let dns = Dns::serve(move |_, _| vec![lie]);
        let ended = world(&dns, port, "").call("web_run", &request(&format!("app.example.com:{port}")));
        assert_eq!(ended.code, 1, "{lie}: {}", ended.said());
        assert!(ended.said().contains("DestinationIpProhibited"), "{lie}: {}", ended.said());
        assert_eq!(dns.asked("app.example.com"), 1, "{lie}");
    }
    assert!(!was_connected(&listener));
}

#[test]
fn a_name_that_changes_its_address_from_request_to_request_never_leads_here() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Once elsewhere, so that it would be remembered as harmless, then here, then both at once.
    let dns = Dns::serve(|_, before| match before % 3 {
        0 => vec![ELSEWHERE],
        1 => vec![HERE],
        _ => vec![HERE, ELSEWHERE],
    });
    let world = world(&dns, port, "").limit("faults_max = 1000");
    let server = world.serve(Transport::Http);
    for _ in 0..6 {
        assert!(server.call("web_run", request(&format!("app.example.com:{port}"))).is_error());
    }
    assert!(dns.asked("app.example.com") >= 3, "it is asked anew for each request");
    assert!(!was_connected(&listener));
}

#[test]
fn what_was_checked_is_what_is_connected_to() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let port = web.address.port();
    // With a grant for this network: the first answer is right, and a second one would lead astray.
    let dns = Dns::serve(|_, before| vec![if before == 0 { HERE } else { ELSEWHERE }]);
    let world = world(&dns, port, ", private = true");
    let ended = world.call("web_run", &request(&format!("app.example.com:{port}")));
    assert!(ended.stdout.contains("hello"), "{}", ended.said());
    assert_eq!(dns.asked("app.example.com"), 1);
    assert!(web.heard()[0].contains(&format!("app.example.com:{port}")), "{:?}", web.heard());
}

#[test]
fn a_name_server_that_says_nothing_costs_a_call_its_time_and_no_more() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let world = World::new()
        .server(&format!("name_servers = [\"{}\"]", silent.local_addr().unwrap()))
        .plugin("web", &test_guest("requesting"))
        .grant(r#"http = [{ host = "app.example.com" }]"#)
        .limit("deadline_ms = 500");
    let mut asked = request("app.example.com");
    asked["scheme"] = json!("https");
    let ended = world.call("web_run", &asked);
    assert_eq!(ended.code, 1, "{}", ended.said());
    assert!(ended.said().contains("deadline_ms = 500"), "{}", ended.said());
}

#[test]
fn a_name_server_that_is_no_address_is_refused() {
    let world = World::new().server("name_servers = [\"dns.example.com\"]");
    let check = world.plugin("seven", &toolgate_tests::guest::seven()).run(&["check"]);
    assert_eq!(check.code, 2, "{}", check.said());
    assert!(check.stderr.contains("name_servers"), "{}", check.stderr);
}
