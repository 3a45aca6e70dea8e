//! Identity providers as data: where their access tokens have client, scopes and groups, how an access token differs from
//! their other tokens, and how a program differs from a person.
//!
//! | profile | `typ` | marker in the payload | client | scopes | a program, not a person, if |
//! |---|---|---|---|---|---|
//! | `rfc9068` | `at+jwt` | – | `client_id` | `scope` | `sub` is the client |
//! | `entra` | any of the usual | `scp` or `roles` | `azp` | `scp` | `idtyp` is `app`, or there is no `scp` |
//! | `keycloak` | the same | `typ` is `Bearer` | `azp` | `scope` | the user is the client's service account |
//! | `okta` | the same | – | `cid` | `scp` | there is no `uid` |
//! | `auth0` | the same | – | `azp`, `client_id` | `scope` | `gty` is `client-credentials`, or `sub` is `CLIENT@clients` |
//! | `cognito` | the same | `token_use` is `access` | `client_id` | `scope` | there is no `username` |
//! | `generic` | the same | – | `client_id`, `azp`, `cid` | `scope`, `scp` | `sub` is the client |
//!
//! Whatever the profile, `sub` equal to the client is a program (RFC 9068 §5), and a token that names no client is refused,
//! since it could be either.

use super::claims::TokenClaims;
use super::explain::{AuthError, AuthStep};

/// Identity provider whose tokens have a form of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Profile {
    /// JWT profile for access tokens.
    #[default]
    Rfc9068,
    /// Microsoft Entra ID, tokens of version 2.
    Entra,
    /// Keycloak.
    Keycloak,
    /// Okta with a custom authorization server.
    Okta,
    /// Auth0.
    Auth0,
    /// Amazon Cognito.
    Cognito,
    /// Any other.
    Generic,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Rfc9068, Self::Entra, Self::Keycloak, Self::Okta, Self::Auth0, Self::Cognito, Self::Generic];

    /// Name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rfc9068 => "rfc9068",
            Self::Entra => "entra",
            Self::Keycloak => "keycloak",
            Self::Okta => "okta",
            Self::Auth0 => "auth0",
            Self::Cognito => "cognito",
            Self::Generic => "generic",
        }
    }

    /// The profile of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Path of the groups, if the configuration names none.
    pub fn groups(self) -> &'static str {
        match self {
            Self::Cognito => "cognito:groups",
            Self::Rfc9068 | Self::Entra | Self::Keycloak | Self::Okta | Self::Auth0 | Self::Generic => {
                "groups"
            }
        }
    }

    /// Claims that name the client; the first that is there counts.
    pub(crate) fn client_claims(self) -> &'static [&'static str] {
        match self {
            Self::Rfc9068 | Self::Cognito => &["client_id"],
            Self::Entra | Self::Keycloak => &["azp"],
            Self::Okta => &["cid"],
            Self::Auth0 => &["azp", "client_id"],
            Self::Generic => &["client_id", "azp", "cid"],
        }
    }

    /// Claims with scopes; the first that is there counts.
    pub(crate) fn scope_claims(self) -> &'static [&'static str] {
        match self {
            Self::Rfc9068 | Self::Keycloak | Self::Auth0 | Self::Cognito => &["scope"],
            Self::Entra | Self::Okta => &["scp"],
            Self::Generic => &["scope", "scp"],
        }
    }

    /// Checks that it is an access token: by `typ` of the header and, where that does not say it, by what only other tokens
    /// have (RFC 9068 §4, RFC 8725 §3.11). Returns what was found.
    pub(crate) fn check_type(
        self,
        media_type: Option<&str>,
        claims: &TokenClaims,
    ) -> Result<String, AuthError> {
        let is = |name: &str| media_type.is_some_and(|found| found.eq_ignore_ascii_case(name));
        let is_access = is("at+jwt") || is("application/at+jwt");
        let shown = media_type.unwrap_or("absent");
        if self == Self::Rfc9068 {
            return if is_access {
                Ok(format!("typ {shown}"))
            } else {
                Err(other_token(format!("`typ` in the header is {shown}, and must be at+jwt")).with_remedy(
                    "set the issuer's `profile` to its identity provider, or let it issue access tokens by RFC 9068",
                ))
            };
        }
        if !(is_access || media_type.is_none() || is("JWT")) {
            return Err(other_token(format!("`typ` in the header is {shown}: another kind of token")));
        }
        // Of an ID token, and of a logout token.
        for name in ["nonce", "at_hash", "c_hash", "events"] {
            if claims.has(name) {
                return Err(other_token(format!("it has `{name}`, as ID tokens and logout tokens have"))
                    .with_remedy("send the access token; in Keycloak before 25, remove the mapper `nonce`"));
            }
        }
        self.check_marker(claims)?;
        Ok(format!("typ {shown}, nothing of an ID token"))
    }

    /// Checks the provider's own mark of access tokens.
    fn check_marker(self, claims: &TokenClaims) -> Result<(), AuthError> {
        let must_be = |name: &str, wanted: &str| match claims.text(AuthStep::TokenType, name)? {
            Some(found) if found == wanted => Ok(()),
            found => {
                let found = found.unwrap_or("absent");
                Err(other_token(format!("`{name}` is {found}, and must be {wanted}"))
                    .with_remedy("send the access token, not an ID token or a refresh token"))
            }
        };
        match self {
            Self::Keycloak => must_be("typ", "Bearer"),
            Self::Cognito => must_be("token_use", "access"),
            Self::Entra if !claims.has("scp") && !claims.has("roles") => {
                Err(other_token("it has neither `scp` nor `roles`".to_owned())
                    .with_remedy("expose a scope or an app role of this server in Entra, and ask for it"))
            }
            Self::Rfc9068 | Self::Entra | Self::Okta | Self::Auth0 | Self::Generic => Ok(()),
        }
    }

    /// Whether a token speaks for a program rather than for a person.
    pub(crate) fn is_service(
        self,
        claims: &TokenClaims,
        subject: &str,
        client: &str,
    ) -> Result<bool, AuthError> {
        let text = |name: &str| claims.text(AuthStep::Identity, name);
        let by_provider = match self {
            Self::Rfc9068 | Self::Generic => false,
            Self::Entra => text("idtyp")? == Some("app") || !claims.has("scp"),
            Self::Keycloak => {
                // Keycloak gives user names in lower case. A service account has no session.
                let account = format!("service-account-{}", client.to_lowercase());
                text("preferred_username")? == Some(account.as_str()) && text("sid")?.is_none()
            }
            Self::Okta => text("uid")?.is_none(),
            Self::Auth0 => {
                text("gty")? == Some("client-credentials") || subject.strip_suffix("@clients") == Some(client)
            }
            Self::Cognito => text("username")?.is_none(),
        };
        Ok(by_provider || subject == client)
    }
}

fn other_token(detail: String) -> AuthError {
    AuthError::invalid(AuthStep::TokenType, "token-type", detail)
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
