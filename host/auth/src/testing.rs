//! Signed tokens, an issuer that is asked without a network, and a clock that stands still, for tests.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use toolgate_signature::jws::JwsSigningKey;

use crate::apikey::{ApiKeyRow, ApiKeys, NewApiKey};
use crate::authenticated::{CredentialId, Proof, ProofKind, principal};
use crate::fetch::{KeyFetch, KeyFetchError, KeyPlace, KeyRequest, KeyResponse};
use crate::issuer::{IssuerSpec, IssuerText};
use crate::scope::ScopeHierarchy;
use crate::{AuthError, AuthSettings, AuthStep, Authenticated, Authenticator};
use toolgate_policy::principal::{CallerIdentity, IdentityKind, Tenant};

pub(crate) const ISSUER: &str = "https://id.example/realms/corp";
pub(crate) const METADATA: &str = "https://id.example/.well-known/oauth-authorization-server/realms/corp";
pub(crate) const JWKS: &str = "https://id.example/keys";
pub(crate) const AUDIENCE: &str = "https://tools.example/mcp";
/// The time at which tests begin.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A key of an issuer.
pub(crate) struct TestKey {
    pub(crate) id: String,
    pub(crate) pair: JwsSigningKey,
}

/// Answers of an issuer by their address, and requests that were made.
#[derive(Default)]
pub(crate) struct Published {
    answers: Mutex<HashMap<String, Result<KeyResponse, KeyFetchError>>>,
    asked: Mutex<Vec<KeyRequest>>,
    /// Held while a test lets requests wait.
    pub(crate) gate: tokio::sync::RwLock<()>,
}

/// An authenticator with all that is handed to it.
pub(crate) struct World {
    pub(crate) published: Arc<Published>,
    pub(crate) key: TestKey,
    pub(crate) auth: Authenticator,
    now_s: Arc<AtomicU64>,
}

impl TestKey {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: JwsSigningKey::generate().unwrap() }
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_point().unwrap();
        json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y), "kid": self.id, "use": "sig" })
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.id })
    }

    /// A token with the usual header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A token with this header and payload, whatever they are.
    pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", base64url(header), base64url(payload));
        let signature = self.pair.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", base64url(signature))
    }
}

impl Published {
    pub(crate) fn put(&self, address: &str, bytes: impl Into<Vec<u8>>) {
        self.put_for(address, bytes, None);
    }

    pub(crate) fn put_for(&self, address: &str, bytes: impl Into<Vec<u8>>, max_age_s: Option<u64>) {
        let response = KeyResponse { bytes: bytes.into(), max_age_s };
        self.answers.lock().unwrap().insert(address.to_owned(), Ok(response));
    }

    pub(crate) fn fail(&self, address: &str, error: KeyFetchError) {
        self.answers.lock().unwrap().insert(address.to_owned(), Err(error));
    }

    pub(crate) fn asked(&self) -> Vec<KeyRequest> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.asked().iter().map(|request| address(&request.place)).collect()
    }

    fn answer(&self, request: &KeyRequest) -> Result<KeyResponse, KeyFetchError> {
        let answers = self.answers.lock().unwrap();
        answers.get(&address(&request.place)).cloned().unwrap_or(Err(KeyFetchError::Status(404)))
    }
}

/// The fetcher that reads from [`Published`].
pub(crate) struct Fetching(pub(crate) Arc<Published>);

impl KeyFetch for Fetching {
    fn fetch(&self, request: KeyRequest) -> BoxFuture<'static, Result<KeyResponse, KeyFetchError>> {
        self.0.asked.lock().unwrap().push(request.clone());
        let published = Arc::clone(&self.0);
        async move {
            let _open = published.gate.read().await;
            published.answer(&request)
        }
        .boxed()
    }
}

fn address(place: &KeyPlace) -> String {
    match place {
        KeyPlace::Url(url) => url.to_string(),
        KeyPlace::File(path) => path.to_string_lossy().into_owned(),
    }
}

impl World {
    /// One issuer with one key, at [`NOW`].
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with a changed issuer.
    pub(crate) fn with(change: impl FnOnce(&mut IssuerText)) -> Self {
        let mut text = issuer();
        change(&mut text);
        Self::under(AuthSettings { issuers: vec![IssuerSpec::new(text).unwrap()], ..AuthSettings::default() })
    }

    /// The same under these settings.
    pub(crate) fn under(settings: AuthSettings) -> Self {
        let (published, key) = (Arc::new(Published::default()), TestKey::new("k1"));
        published.put(METADATA, json!({ "issuer": ISSUER, "jwks_uri": JWKS }).to_string());
        published.put(JWKS, jwks(&[key.jwk()]));
        let now_s = Arc::new(AtomicU64::new(NOW));
        let clock = Arc::clone(&now_s);
        let time = Arc::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)));
        let auth = Authenticator::new(settings, Arc::new(Fetching(Arc::clone(&published))), time).unwrap();
        Self { published, key, auth, now_s }
    }

    pub(crate) fn set_time(&self, now_s: u64) {
        self.now_s.store(now_s, Ordering::Relaxed);
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.now_s.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The answer to a request with this token, from a source of its own, so that failures do not add up.
    pub(crate) async fn ask(&self, token: &str) -> Result<Authenticated, AuthError> {
        static SOURCES: AtomicU64 = AtomicU64::new(0);
        let source = SOURCES.fetch_add(1, Ordering::Relaxed);
        self.ask_from(token, IpAddr::from((u128::from(source) << 64).to_be_bytes())).await
    }

    pub(crate) async fn ask_from(&self, token: &str, source: IpAddr) -> Result<Authenticated, AuthError> {
        self.auth.authenticate(&bearer(token), None, source).await
    }

    /// Status and step of a refusal.
    pub(crate) async fn refusal(&self, token: &str) -> Result<String, (u16, AuthStep)> {
        let result = self.ask(token).await;
        result
            .map(|holder| holder.principal.to_string())
            .map_err(|error| (error.failure.status(), error.step))
    }
}

/// The issuer of [`World`], as it is configured.
pub(crate) fn issuer() -> IssuerText {
    IssuerText::new("corp", ISSUER, vec![AUDIENCE.to_owned()])
}

/// Claims of a good token of a person.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "client_id": "editor", "exp": NOW + 300, "iat": NOW,
        "jti": "t-1", "scope": "tools:read tools:write", "groups": ["staff", "finance"],
    })
}

/// These claims with some replaced; `null` takes one away.
pub(crate) fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

pub(crate) fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

/// The row of a new key, good for 30 days.
pub(crate) fn row(key: &NewApiKey) -> ApiKeyRow {
    ApiKeyRow {
        id: key.id.clone(),
        hash: key.hash,
        name: "ci".to_owned(),
        tenant: Tenant::default(),
        groups: BTreeSet::from(["build".to_owned()]),
        scopes: BTreeSet::from(["tools:read".to_owned()]),
        tools: None,
        from: Vec::new(),
        not_after: UNIX_EPOCH + Duration::from_secs(NOW + 30 * 86_400),
        created_by: "olga".to_owned(),
        revoked: None,
    }
}

pub(crate) fn keys(rows: Vec<ApiKeyRow>) -> ApiKeys {
    ApiKeys::new(rows, UNIX_EPOCH + Duration::from_secs(NOW), Duration::from_secs(90 * 86_400)).unwrap()
}

/// A holder made up.
pub(crate) fn authenticated() -> Authenticated {
    authenticated_in(BTreeSet::new())
}

/// The same with these groups.
pub(crate) fn authenticated_in(groups: BTreeSet<String>) -> Authenticated {
    let identity = CallerIdentity {
        kind: IdentityKind::User,
        issuer: "corp".to_owned(),
        subject: "alice".to_owned(),
        client: None,
        tenant: Tenant::default(),
        groups,
        scopes: BTreeSet::new(),
        actors: Vec::new(),
        tools: None,
    };
    let credential = CredentialId {
        hash: String::new(),
        issuer: "corp".to_owned(),
        key_id: None,
        token_id: None,
        other_audiences: 0,
    };
    let issuer = Arc::new(IssuerSpec::new(issuer()).unwrap());
    let key = toolgate_policy::Digest::of(b"key");
    let of = ProofKind::Token { issuer, key };
    Authenticated {
        principal: principal(identity),
        expires_at: UNIX_EPOCH,
        credential: Arc::new(credential),
        proof: Proof { hierarchy: Arc::new(ScopeHierarchy::default()), of },
    }
}
