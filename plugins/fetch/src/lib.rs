//! Outbound HTTP through wasi:http. The operator grants hosts, paths and methods; a refusal is passed on.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, IncomingResponse, Method, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

wit_bindgen::generate!({ world: "fetch" });

/// Maximum page size; no model reads a larger one.
const PAGE_BYTES_MAX: usize = 256 * 1024;

struct Fetch;

impl Guest for Fetch {
    fn get(url: String) -> Result<Page, String> {
        let response = send(&url)?;
        let kind = response.headers().get("content-type").into_iter().next();
        let kind = kind.map(|kind| String::from_utf8_lossy(&kind).into_owned());
        let body = response.consume().map_err(|()| "the body was taken already".to_owned())?;
        let text = String::from_utf8_lossy(&read(&body)?).into_owned();
        Ok(Page { status: response.status(), kind, text })
    }
}

fn send(url: &str) -> Result<IncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{url}` is no URL"))?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => return Err(format!("`{other}` is neither http nor https")),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let set = request
        .set_method(&Method::Get)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })));
    set.map_err(|()| format!("`{url}` is no URL"))?;
    let coming = outgoing_handler::handle(request, None).map_err(|error| format!("{url}: {error}"))?;
    coming.subscribe().block();
    let answered = coming.get().ok_or("no answer came")?.map_err(|()| "the answer was taken already")?;
    answered.map_err(|error| format!("{url}: {error}"))
}

fn read(body: &IncomingBody) -> Result<Vec<u8>, String> {
    let stream = body.stream().map_err(|()| "the body was taken already".to_owned())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(16 * 1024) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
        if bytes.len() > PAGE_BYTES_MAX {
            return Err(format!("the page has more than {PAGE_BYTES_MAX} bytes"));
        }
    }
}

export!(Fetch);
