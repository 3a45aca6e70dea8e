//! Callers with credentials: API keys, and tokens of an issuer whose keys are in a file.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use toolgate_signature::jws::JwsSigningKey;

use crate::client::{Server, headers};
use crate::reply::{HttpReply, Reply};
use crate::world::World;

/// Address under which clients know the servers of these worlds.
pub const PUBLIC_URL: &str = "https://tools.example.com";

/// Identifier of [`Issuer`].
pub const ISSUER: &str = "https://login.example.com/realms/corp";

/// Challenge for a request without credentials.
pub const CHALLENGE: &str = "Bearer resource_metadata=\"https://tools.example.com/.well-known/oauth-protected-resource/mcp\", \
     scope=\"tools:read\"";

/// Challenge for a credential that is not valid.
pub const INVALID: &str = "Bearer error=\"invalid_token\", error_description=\"the token is not valid here\", \
     resource_metadata=\"https://tools.example.com/.well-known/oauth-protected-resource/mcp\", scope=\"tools:read\"";

/// An issuer of tokens.
pub struct Issuer {
    key: JwsSigningKey,
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Header that presents a credential.
pub fn bearer(credential: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("Bearer {credential}"))
}

impl World {
    /// Requires credentials: API keys of `keys.toml`. `more` follows in `[auth]`, and in sections after it.
    #[must_use]
    pub fn authenticated(self, more: &str) -> Self {
        let auth = format!("\n[auth]\nkeys = \"keys.toml\"\nscopes = [\"tools:read\"]\n{more}\n");
        self.server(&format!("public_url = \"{PUBLIC_URL}\"")).more(&auth).secret_file("keys.toml", "")
    }

    /// Makes an API key for a holder, without rewriting the configuration.
    pub fn api_key(&self, name: &str, args: &[&str]) -> String {
        let made = self.run_as_is(&[&["apikey", "create", "--name", name], args].concat());
        assert_eq!(made.code, 0, "{}", made.said());
        made.stdout.trim().to_owned()
    }
}

impl Server {
    /// Sends one request of the modern era with this credential.
    pub fn post_as(&self, credential: &str, method: &str, params: Value) -> HttpReply {
        let (_, message) = self.modern(method, params);
        let mut headers = headers(&message);
        headers.push(bearer(credential));
        self.post(&message.to_string(), &headers)
    }

    /// Calls a tool with this credential.
    pub fn call_as(&self, credential: &str, tool: &str, arguments: Value) -> Reply {
        Reply(
            self.post_as(credential, "tools/call", json!({ "name": tool, "arguments": arguments })).message(),
        )
    }

    /// Names of the tools that are listed with this credential.
    pub fn tools_as(&self, credential: &str) -> Vec<String> {
        let listed = self.post_as(credential, "tools/list", json!({})).message();
        let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools: {listed}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Begins a session of an older revision with this credential; returns the headers of its requests.
    pub fn session_as(&self, credential: &str, version: &str) -> Vec<(String, String)> {
        let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
        let begun = self.post(&message.to_string(), &[bearer(credential)]);
        assert_eq!(begun.status, 200, "{begun:?}");
        let id = begun.header("Mcp-Session-Id").unwrap().to_owned();
        vec![("Mcp-Session-Id".to_owned(), id), ("MCP-Protocol-Version".to_owned(), version.to_owned())]
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}

impl Issuer {
    /// An issuer with a new key.
    pub fn new() -> Self {
        Self { key: JwsSigningKey::generate().unwrap() }
    }

    /// Its section of a configuration; the file of its keys is `jwks.json`.
    pub fn section(more: &str) -> String {
        format!(
            "[[auth.issuer]]\nid = \"corp\"\nissuer = \"{ISSUER}\"\nalgorithms = [\"ES256\"]\n\
             jwks = \"file:jwks.json\"\ngroups = \"groups\"\n{more}\n"
        )
    }

    /// Its set of keys.
    pub fn jwks(&self) -> String {
        let (x, y) = self.key.public_point().unwrap();
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig", "x": x, "y": y }] })
            .to_string()
    }

    /// Claims of a token for `subject` that is valid for five minutes; `more` is laid over them.
    pub fn claims(subject: &str, more: Value) -> Value {
        let now = now_s();
        let mut claims = json!({ "iss": ISSUER, "aud": format!("{PUBLIC_URL}/mcp"), "sub": subject,
            "client_id": "client", "iat": now, "exp": now + 300, "jti": format!("{subject}-{now}") });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    /// A token for `subject`.
    pub fn token(&self, subject: &str, more: Value) -> String {
        self.sign(&json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" }), &Self::claims(subject, more))
    }

    /// A token with any header and claims, signed with ES256.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{signature}")
    }
}
