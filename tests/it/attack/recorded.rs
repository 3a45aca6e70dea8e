//! Guests that try to make the audit record wrong: a refusal beside a request that was sent, texts longer than a record
//! lists, and more refusals than it lists.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use toolgate_tests::dns::Dns;
use toolgate_tests::raw::Raw;
use toolgate_tests::web::{Web, respond};
use toolgate_tests::{World, test_guest};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Address of cloud metadata services; no grant reaches it.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// Maximum number of refusals in a record.
const PLACES: usize = 64;

fn answering() -> Raw {
    Raw::serve(|peer| {
        while peer.head().is_some() {
            peer.answer("ok");
        }
    })
}

fn world(host: &str, port: u16) -> World {
    World::new()
        .plugin("web", &test_guest("requesting"))
        .grant(&format!(
            r#"http = [{{ scheme = "http", host = "{host}", port = {port}, private = true, paths = ["/", "/pub/*"] }}]"#
        ))
        .limit("http_requests_max = 1000\nfaults_max = 1000")
}

/// The only record of a call, and its requests: URL, and whether it was refused.
fn recorded(world: &World) -> (Value, Vec<(String, bool)>) {
    let record = world.call_records().pop().unwrap();
    let name = |request: &Value| {
        let name = request["url"].as_str().or(request["text"].as_str()).unwrap();
        (name.to_owned(), request["refused"] == true)
    };
    let requests = record["requests"].as_array().unwrap().iter().map(name).collect();
    (record, requests)
}

fn each(authority: &str, requests: &[(String, Vec<(String, String)>)]) -> Value {
    json!({ "authority": authority, "requests": requests })
}

#[test]
fn a_request_that_was_sent_stands_beside_the_same_one_that_was_turned_back() {
    for order in [[METADATA, HERE], [HERE, METADATA]] {
        let web = Web::plain(|_, to| respond(to, "200 OK", &[], "hello"));
        let port = web.address.port();
        let dns = Dns::serve(move |_, before| vec![order[before.min(1)]]);
        let world = world("app.example.com", port).server(&format!("name_servers = [\"{}\"]", dns.address));
        let twice = [("/".to_owned(), vec![]), ("/".to_owned(), vec![])];
        let ended = world.call("web_each", &each(&format!("app.example.com:{port}"), &twice));
        assert!(ended.said().contains("200"), "{order:?}: {}", ended.said());
        assert!(ended.said().contains("DestinationIpProhibited"), "{order:?}: {}", ended.said());
        let (record, requests) = recorded(&world);
        let url = format!("http://app.example.com:{port}/");
        assert_eq!(requests, [(url.clone(), false), (url, true)], "{order:?}");
        assert_eq!(record["places_not_listed"], Value::Null, "{order:?}");
    }
}

#[test]
fn a_request_that_arrived_stands_there_as_sent_although_it_was_turned_back_when_it_was_sent_again() {
    // The second request on a connection is read and then rejected with 408, as servers do with idle connections.
    let raw = Raw::serve(|peer| {
        if peer.head().is_some() && peer.answer("ok") && peer.head().is_some() {
            peer.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let port = raw.address.port();
    let dns = Dns::serve(|_, before| vec![[HERE, METADATA][before.min(1)]]);
    let world = world("app.example.com", port).server(&format!("name_servers = [\"{}\"]", dns.address));
    // The record is already full of refusals.
    let forbidden = |at: usize| (format!("x-forwarded-{at}"), "x".to_owned());
    let mut requests: Vec<_> = (0..PLACES).map(|at| (format!("/pub/{at}"), vec![forbidden(at)])).collect();
    requests.extend([("/pub/a".to_owned(), vec![]), ("/pub/b".to_owned(), vec![])]);
    let ended = world.call("web_each", &each(&format!("app.example.com:{port}"), &requests));
    assert!(ended.said().contains("DestinationIpProhibited"), "{}", ended.said());
    let arrived: Vec<String> = raw.requests().concat().into_iter().map(|request| request.path).collect();
    assert_eq!(arrived, ["/pub/a", "/pub/b"]);
    let (record, requests) = recorded(&world);
    for path in ["/pub/a", "/pub/b"] {
        let sent = (format!("http://app.example.com:{port}{path}"), false);
        assert!(requests.contains(&sent), "{path}: {record}");
    }
}

#[test]
fn a_request_that_was_only_turned_back_does_not_stand_there_as_sent() {
    let dns = Dns::serve(|_, _| vec![METADATA]);
    let world = world("app.example.com", 80).server(&format!("name_servers = [\"{}\"]", dns.address));
    let ended = world.call("web_each", &each("app.example.com", &[("/".to_owned(), vec![])]));
    assert!(ended.said().contains("DestinationIpProhibited"), "{}", ended.said());
    let (record, requests) = recorded(&world);
    assert_eq!(requests, [("http://app.example.com/".to_owned(), true)], "{record}");
    assert_eq!(record["hosts"], json!(["refused: http://app.example.com:80"]));
}

#[test]
fn paths_that_differ_after_what_a_record_lists_of_them_are_two() {
    let raw = answering();
    let world = world("127.0.0.1", raw.address.port());
    let long = format!("/pub/{}", "a".repeat(400));
    let away = format!("/prv/{}", "a".repeat(400));
    let paths = [format!("{long}1"), format!("{away}1"), format!("{long}2"), format!("{away}2")];
    let paths = paths.map(|path| (path, vec![]));
    let ended = world.call("web_each", &each(&raw.address.to_string(), &paths));
    assert_eq!(ended.code, 0, "{}", ended.said());
    let (record, requests) = recorded(&world);
    let of = |refused: bool| requests.iter().filter(move |request| request.1 == refused);
    let differ: BTreeSet<&str> = requests.iter().map(|request| request.0.as_str()).collect();
    assert_eq!((of(false).count(), of(true).count(), differ.len()), (2, 2, 4), "{record}");
    assert_eq!(raw.requests().concat().len(), 2);
}

#[test]
fn no_number_of_refusals_keeps_what_was_sent_out_of_the_record() {
    let raw = answering();
    let world = world("127.0.0.1", raw.address.port());
    let forbidden = |at: usize| (format!("x-forwarded-{at}"), "x".to_owned());
    // One request with many refused header fields, then many refused paths, then the requests that are sent.
    let mut requests = vec![("/".to_owned(), (0..70).map(forbidden).collect())];
    requests.extend((0..2 * PLACES).map(|at| (format!("/prv/{at}"), vec![])));
    requests.extend((0..PLACES).map(|at| (format!("/pub/{at}"), vec![])));
    let ended = world.call("web_each", &each(&raw.address.to_string(), &requests));
    assert_eq!(ended.code, 0, "{}", ended.said());
    let (record, requests) = recorded(&world);
    let sent: BTreeSet<&str> =
        requests.iter().filter(|request| !request.1).map(|request| request.0.as_str()).collect();
    let arrived: Vec<String> = raw
        .requests()
        .concat()
        .iter()
        .map(|request| format!("http://{}{}", raw.address, request.path))
        .collect();
    assert_eq!(arrived.len(), PLACES);
    assert_eq!(sent, arrived.iter().map(String::as_str).collect(), "{record}");
    let refused = requests.iter().filter(|request| request.1).count();
    assert_eq!(refused, PLACES, "{record}");
    assert_eq!(record["places_not_listed"], 70 + 2 * PLACES - refused, "{record}");
}

#[test]
fn what_leads_out_of_a_folder_stands_there_as_refused_and_names_that_only_look_alike_are_two() {
    let world = World::new()
        .plugin("fs", &test_guest("filing"))
        .folder("docs")
        .grant(r#"files = [{ host = "docs", guest = "/docs", access = "read-write" }]"#);
    let files = |record: &Value| record["files"].as_array().unwrap().clone();
    for path in ["/docs/../../etc/passwd", "/docs/a/../../b"] {
        let ended = world.call("fs_look", &json!({ "path": path }));
        assert_eq!(ended.code, 1, "{}", ended.said());
        let files = files(&world.call_records().pop().unwrap());
        assert!(!files.is_empty() && files.iter().all(|file| file["refused"] == true), "{files:?}");
    }
    let mut listed = BTreeSet::new();
    for name in ["/docs/a\u{1b}", "/docs/a\\u{1b}"] {
        let ended = world.call("fs_put", &json!({ "path": name, "text": "x" }));
        assert_eq!(ended.code, 0, "{}", ended.said());
        listed.insert(files(&world.call_records().pop().unwrap())[0]["path"].to_string());
    }
    assert_eq!(listed.len(), 2, "{listed:?}");
}
