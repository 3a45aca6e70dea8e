//! Answers to requests without a valid credential (RFC 6750 §3, RFC 9728 §5.1), and the metadata of this protected resource
//! (RFC 9728 §2). Every value is of the configuration or a constant: nothing that a client sent is repeated.

use serde_json::{Map, Value, json};
use toolgate_policy::InvalidValueError;
use toolgate_policy::limits::auth::CHALLENGE_SCOPES_MAX;
use toolgate_policy::redact::is_plain;
use url::Url;

use super::explain::{AuthError, AuthFailure};
use super::issuer::check_url;
use super::scope;

/// This server as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedResource {
    /// Origin, without a slash at the end.
    origin: String,
    scopes: Vec<String>,
    name: Option<String>,
    documentation: Option<Url>,
}

/// An HTTP answer without its body's type, which is `application/json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeAnswer {
    /// Status.
    pub status: u16,
    /// Value of `WWW-Authenticate`, ASCII.
    pub www_authenticate: Option<String>,
    /// Value of `Retry-After`.
    pub retry_after_s: Option<u64>,
    /// JSON.
    pub body: Vec<u8>,
}

/// Path of the MCP endpoint.
const ENDPOINT: &str = "/mcp";

/// Path of the metadata. The same document is at the root form and at this form with the endpoint's path.
pub const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";

impl ProtectedResource {
    /// The server at `public_url`, whose base scopes are `scopes`.
    ///
    /// # Errors
    /// [`InvalidValueError`] for an address with a path, or without TLS beyond loopback, and for texts that are not scopes.
    pub fn new(
        public_url: &str,
        scopes: Vec<String>,
        name: Option<String>,
        documentation: Option<Url>,
    ) -> Result<Self, InvalidValueError> {
        let url = check_url("public_url", public_url, true)?;
        if url.path() != "/" || url.query().is_some() {
            return Err(InvalidValueError::new(
                "public_url has a path or a query; write scheme, host and port, such as https://tools.example.com",
            ));
        }
        scope::check_advertised(&scopes)?;
        if scopes.len() > CHALLENGE_SCOPES_MAX {
            return Err(InvalidValueError::new(format!("there are more than {CHALLENGE_SCOPES_MAX} scopes")));
        }
        if name.as_ref().is_some_and(|name| !name.chars().all(is_plain)) {
            return Err(InvalidValueError::new("the name of the server is not printable"));
        }
        let origin = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { origin, scopes, name, documentation })
    }

    /// Identifier of the resource (RFC 8707): the audience that tokens have by default.
    pub fn resource(&self) -> String {
        format!("{}{ENDPOINT}", self.origin)
    }

    /// Address of the metadata.
    pub fn metadata_url(&self) -> String {
        format!("{}{METADATA_PATH}{ENDPOINT}", self.origin)
    }

    /// The metadata document. `issuers` are the identifiers of the authorization servers.
    pub fn metadata<'i>(&self, issuers: impl IntoIterator<Item = &'i str>) -> Vec<u8> {
        let mut document = Map::new();
        document.insert("resource".to_owned(), Value::from(self.resource()));
        let mut list = |name: &str, values: Vec<Value>| {
            // A list without entries is left out (RFC 9728 §3.2).
            if !values.is_empty() {
                document.insert(name.to_owned(), Value::Array(values));
            }
        };
        list("authorization_servers", issuers.into_iter().map(Value::from).collect());
        list("scopes_supported", self.scopes.iter().map(|scope| Value::from(scope.as_str())).collect());
        list("bearer_methods_supported", vec![Value::from("header")]);
        if let Some(name) = &self.name {
            document.insert("resource_name".to_owned(), Value::from(name.as_str()));
        }
        if let Some(url) = &self.documentation {
            document.insert("resource_documentation".to_owned(), Value::from(url.as_str()));
        }
        Value::Object(document).to_string().into_bytes()
    }

    /// The answer to a refused request.
    pub fn answer(&self, error: &AuthError) -> ChallengeAnswer {
        let failure = error.failure;
        let code = failure.code();
        let www_authenticate = match failure {
            AuthFailure::Unavailable | AuthFailure::TooMany { .. } => None,
            AuthFailure::NoCredentials
            | AuthFailure::InvalidRequest
            | AuthFailure::InvalidToken
            | AuthFailure::Expired => {
                let description = code.map(|_| failure.public_text());
                Some(self.challenge(code, description, &self.scopes, Order::ScopeLast))
            }
        };
        let error = code.unwrap_or(match failure {
            AuthFailure::Unavailable | AuthFailure::TooMany { .. } => "temporarily_unavailable",
            _ => "unauthorized",
        });
        ChallengeAnswer {
            status: failure.status(),
            www_authenticate,
            retry_after_s: failure.retry_after_s(),
            body: body(error, failure.public_text()),
        }
    }

    /// The answer to a request that lacks scopes. All of them are named at once, since clients ask for what is named.
    ///
    /// # Errors
    /// [`InvalidValueError`] for texts that are not scopes, or too many.
    pub fn insufficient_scope(&self, scopes: &[String]) -> Result<ChallengeAnswer, InvalidValueError> {
        if scopes.is_empty() || scopes.len() > CHALLENGE_SCOPES_MAX {
            return Err(InvalidValueError::new(format!("write 1 to {CHALLENGE_SCOPES_MAX} scopes")));
        }
        scope::check_advertised(scopes)?;
        let (code, description) = ("insufficient_scope", "the token lacks a scope that this tool needs");
        Ok(ChallengeAnswer {
            status: 403,
            www_authenticate: Some(self.challenge(Some(code), Some(description), scopes, Order::ScopeFirst)),
            retry_after_s: None,
            body: body(code, description),
        })
    }

    fn challenge(
        &self,
        code: Option<&str>,
        description: Option<&str>,
        scopes: &[String],
        order: Order,
    ) -> String {
        let scope = (!scopes.is_empty()).then(|| parameter("scope", &scopes.join(" ")));
        let metadata = Some(parameter("resource_metadata", &self.metadata_url()));
        let code = code.map(|code| parameter("error", code));
        let description = description.map(|text| parameter("error_description", text));
        let parts = match order {
            Order::ScopeFirst => [code, scope, metadata, description],
            Order::ScopeLast => [code, description, metadata, scope],
        };
        format!("Bearer {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Order of a challenge's parameters.
#[derive(Clone, Copy)]
enum Order {
    ScopeFirst,
    ScopeLast,
}

/// One parameter with a quoted string (RFC 9110 §5.6.4). What is not printable ASCII cannot come from a checked
/// configuration; it would be left out.
fn parameter(name: &str, value: &str) -> String {
    let mut quoted = format!("{name}=\"");
    for character in value.chars().filter(|character| matches!(character, ' '..='~')) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

fn body(error: &str, description: &str) -> Vec<u8> {
    json!({ "error": error, "error_description": description }).to_string().into_bytes()
}

#[cfg(test)]
#[path = "challenge_tests.rs"]
mod tests;
