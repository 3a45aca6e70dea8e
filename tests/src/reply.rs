//! Responses of a server.

use serde_json::Value;

/// Response to a `tools/call`.
#[derive(Clone, PartialEq)]
pub struct Reply(pub Value);

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 500;
        let text: String = self.0.to_string().chars().take(SHOWN).collect();
        f.write_str(&text)
    }
}

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Unparsed head.
    pub head: String,
    /// Body, with chunks joined.
    pub body: String,
}

impl Reply {
    /// Whether the result is an error of the tool or the host.
    pub fn is_error(&self) -> bool {
        self.0["result"]["isError"] == true
    }

    /// Text of the first content block.
    pub fn text(&self) -> &str {
        self.0["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {}", self.0))
    }

    /// Structured content.
    pub fn structured(&self) -> &Value {
        &self.0["result"]["structuredContent"]
    }

    /// Code of a protocol error.
    pub fn code(&self) -> i64 {
        self.0["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {}", self.0))
    }
}

impl HttpReply {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunk(body) } else { body.to_owned() };
        Self { status, head: head.to_owned(), body }
    }

    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// First message of an event stream, or the whole body.
    pub fn message(&self) -> Value {
        let data = self
            .body
            .lines()
            .find_map(|line| line.strip_prefix("data: ").filter(|data| data.starts_with('{')));
        serde_json::from_str(data.unwrap_or(&self.body)).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(rest.get(..size).unwrap_or_default());
        body = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}
