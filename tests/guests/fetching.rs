//! Sends one HTTP request by WASI 0.3, or searches its memory for parts of it.
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::{wit_future, wit_stream};

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    record answer { status: u16, headers: list<tuple<string, string>>, body: string }
    export run: async func(method: string, scheme: string, authority: string, path: string, headers: list<tuple<string, string>>, body: string, trailers: option<list<tuple<string, string>>>) -> result<answer, string>;
    export search: async func(authority: string, path: string, needles: list<tuple<string, string>>) -> result<list<u32>, string>;
    /// Gives so many requests a part of so many bytes and keeps them; how many took it.
    export keep: async func(part: string, count: u32, bytes: u32) -> u32;
}" });

#[path = "parts/memory.rs"]
mod memory;

struct Fetching;

fn set(request: &Request, part: &str, text: &str) -> bool {
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

impl Guest for Fetching {
    async fn run(
        method: String,
        scheme: String,
        authority: String,
        path: String,
        headers: Vec<(String, String)>,
        body: String,
        trailers: Option<Vec<(String, String)>>,
    ) -> Result<Answer, String> {
        let fields_of = |entries: Vec<(String, String)>| {
            let entries: Vec<(String, Vec<u8>)> =
                entries.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
            Fields::from_list(&entries).map_err(|error| format!("headers: {error:?}"))
        };
        let (fields, trailers) = (fields_of(headers)?, trailers.map(fields_of).transpose()?);
        let (mut writer, contents) = wit_stream::new();
        let (trailers_go, trailers_come) = wit_future::new(|| Ok(None));
        let (request, _sent) = Request::new(fields, Some(contents), trailers_come, None);
        let method = match method.as_str() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            other => Method::Other(other.to_owned()),
        };
        let scheme = match scheme.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        request
            .set_method(&method)
            .and_then(|()| request.set_scheme(Some(&scheme)))
            .and_then(|()| request.set_authority(Some(&authority)))
            .and_then(|()| request.set_path_with_query(Some(&path)))
            .map_err(|()| "the library refuses the URL".to_owned())?;
        wit_bindgen::spawn_local(async move {
            drop(writer.write_all(body.into_bytes()).await);
            drop(writer);
            if let Some(trailers) = trailers {
                drop(trailers_go.write(Ok(Some(trailers))).await);
            }
        });
        let response = client::send(request).await.map_err(told)?;
        let status = response.get_status_code();
        let headers = response.get_headers().copy_all().into_iter();
        let headers = headers.map(|(n, v)| (n, String::from_utf8_lossy(&v).into_owned())).collect();
        let (read, result) = wit_future::new(|| Ok(()));
        drop(read);
        let (stream, end) = Response::consume_body(response, result);
        let body = stream.collect().await;
        end.await.map_err(told)?;
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    async fn search(
        authority: String,
        path: String,
        needles: Vec<(String, String)>,
    ) -> Result<Vec<u32>, String> {
        let text = |text: &str| text.to_owned();
        let answer = Self::run(text("GET"), text("http"), authority, path, Vec::new(), String::new(), None).await;
        let counts = memory::count(&needles);
        std::hint::black_box(&answer);
        answer.map(|_| counts)
    }

    async fn keep(part: String, count: u32, bytes: u32) -> u32 {
        let text = "X".repeat(bytes as usize);
        let requests: Vec<_> = (0..count)
            .map(|_| {
                let (trailers, come) = wit_future::new(|| Ok(None));
                drop(trailers);
                let (request, sent) = Request::new(Fields::new(), None, come, None);
                let taken = set(&request, &part, &text);
                (request, sent, taken)
            })
            .collect();
        requests.iter().filter(|(.., taken)| *taken).count() as u32
    }
}

export!(Fetching);
