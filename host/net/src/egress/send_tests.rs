//! Facts not visible from outside: threads that drive connections, and the rule whose client sends a request.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use http_body::Frame;
use http_body_util::BodyExt as _;
use toolgate_base::meter::account::{Budget, MemoryAccount};
use toolgate_policy::capability::http::{Grant, RuleText};
use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::request::RequestTarget;

use super::*;

/// Body of a few pieces that records the names of the threads that poll it.
struct Watched(u8, Arc<Mutex<BTreeSet<String>>>);

impl Body for Watched {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        self.1.lock().unwrap().insert(name);
        let left = self.0.checked_sub(1);
        Poll::Ready(left.map(|left| {
            self.0 = left;
            Ok(Frame::data(Bytes::from_static(b"piece")))
        }))
    }
}

fn threads(name: &str) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

fn meter() -> Meter {
    let account = MemoryAccount::new(&Budget::new(u64::MAX), u64::MAX);
    Meter::new(CallLimits::default(), Instant::now() + Duration::from_secs(60), account)
}

#[test]
fn connections_are_driven_by_threads_that_run_no_guest() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut heard, mut byte) = (Vec::new(), [0]);
        while !heard.ends_with(b"\r\n0\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            heard.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    });
    let (guests, connections) = (threads("guests"), threads("connections"));
    let egress = Egress::new(Vec::new());
    egress.run_on(guests.handle().clone(), connections.handle().clone());
    let rule = RuleText {
        scheme: Some("http".to_owned()),
        host: "127.0.0.1".to_owned(),
        port: Some(i64::from(port)),
        methods: Some(vec!["POST".to_owned()]),
        private: true,
        ..RuleText::default()
    };
    let grant = Grant::new(vec![rule]).unwrap();
    let link = egress.link(&grant.rules()[0], None).unwrap();
    let pass = grant
        .allow(RequestTarget::parse("POST", "http", &format!("127.0.0.1:{port}"), "/").unwrap())
        .unwrap();
    let seen = Arc::<Mutex<BTreeSet<String>>>::default();
    let request = Request::builder().method("POST").body(Watched(100, Arc::clone(&seen))).unwrap();
    let body = guests.block_on(async {
        let response = egress.send(pass, link, request, Timeouts::default(), meter(), &|| ()).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    });
    assert_eq!(body, "hello");
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from(["connections".to_owned()]));
}

#[test]
fn a_request_that_one_rule_allows_is_not_sent_with_what_another_brings() {
    let rule = |path: &str| RuleText {
        host: "api.example.com".to_owned(),
        paths: Some(vec![path.to_owned()]),
        ..RuleText::default()
    };
    let grant = Grant::new(vec![rule("/a"), rule("/b")]).unwrap();
    let egress = Egress::new(Vec::new());
    let link = egress.link(&grant.rules()[1], None).unwrap();
    let pass = grant.allow(RequestTarget::parse("GET", "https", "api.example.com", "/a").unwrap()).unwrap();
    let request = Request::builder().body(Watched(0, Arc::default())).unwrap();
    let sent = threads("guests")
        .block_on(async { egress.send(pass, link, request, Timeouts::default(), meter(), &|| ()).await });
    assert_eq!(sent.map(drop), Err(EgressError::Refused));
}
