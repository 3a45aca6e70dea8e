//! Identity from the claims of a verified token: client, kind, scopes, groups, actors, tenant.

use std::collections::BTreeSet;

use toolgate_base::json::Json;
use toolgate_policy::limits::auth::{ACTORS_MAX, GROUPS_MAX, SCOPES_MAX};
use toolgate_policy::principal::{CallerIdentity, IdentityKind, Tenant};

use super::claims::{TokenClaims, checked_name, strings, wrong};
use super::explain::{AuthError, AuthStep, StepLog};
use super::issuer::{IssuerSpec, TenantRule};
use super::scope::{ScopeHierarchy, is_scope};

const STEP: AuthStep = AuthStep::Identity;

/// The client, by the issuer's profile.
pub(crate) fn client<'c>(claims: &'c TokenClaims, issuer: &IssuerSpec) -> Result<Option<&'c str>, AuthError> {
    let names = issuer.text().profile.client_claims();
    match names.iter().find(|name| claims.has(name)) {
        Some(name) => claims.name(STEP, name),
        None => Ok(None),
    }
}

/// Reads an identity.
pub(crate) fn read(
    claims: &TokenClaims,
    issuer: &IssuerSpec,
    hierarchy: &ScopeHierarchy,
    log: &mut StepLog,
) -> Result<CallerIdentity, AuthError> {
    let profile = issuer.text().profile;
    let subject = claims.name(STEP, "sub")?.ok_or_else(|| {
        refuse("there is no `sub`").with_remedy("let the issuer put `sub` into access tokens")
    })?;
    let client = client(claims, issuer)?.ok_or_else(|| {
        let names = profile.client_claims().join("`, `");
        refuse(format!("no claim names the client (`{names}`)")).with_remedy(
            "without a client, programs and persons cannot be told apart; set the issuer's `profile`",
        )
    })?;
    let is_service = profile.is_service(claims, subject, client)?;
    let scopes = hierarchy.close(scopes(claims, issuer)?);
    let groups = groups(claims, issuer)?;
    let actors = actors(claims)?;
    let kind = if is_service { IdentityKind::Service } else { IdentityKind::User };
    log.pass(STEP, || {
        format!(
            "{kind:?} `{subject}`, client `{client}`, scopes {scopes:?}, {} groups in `{}`, {} actors",
            groups.len(),
            issuer.groups(),
            actors.len()
        )
    });
    check_unbound(claims)?;
    log.pass(AuthStep::Confirmation, || "it is bound to nothing".to_owned());
    let tenant = tenant(claims, issuer)?;
    log.pass(AuthStep::Tenant, || tenant.to_string());
    Ok(CallerIdentity {
        kind,
        issuer: issuer.id().to_owned(),
        subject: subject.to_owned(),
        client: Some(client.to_owned()),
        tenant,
        groups,
        scopes,
        actors,
        tools: None,
    })
}

fn scopes(claims: &TokenClaims, issuer: &IssuerSpec) -> Result<BTreeSet<String>, AuthError> {
    let names = issuer.text().profile.scope_claims();
    let Some((name, value)) = names.iter().find_map(|name| Some((*name, claims.get(name)?))) else {
        return Ok(BTreeSet::new());
    };
    let scopes: Vec<&str> = match value {
        Json::String(text) => text.split(' ').filter(|scope| !scope.is_empty()).collect(),
        // RFC 9068 §2.2.3 has a text; only `scp` comes as a list.
        Json::Array(_) if name == "scp" => strings(STEP, name, value)?,
        other => return Err(wrong(STEP, name, other, "a string of scopes")),
    };
    if scopes.len() > SCOPES_MAX {
        return Err(refuse(format!("`{name}` has more than {SCOPES_MAX} scopes")));
    }
    if !scopes.iter().all(|scope| is_scope(scope)) {
        return Err(refuse(format!("`{name}` has a text that is not a scope (RFC 6749 §3.3)")));
    }
    Ok(scopes.into_iter().map(str::to_owned).collect())
}

fn groups(claims: &TokenClaims, issuer: &IssuerSpec) -> Result<BTreeSet<String>, AuthError> {
    let path = issuer.groups();
    // Entra leaves out the groups of who has many, and says where to ask. Without them a rule that forbids would not apply.
    let is_elsewhere = match claims.get("_claim_names") {
        None => false,
        Some(names @ Json::Object(_)) => names.get(path.first()).is_some() || names.get("groups").is_some(),
        Some(other) => return Err(wrong(STEP, "_claim_names", other, "an object")),
    };
    if is_elsewhere || claims.has("hasgroups") {
        return Err(AuthError::invalid(
            STEP,
            "group-overage",
            "the groups were too many and are not in the token",
        )
        .with_remedy(
            "in Entra, set the groups claim to \"groups assigned to the application\", or use app roles",
        ));
    }
    let Some(value) = claims.at(path)? else { return Ok(BTreeSet::new()) };
    let names = strings(STEP, &path.to_string(), value)?;
    if names.len() > GROUPS_MAX {
        return Err(AuthError::invalid(
            STEP,
            "group-overage",
            format!("it has more than {GROUPS_MAX} groups"),
        )
        .with_remedy("let the issuer put only the groups of this server into its tokens"));
    }
    let group = |name: &str| Ok(format!("{}/{}", issuer.id(), checked_name(STEP, "groups", name)?));
    names.into_iter().map(group).collect()
}

/// Actors, the present one first. They give no rights.
fn actors(claims: &TokenClaims) -> Result<Vec<String>, AuthError> {
    let mut actors = Vec::new();
    let mut here = claims.get("act");
    while let Some(actor) = here {
        if !matches!(actor, Json::Object(_)) {
            return Err(wrong(STEP, "act", actor, "an object"));
        }
        if actors.len() >= ACTORS_MAX {
            return Err(refuse(format!("`act` nests more than {ACTORS_MAX} actors")));
        }
        match actor.get("sub") {
            Some(Json::String(name)) => actors.push(checked_name(STEP, "act", name)?.to_owned()),
            Some(other) => return Err(wrong(STEP, "act", other, "an object whose `sub` is a string")),
            None => return Err(refuse("an actor in `act` has no `sub`")),
        }
        here = actor.get("act");
    }
    Ok(actors)
}

/// Refuses a token that is bound to a key or a certificate (RFC 7800): a thief could present it without them.
fn check_unbound(claims: &TokenClaims) -> Result<(), AuthError> {
    if claims.has("cnf") {
        let detail = "it is bound to a key or a certificate (`cnf`), which is not checked here";
        return Err(AuthError::invalid(AuthStep::Confirmation, "bound", detail)
            .with_remedy("let the issuer give out tokens without DPoP and mutual TLS for this server"));
    }
    Ok(())
}

fn tenant(claims: &TokenClaims, issuer: &IssuerSpec) -> Result<Tenant, AuthError> {
    let (claim, tenants) = match &issuer.text().tenant {
        TenantRule::Fixed(tenant) => return Ok(tenant.clone()),
        TenantRule::Claim { claim, tenants } => (claim, tenants),
    };
    let refuse = |detail: String| AuthError::invalid(AuthStep::Tenant, "tenant", detail);
    let value =
        claims.text(AuthStep::Tenant, claim)?.ok_or_else(|| refuse(format!("there is no `{claim}`")))?;
    tenants.get(value).cloned().ok_or_else(|| {
        refuse(format!("`{claim}` is `{value}`, which is not in `tenants`"))
            .with_remedy("add it to the issuer's `tenants`, if it is one of yours")
    })
}

fn refuse(detail: impl AsRef<str>) -> AuthError {
    AuthError::invalid(STEP, "claims", detail)
}
