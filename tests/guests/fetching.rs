//! Sends one HTTP request by WASI 0.3.
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::{wit_future, wit_stream};

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    record answer { status: u16, headers: list<tuple<string, string>>, body: string }
    export run: async func(method: string, scheme: string, authority: string, path: string, headers: list<tuple<string, string>>, body: string) -> result<answer, string>;
}" });

struct Fetching;

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
    ) -> Result<Answer, String> {
        let entries: Vec<(String, Vec<u8>)> =
            headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let fields = Fields::from_list(&entries).map_err(|error| format!("headers: {error:?}"))?;
        let (mut writer, contents) = wit_stream::new();
        let (trailers, trailers_come) = wit_future::new(|| Ok(None));
        drop(trailers);
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
}

export!(Fetching);
