//! Registry authentication: stored credentials, or a token obtained for them. Policy decides which token service
//! receives credentials. A token is sent only to the registry that asked for it.

use http::header::WWW_AUTHENTICATE;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::secret::Secret;
use toolgate_policy::limits::load::{MANIFEST_NODES_MAX, TOKEN_BYTES_MAX};
use toolgate_policy::limits::size;
use toolgate_policy::load::challenge::{self, Challenge};
use toolgate_policy::load::fetch::{FetchPermit, FetchPermitError, Follow};
use toolgate_policy::load::reference::Reference;

use super::{Client, FetchError, docker};
use crate::egress::fetch::RequestParts;

/// Access requested for a repository, as the scope of a token names it.
pub(super) const PULL: &str = "pull";
pub(super) const PUSH: &str = "pull,push";

#[derive(Default)]
pub(super) struct Login {
    /// Value of `Authorization`; `None` if the registry requires none.
    pub(super) authorization: Option<Secret>,
    /// Advice for the case that the registry refuses an anonymous token.
    pub(super) advice: Option<String>,
}

/// Authenticates if the registry asks for it.
pub(super) async fn log_in(
    client: &Client<'_>,
    reference: &Reference,
    actions: &str,
) -> Result<Login, FetchError> {
    let home = reference.home();
    let (status, headers) = client.head(home, &RequestParts::default()).await?;
    if status != http::StatusCode::UNAUTHORIZED {
        return Ok(Login::default());
    }
    let failed = |why: &str| FetchError::Login(home.target().authority(), why.to_owned());
    let asked = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let asked: Vec<Challenge> = asked.flat_map(challenge::read).collect();
    let mut services = services(client, reference, actions, &asked);
    // A token grants this repository, a password all of them: it is sent only if no token service may receive it.
    services.sort_by_key(|service| match service {
        Ok(service) if service.takes_credentials() => 0,
        Ok(_) => 1,
        Err(_) => 2,
    });
    let first = services.first().and_then(|first| first.as_ref().ok());
    let may_exchange = first.is_some_and(FetchPermit::takes_credentials);
    if asked.contains(&Challenge::Basic) && !may_exchange {
        match (stored_credentials(client, reference)?, services.is_empty()) {
            (Some(stored), _) => return Ok(Login { authorization: Some(stored), advice: None }),
            (None, true) => return Err(failed("it wants a password; run `docker login` for it")),
            (None, false) => {}
        }
    }
    let service = services.into_iter().next();
    let service = service.ok_or_else(|| failed("it wants neither a password nor a token"))??;
    let stored = if service.takes_credentials() { stored_credentials(client, reference)? } else { None };
    let request_parts = RequestParts { authorization: stored.as_ref(), ..RequestParts::default() };
    let arrived = client.fetch(&service, &request_parts, Follow::Never, TOKEN_BYTES_MAX).await?;
    let token = token(&arrived.bytes).ok_or_else(|| failed("its service gave no token that can be used"))?;
    Ok(Login { authorization: Some(token), advice: advice(&service, reference) })
}

/// Token requests for the services that the registry named, in its order.
fn services(
    client: &Client<'_>,
    reference: &Reference,
    actions: &str,
    asked: &[Challenge],
) -> Vec<Result<FetchPermit, FetchPermitError>> {
    let scope = format!("repository:{}:{actions}", reference.repository());
    let named = client.remote.tokens.as_ref();
    let service = |challenge: &Challenge| match challenge {
        Challenge::Basic => None,
        Challenge::Bearer { realm, service } => {
            Some(reference.home().for_token(realm, service.as_deref(), named, &scope))
        }
    };
    asked.iter().filter_map(service).collect()
}

fn stored_credentials(client: &Client<'_>, reference: &Reference) -> Result<Option<Secret>, FetchError> {
    let Some(path) = client.remote.docker.as_deref() else { return Ok(None) };
    let registry = reference.home().target();
    docker::credentials(path, registry, reference.repository())
        .map_err(|why| FetchError::Login(registry.authority(), why))
}

/// Advice for giving a token service the credentials that it did not receive.
fn advice(service: &FetchPermit, reference: &Reference) -> Option<String> {
    let realm = service.target().without_query().url();
    let registry = reference.home().target().authority();
    (!service.takes_credentials()).then(|| {
        format!(
            "its token came from {realm}, which is not told the credentials of {registry}; if it is to be, write \
             source_realm = \"{realm}\" or `--realm {realm}`"
        )
    })
}

fn token(answer: &[u8]) -> Option<Secret> {
    let bounds = JsonLimits { bytes_max: size(TOKEN_BYTES_MAX), depth_max: 8, nodes_max: MANIFEST_NODES_MAX };
    let json = Json::parse(answer, bounds).ok()?;
    let token = json.get("token").or_else(|| json.get("access_token"))?.as_str()?;
    Secret::new(&format!("Bearer {token}")).ok()
}
