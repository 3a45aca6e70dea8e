//! Refusals of credentials, and the steps that lead there: one code path for answering a client and for explaining to an
//! operator. Nothing here holds a byte of a token.

use toolgate_policy::limits::auth::ISSUER_RETRY_AFTER_S;
use toolgate_policy::redact::printable;

/// Stages of authentication, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthStep {
    /// One credential, in the right place and of a known form.
    Presentation,
    /// Too many failed attempts before this one.
    Flood,
    /// Header and payload of a token are readable.
    Form,
    /// The header has nothing but what is understood.
    Header,
    /// The issuer is configured.
    Issuer,
    /// The algorithm is allowed for the issuer.
    Algorithm,
    /// It is an access token.
    TokenType,
    /// The issuer has a key for it.
    Key,
    /// The signature is genuine.
    Signature,
    /// It is for this server.
    Audience,
    /// It is valid now.
    Time,
    /// It names subject, client, scopes and groups.
    Identity,
    /// It is not bound to something that is not presented.
    Confirmation,
    /// It belongs to a tenant.
    Tenant,
    /// The API key is known and valid.
    ApiKey,
}

/// Kinds of refusals, by what a client is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthFailure {
    /// No credentials: 401 without an error code (RFC 6750 §3.1).
    NoCredentials,
    /// Two credentials, or one in the wrong place: 400.
    InvalidRequest,
    /// 401. All refusals of a credential look like this one but the next.
    InvalidToken,
    /// 401, and the client may refresh.
    Expired,
    /// 503: the issuer's keys are not to be had.
    Unavailable,
    /// 429: too many failures of this source.
    TooMany {
        /// Seconds until the next attempt counts.
        retry_after_s: u64,
    },
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", .step.name())]
pub struct AuthError {
    /// Kind, by what a client is answered.
    pub failure: AuthFailure,
    /// The step that failed.
    pub step: AuthStep,
    /// One word for the record.
    pub reason: &'static str,
    /// Explanation for operators, printable; never for clients, never with a token.
    pub detail: String,
    /// Remedy for operators, where there is one.
    pub remedy: Option<String>,
    /// The configured issuer that was chosen.
    pub issuer: Option<String>,
    /// Whether it is the first failure of its source in a minute: the others are not recorded.
    pub is_first: bool,
}

/// Steps that were passed, each with what was found. Collected only where somebody asks for it.
#[derive(Debug, Default)]
pub struct StepLog {
    found: Option<Vec<(AuthStep, String)>>,
}

impl AuthStep {
    /// Name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Presentation => "presentation",
            Self::Flood => "flood",
            Self::Form => "form",
            Self::Header => "header",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::TokenType => "token type",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Time => "time",
            Self::Identity => "identity",
            Self::Confirmation => "confirmation",
            Self::Tenant => "tenant",
            Self::ApiKey => "API key",
        }
    }
}

impl AuthFailure {
    /// HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::NoCredentials | Self::InvalidToken | Self::Expired => 401,
            Self::InvalidRequest => 400,
            Self::Unavailable => 503,
            Self::TooMany { .. } => 429,
        }
    }

    /// Error code of RFC 6750 §3.1, where there is one.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken | Self::Expired => Some("invalid_token"),
            Self::NoCredentials | Self::Unavailable | Self::TooMany { .. } => None,
        }
    }

    /// The text that a client gets. It tells apart only what a client can act upon.
    pub fn public_text(self) -> &'static str {
        match self {
            Self::NoCredentials => "send an access token or an API key",
            Self::InvalidRequest => "send exactly one credential, in the Authorization header",
            Self::InvalidToken => "the token is not valid here",
            Self::Expired => "the token has expired",
            Self::Unavailable => "the token cannot be checked now; try again later",
            Self::TooMany { .. } => "too many failed attempts; try again later",
        }
    }

    /// Seconds after which a client should try again.
    pub fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::Unavailable => Some(ISSUER_RETRY_AFTER_S),
            Self::TooMany { retry_after_s } => Some(retry_after_s),
            Self::NoCredentials | Self::InvalidRequest | Self::InvalidToken | Self::Expired => None,
        }
    }

    /// Whether it counts to the failures of its source: a credential was presented and is not good.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::InvalidToken | Self::Expired | Self::InvalidRequest)
    }
}

impl AuthError {
    /// A credential that is not valid here.
    pub(crate) fn invalid(step: AuthStep, reason: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(AuthFailure::InvalidToken, step, reason, detail)
    }

    /// Any refusal. The detail may quote claims, so it is made printable and short.
    pub(crate) fn new(
        failure: AuthFailure,
        step: AuthStep,
        reason: &'static str,
        detail: impl AsRef<str>,
    ) -> Self {
        let detail = printable(detail.as_ref(), DETAIL_CHARS_MAX);
        Self { failure, step, reason, detail, remedy: None, issuer: None, is_first: false }
    }

    /// The same with a remedy.
    pub(crate) fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

impl StepLog {
    /// Collects nothing.
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// Collects each step.
    pub(crate) fn on() -> Self {
        Self { found: Some(Vec::new()) }
    }

    /// Notes that a step was passed, and what was found.
    pub(crate) fn pass(&mut self, step: AuthStep, found: impl FnOnce() -> String) {
        if let Some(all) = &mut self.found {
            all.push((step, printable(&found(), DETAIL_CHARS_MAX)));
        }
    }

    /// All that was noted.
    pub(crate) fn into_steps(self) -> Vec<(AuthStep, String)> {
        self.found.unwrap_or_default()
    }
}

/// Characters of an explanation.
const DETAIL_CHARS_MAX: usize = 600;
