//! Granted names whose name server lies or changes its answer. No address of this machine may be reached through one.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Command;

use serde_json::{Value, json};
use toolgate_tests::dns::Dns;
use toolgate_tests::web::{Web, respond, was_connected};
use toolgate_tests::{Transport, World, process, test_guest, toolgate};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// An address reserved for documentation (RFC 5737), which is not routed.
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
    // First elsewhere, so that a cache would consider it harmless, then here, then both at once.
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
    // With a grant for private addresses: the first answer is right, and a second one would lead elsewhere.
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

/// Loopback addresses in order.
fn loopbacks(range: std::ops::RangeInclusive<u8>) -> Vec<IpAddr> {
    range.map(|last| IpAddr::from([127, 0, 0, last])).collect()
}

#[test]
fn a_name_with_many_addresses_leads_to_a_few_of_them() {
    // Only the ninth and later addresses have a listener; no other test uses this network.
    let address = |last| Ipv4Addr::new(127, 77, 0, last);
    let ninth = TcpListener::bind((address(9), 0)).unwrap();
    let port = ninth.local_addr().unwrap().port();
    let later: Vec<TcpListener> =
        (10..=30).filter_map(|last| TcpListener::bind((address(last), port)).ok()).collect();
    let dns = Dns::serve(move |_, _| (1..=30).map(|last| address(last).into()).collect());
    let many =
        world(&dns, port, ", private = true").call("web_run", &request(&format!("app.example.com:{port}")));
    assert!(many.said().contains("ConnectionRefused"), "{}", many.said());
    assert!(!was_connected(&ninth) && !later.iter().take(3).any(was_connected));

    // With exactly as many addresses as are tried, the last one is reached.
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let port = web.address.port();
    let dns = Dns::serve(|_, _| [loopbacks(2..=8), loopbacks(1..=1)].concat());
    let few =
        world(&dns, port, ", private = true").call("web_run", &request(&format!("app.example.com:{port}")));
    assert!(few.stdout.contains("hello"), "{}", few.said());
}

#[test]
fn a_name_with_many_addresses_is_told_to_a_guest_with_a_few_of_them() {
    let dns = Dns::serve(|_, _| loopbacks(1..=30));
    for (guest, engine) in [("connecting", ""), ("dialing", "engine = \"async\"")] {
        let world = World::new()
            .server(&format!("name_servers = [\"{}\"]", dns.address))
            .plugin("net", &test_guest(guest))
            .with(engine)
            .grant(r#"sockets = [{ host = "app.example.com", port = 5432, private = true }]"#);
        let found = world.call("net_lookup", &json!({ "name": "app.example.com" }));
        assert_eq!(found.stdout.matches("127.0.0.").count() % 8, 0, "{guest}: {}", found.said());
        assert!(
            found.stdout.contains("127.0.0.8") && !found.stdout.contains("127.0.0.9"),
            "{guest}: {}",
            found.said()
        );
    }
}

#[test]
fn a_name_is_asked_for_anew_for_each_connection_however_long_its_answer_may_be_used() {
    let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
    let port = web.address.port();
    let dns = Dns::serve(|_, before| vec![if before < 3 { HERE } else { ELSEWHERE }]);
    let server = world(&dns, port, ", private = true").serve(Transport::Http);
    for asked in 1..=3 {
        assert!(!server.call("web_run", request(&format!("app.example.com:{port}"))).is_error());
        assert_eq!(dns.asked("app.example.com"), asked);
    }
    let reply = server.call("web_run", request(&format!("app.example.com:{port}")));
    assert!(reply.text().contains("DestinationIpProhibited"), "{reply:?}");
}

#[test]
fn an_address_of_this_machine_is_reached_only_with_private_in_the_grant() {
    // In a network namespace in which this machine has addresses that look public.
    let apart_from_the_network = |world: &World, args: &[&str]| {
        world.write();
        let script = "ip link set lo up && ip addr add 93.184.216.34/32 dev lo && ip addr add 2606:2800:220:1::7/128 dev lo && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]).arg(toolgate()).args(args);
        let output = process::output_of(command.current_dir(world.path("")));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let can =
        Command::new("unshare").args(["--map-root-user", "--net", "ip", "link", "set", "lo", "up"]).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this system lets nobody make a network of its own (unshare, ip)");
        return;
    }
    for (private, told) in [("", "DestinationIpProhibited"), (", private = true", "ConnectionRefused")] {
        for host in ["93.184.216.34", "[2606:2800:220:1::7]"] {
            let rule = format!(r#"http = [{{ scheme = "http", host = "{host}", port = 7{private} }}]"#);
            let world = World::new().plugin("web", &test_guest("requesting")).grant(&rule);
            let args = request(&format!("{host}:7")).to_string();
            let said = apart_from_the_network(&world, &["call", "web_run", "--args", &args]);
            assert!(said.contains(told), "{host}{private}: {said}");
            let url = format!("http://{host}:7/");
            let said = apart_from_the_network(&world, &["explain", "web", "http", &url]);
            assert_eq!(said.contains("is an address of this machine"), private.is_empty(), "{host}: {said}");
        }
        let rule = format!(r#"sockets = [{{ host = "93.184.216.34", port = 7{private} }}]"#);
        let world = World::new().plugin("net", &test_guest("connecting")).grant(&rule);
        let args = json!({ "address": "93.184.216.34:7" }).to_string();
        let said = apart_from_the_network(&world, &["call", "net_tcp", "--args", &args]);
        let told = if private.is_empty() { "PermissionDenied" } else { "ConnectionRefused" };
        assert!(said.contains(told), "sockets{private}: {said}");
    }
}
