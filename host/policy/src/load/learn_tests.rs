//! Tables of `learn` proposals.

use super::*;
use crate::capability::sockets::Protocol;

fn asked() -> RequestedCapabilities {
    let imports = ["wasi:filesystem/types@0.2.6", "wasi:http/types@0.2.6", "wasi:config/store@0.2.0-rc.1"];
    RequestedCapabilities::from_imports(imports, false).unwrap()
}

fn get(method: &str, url: &str) -> Attempt {
    Attempt::Request(RequestTarget::from_url(method, url).unwrap())
}

fn file(path: &str, wanted: Use) -> Attempt {
    Attempt::File { path: path.to_owned(), wanted }
}

fn learned(refused: &[Attempt]) -> GrantProposal {
    lesson(&Grants::default(), &asked(), &refused.iter().cloned().collect())
}

#[test]
fn nothing_refused_leaves_what_is_needed_and_no_more() {
    assert_eq!(learned(&[]).lines, ["http = []", "config = {}"]);
}

#[test]
fn methods_and_paths_are_not_combined_into_what_nobody_asked_for() {
    let told = learned(&[
        get("GET", "https://a.example/one"),
        get("GET", "https://a.example/two"),
        get("POST", "https://a.example/two"),
        get("GET", "https://a.example/three"),
        get("GET", "http://127.0.0.1:81/"),
    ]);
    let rules = told.lines[0].clone();
    assert!(rules.contains(r#"methods = ["GET"], paths = ["/one", "/three"]"#), "{rules}");
    assert!(rules.contains(r#"methods = ["GET", "POST"], paths = ["/two"]"#), "{rules}");
    assert!(
        rules.contains(r#"{ scheme = "http", host = "127.0.0.1", port = 81, methods = ["GET"], paths = ["/"], private = true }"#),
        "{rules}"
    );
}

#[test]
fn what_would_widen_a_rule_or_reach_what_none_reaches_is_not_proposed() {
    let told = learned(&[
        get("GET", "https://a.example/*"),
        get("GET", "http://169.254.169.254/latest"),
        get("GET", "http://metadata.google.internal/"),
        Attempt::NoRequest { text: "GET ftp://a/\n[plugin]".into(), why: "none".into() },
        file("/a/../../etc/passwd", Use::Read),
        file("/a\\u{a}b/c", Use::Read),
    ]);
    assert_eq!(told.lines, ["http = []", "config = {}"]);
    assert!(told.remarks.len() >= 6, "{told:?}");
    assert!(told.remarks.iter().all(|remark| remark.chars().all(is_plain)), "{told:?}");
}

#[test]
fn folders_are_those_asked_for_and_the_innermost_that_hold_what_was() {
    let told = learned(&[
        file("/docs/a.txt", Use::Read),
        file("/docs/deep/b.txt", Use::Read),
        file("/docs/out/c.txt", Use::Write),
        file("/list/", Use::Read),
    ]);
    assert_eq!(
        told.lines[0],
        r#"files = [{ host = "DIRECTORY", guest = "/docs", access = "read" }, { host = "DIRECTORY", guest = "/docs/out", access = "read-write" }, { host = "DIRECTORY", guest = "/list", access = "read" }]"#
    );
}

#[test]
fn what_is_granted_stays_and_a_folder_that_was_written_to_is_raised() {
    let mount = files::MountText {
        host: "/srv/docs".to_owned(),
        guest: "/docs".to_owned(),
        access: "read".to_owned(),
        room: Default::default(),
        open_max: None,
    };
    let present = Grants {
        files: Some(files::Grant::new(vec![mount]).unwrap()),
        clock: Some(crate::capability::clock::Grant::None),
        ..Grants::default()
    };
    let refused = BTreeSet::from([file("/docs/new.txt", Use::Write), Attempt::Clock]);
    let told = lesson(&present, &asked(), &refused);
    assert!(
        told.lines.contains(
            &r#"files = [{ host = "/srv/docs", guest = "/docs", access = "read-write" }]"#.to_owned()
        )
    );
    assert!(told.lines.contains(&r#"clock = "coarse""#.to_owned()), "{told:?}");
}

#[test]
fn a_rule_that_was_stopped_at_the_address_is_repeated_for_that_request_alone_and_before() {
    let text =
        http::RuleText { host: "intra.example".into(), paths: Some(vec!["/*".into()]), ..Default::default() };
    let present = Grants { http: Some(Grant::new(vec![text]).unwrap()), ..Grants::default() };
    let refused = BTreeSet::from([get("GET", "https://intra.example/a")]);
    let line = lesson(&present, &asked(), &refused).lines[0].clone();
    assert!(
        line.starts_with(
            r#"http = [{ host = "intra.example", methods = ["GET"], paths = ["/a"], private = true }, {"#
        ),
        "{line}"
    );
}

#[test]
fn in_force_is_what_stands_there_and_nothing_for_the_rest() {
    let grants = in_force(Grants::default(), &asked(), "/empty");
    let effective = grants.meet(&asked()).unwrap();
    assert_eq!(effective.effects(), Default::default());
    assert_eq!(effective.files.mounts().len(), 1);
}

fn socket(protocol: Protocol, host: &str, port: u16) -> Attempt {
    Attempt::Socket { protocol, host: Host::parse(host).unwrap(), port }
}

fn socket_rule(host: &str, port: i64, private: bool) -> socket::RuleText {
    socket::RuleText { host: host.to_owned(), port, private, ..Default::default() }
}

#[test]
fn sockets_are_proposed_a_place_at_a_time_and_a_name_without_a_port_is_not() {
    let told = learned(&[
        socket(Protocol::Tcp, "8.8.8.8", 443),
        socket(Protocol::Udp, "10.0.0.1", 53),
        socket(Protocol::Tcp, "169.254.169.254", 80),
        Attempt::Lookup(Host::parse("db.example.com").unwrap()),
        Attempt::Lookup(Host::parse("metadata.google.internal").unwrap()),
        Attempt::NoSocket { text: "listen\n[plugin]".into(), why: "no".into() },
    ]);
    assert_eq!(
        told.lines[1],
        r#"sockets = [{ host = "8.8.8.8", port = 443 }, { host = "10.0.0.1", port = 53, protocol = "udp", private = true }]"#
    );
    assert_eq!(told.remarks.len(), 4, "{told:?}");
    assert!(told.remarks.iter().all(|remark| remark.chars().all(is_plain)), "{told:?}");
}

#[test]
fn a_socket_to_a_granted_name_is_proposed_by_that_name() {
    let rules = vec![socket_rule("localhost", 1, true), socket_rule("db.example.com", 5432, false)];
    let present = Grants { sockets: Some(socket::Grant::new(rules).unwrap()), ..Grants::default() };
    let line = |attempt: Attempt| lesson(&present, &asked(), &BTreeSet::from([attempt])).lines[1].clone();
    let kept = r#"{ host = "localhost", port = 1, private = true }, { host = "db.example.com", port = 5432 "#;
    assert_eq!(
        line(socket(Protocol::Tcp, "localhost", 2)),
        format!(r#"sockets = [{kept}}}, {{ host = "localhost", port = 2, private = true }}]"#)
    );
    assert_eq!(
        line(socket(Protocol::Udp, "db.example.com", 5432)),
        format!(r#"sockets = [{kept}}}, {{ host = "db.example.com", port = 5432, protocol = "udp" }}]"#)
    );
    assert_eq!(
        line(Attempt::Lookup(Host::parse("db.example.com").unwrap())),
        format!("sockets = [{}, private = true }}]", kept.trim_end()),
        "it was looked up, and led to a private network"
    );
}

#[test]
fn a_store_is_proposed_with_the_default_room_and_one_that_is_there_stays() {
    let asked = RequestedCapabilities::from_imports(["wasi:keyvalue/store@0.2.0-draft"], false).unwrap();
    let refused = |all: &[Attempt]| all.iter().cloned().collect();
    let told = lesson(&Grants::default(), &asked, &refused(&[Attempt::Keyvalue]));
    assert_eq!(told.lines, ["keyvalue = { bytes_max = 1048576, entries_max = 10000 }"]);
    assert_eq!(lesson(&Grants::default(), &asked, &refused(&[])).lines, ["keyvalue = {}"]);
    let room = crate::capability::room::QuotaText { bytes_max: Some(5), entries_max: None };
    let present = Grants { keyvalue: Some(keyvalue::Grant::new(room).unwrap()), ..Grants::default() };
    assert_eq!(
        lesson(&present, &asked, &refused(&[])).lines,
        ["keyvalue = { bytes_max = 5, entries_max = 10000 }"]
    );
}

#[test]
fn a_request_that_was_refused_for_its_headers_is_proposed_with_these_and_before() {
    let text = http::RuleText {
        host: "shop.example".into(),
        headers: Some(vec!["via".into()]),
        ..Default::default()
    };
    let present = Grants { http: Some(Grant::new(vec![text]).unwrap()), ..Grants::default() };
    let with = |name: &str| Attempt::Header {
        request: RequestTarget::from_url("GET", "https://shop.example/cart").unwrap(),
        name: name.into(),
    };
    let told = lesson(&present, &asked(), &BTreeSet::from([with("cookie"), with("forwarded")]));
    assert_eq!(
        told.lines[0],
        r#"http = [{ host = "shop.example", methods = ["GET"], paths = ["/cart"], headers = ["via", "cookie", "forwarded"] }, { host = "shop.example", methods = ["GET", "HEAD"], paths = ["/*"], headers = ["via"] }]"#
    );
    assert!(told.remarks.iter().any(|remark| remark.contains("cookie, forwarded")), "{told:?}");
}
