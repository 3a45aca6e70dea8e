//! Sends one HTTP request by WASI 0.2, or searches its memory for parts of it.
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    record answer { status: u16, headers: list<tuple<string, string>>, body: string }
    export run: func(method: string, scheme: string, authority: string, path: string, headers: list<tuple<string, string>>, body: string, times: option<u32>, opens: option<bool>, trailers: option<list<tuple<string, string>>>) -> result<answer, string>;
    /// GETs with these paths and header fields, one after the other: the status of each.
    export each: func(authority: string, requests: list<tuple<string, list<tuple<string, string>>>>) -> list<result<u16, string>>;
    export search: func(authority: string, path: string, needles: list<tuple<string, string>>) -> result<list<u32>, string>;
    /// Panics with these words.
    export fail: func(why: string);
    /// Gives so many requests a part of so many bytes and keeps them; how many took it.
    export keep: func(part: string, count: u32, bytes: u32) -> u32;
}" });

#[path = "parts/memory.rs"]
mod memory;

struct Requesting;

impl Guest for Requesting {
    fn fail(why: String) {
        panic!("{why}");
    }

    fn run(
        method: String,
        scheme: String,
        authority: String,
        path: String,
        headers: Vec<(String, String)>,
        body: String,
        times: Option<u32>,
        opens: Option<bool>,
        trailers: Option<Vec<(String, String)>>,
    ) -> Result<Answer, String> {
        let mut answer = Err("no request".to_owned());
        for _ in 0..times.unwrap_or(1) {
            let body = (opens == Some(true) || !body.is_empty() || trailers.is_some()).then_some(body.as_str());
            answer = once(&method, &scheme, &authority, &path, &headers, body, trailers.as_deref());
        }
        answer
    }

    fn each(authority: String, requests: Vec<(String, Vec<(String, String)>)>) -> Vec<Result<u16, String>> {
        let sent = |(path, headers): &(String, Vec<_>)| once("GET", "http", &authority, path, headers, None, None);
        requests.iter().map(|request| sent(request).map(|answer| answer.status)).collect()
    }

    fn search(authority: String, path: String, needles: Vec<(String, String)>) -> Result<Vec<u32>, String> {
        let answer = once("GET", "http", &authority, &path, &[], None, None);
        let counts = memory::count(&needles);
        std::hint::black_box(&answer);
        answer.map(|_| counts)
    }

    fn keep(part: String, count: u32, bytes: u32) -> u32 {
        let text = "X".repeat(bytes as usize);
        let requests: Vec<_> = (0..count)
            .map(|_| {
                let request = OutgoingRequest::new(Fields::new());
                let taken = set(&request, &part, &text);
                (request, taken)
            })
            .collect();
        requests.iter().filter(|(_, taken)| *taken).count() as u32
    }
}

fn once(
    method: &str,
    scheme: &str,
    authority: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<&str>,
    trailers: Option<&[(String, String)]>,
) -> Result<Answer, String> {
    let request = OutgoingRequest::new(fields(headers)?);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let set = request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.map_err(|()| "the library refuses the URL".to_owned())?;
    let Some(body) = body else { return answer(outgoing_handler::handle(request, None).map_err(told)?) };
    let outgoing = request.body().map_err(|()| "body".to_owned())?;
    let stream = outgoing.write().map_err(|()| "body".to_owned())?;
    let coming = outgoing_handler::handle(request, None).map_err(told)?;
    for chunk in body.as_bytes().chunks(4096) {
        if let Err(error) = stream.blocking_write_and_flush(chunk) {
            // The outcome of the request explains the error.
            return answer(coming).and(Err(format!("writing: {error}")));
        }
    }
    drop(stream);
    OutgoingBody::finish(outgoing, trailers.map(fields).transpose()?).map_err(told)?;
    answer(coming)
}

fn fields(entries: &[(String, String)]) -> Result<Fields, String> {
    let entries: Vec<(String, Vec<u8>)> = entries.iter().map(|(n, v)| (n.clone(), v.clone().into_bytes())).collect();
    Fields::from_list(&entries).map_err(|error| format!("headers: {error}"))
}

fn answer(coming: wasip2::http::types::FutureIncomingResponse) -> Result<Answer, String> {
    coming.subscribe().block();
    let response = coming.get().ok_or("nothing came")?.map_err(|()| "taken")?.map_err(told)?;
    let headers = response.headers().entries();
    let headers = headers.into_iter().map(|(n, v)| (n, String::from_utf8_lossy(&v).into_owned())).collect();
    let body = response.consume().map_err(|()| "taken")?;
    let stream = body.stream().map_err(|()| "taken")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(1 << 16) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err("the body broke off".to_owned()),
        }
    }
    Ok(Answer { status: response.status(), headers, body: String::from_utf8_lossy(&bytes).into_owned() })
}

fn set(request: &OutgoingRequest, part: &str, text: &str) -> bool {
    match part {
        "method" => request.set_method(&Method::Other(text.to_owned())).is_ok(),
        "scheme" => request.set_scheme(Some(&Scheme::Other(text.to_owned()))).is_ok(),
        "authority" => request.set_authority(Some(text)).is_ok(),
        _ => request.set_path_with_query(Some(&format!("/{text}"))).is_ok(),
    }
}

fn told(error: ErrorCode) -> String {
    format!("{error:?}")
}

export!(Requesting);
