//! Who we are to a registry: credentials from docker's configuration, and the tokens that a registry's service gives for
//! them. Credentials go to the host they are kept for and to no other; a program that keeps them is not started.

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::WWW_AUTHENTICATE;
use rustix::fs::OFlags;
use toolgate_policy::limits::load::{CONFIG_BYTES_MAX, TOKEN_BYTES_MAX};
use toolgate_policy::load::errand::{Errand, Follow};
use toolgate_policy::load::reference::Reference;
use zeroize::Zeroizing;

use super::{Client, NotArrived};
use crate::artifact::Artifact;
use crate::egress::errand::Parcel;
use crate::json::{Bounds, Json};
use crate::secret::Secret;

/// What may be done in a repository.
#[derive(Debug, Clone, Copy)]
pub(super) enum Actions {
    /// Fetching.
    Pull,
    /// Storing as well.
    Push,
}

/// How a registry wants to be told who asks.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    /// By name and password (RFC 7617).
    Basic,
    /// By a token that is got elsewhere (RFC 6750).
    Bearer { realm: String, service: Option<String> },
}

/// Asks the registry whether it wants to know who asks, and gets what it wants: the value of `Authorization`, or nothing.
pub(super) async fn log_in(
    client: &Client<'_>,
    reference: &Reference,
    actions: Actions,
) -> Result<Option<Secret>, NotArrived> {
    let home = reference.home();
    let (status, headers) = client.head(home, &Parcel::default()).await?;
    if status != http::StatusCode::UNAUTHORIZED {
        return Ok(None);
    }
    let failed = |why: &str| NotArrived::Login(home.target().authority(), why.to_owned());
    let wanted = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| challenge(value.to_str().ok()?));
    // A token is asked for this repository alone; a password opens them all.
    let wanted = wanted.max_by_key(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    match wanted.ok_or_else(|| failed("it wants neither a password nor a token"))? {
        Challenge::Basic => {
            let kept = kept_for(home, client.remote.docker.as_deref())?;
            kept.map(Some).ok_or_else(|| failed("it wants a password; run `docker login` for it"))
        }
        Challenge::Bearer { realm, service } => {
            let actions = match actions {
                Actions::Pull => "pull",
                Actions::Push => "pull,push",
            };
            let mut url = format!(
                "{realm}{}scope={}",
                if realm.contains('?') { '&' } else { '?' },
                percent(&format!("repository:{}:{actions}", reference.repository()))
            );
            if let Some(service) = service {
                url.push_str(&format!("&service={}", percent(&service)));
            }
            let errand = home.service(&url)?;
            let kept = match serves(&errand.target().host().to_string(), &home.target().host().to_string()) {
                true => kept_for(&errand, client.remote.docker.as_deref())?,
                false => None,
            };
            let parcel = Parcel { authorization: kept.as_ref(), ..Parcel::default() };
            let arrived = client.fetch(&errand, &parcel, Follow::Home, TOKEN_BYTES_MAX).await?;
            token(&arrived.bytes)
                .map(Some)
                .ok_or_else(|| failed("its service gave no token that can be used"))
        }
    }
}

/// Whether a token service is the registry's own. To another one we are nobody: its token, got with what is kept for it, would
/// go to a registry that only named it.
fn serves(service: &str, registry: &str) -> bool {
    let above = registry.strip_suffix(service).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    above || (service, registry) == ("auth.docker.io", "registry-1.docker.io")
}

fn token(answer: &[u8]) -> Option<Secret> {
    let json = Json::parse(answer, bounds(TOKEN_BYTES_MAX)).ok()?;
    let token = json.get("token").or_else(|| json.get("access_token"))?.as_str()?;
    Secret::new(&format!("Bearer {token}")).ok()
}

/// The credentials that docker's configuration keeps for the host of an errand.
fn kept_for(errand: &Errand, docker: Option<&Path>) -> Result<Option<Secret>, NotArrived> {
    let host = errand.target().authority();
    let Some(path) = docker else { return Ok(None) };
    let failed = |why: String| NotArrived::Login(host.clone(), format!("{}: {why}", path.display()));
    let Some(text) = read(path).map_err(failed)? else { return Ok(None) };
    find(&text, &host).map_err(failed)
}

/// Docker's configuration; nothing if there is none.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be opened: {error}")),
    };
    let metadata = file.metadata().map_err(|error| format!("it cannot be looked at: {error}"))?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.mode() & 0o027 != 0 {
        return Err("others can read it or write to it; run `chmod 600` on it".to_owned());
    }
    let read = Artifact::read(file, CONFIG_BYTES_MAX).map_err(|error| error.to_string())?;
    Ok(Some(Zeroizing::new(read.bytes().to_vec())))
}

fn find(text: &[u8], host: &str) -> Result<Option<Secret>, String> {
    let json = Json::parse(text, bounds(CONFIG_BYTES_MAX)).map_err(|error| error.to_string())?;
    let members = |key: &str| match json.get(key) {
        Some(Json::Object(members)) => members.as_slice(),
        _ => &[],
    };
    let entry = members("auths").iter().find(|(key, _)| is_for(key, host)).map(|(_, entry)| entry);
    let text = |key: &str| entry?.get(key)?.as_str().filter(|text| !text.is_empty());
    if let Some(auth) = text("auth") {
        let plain = STANDARD.decode(auth).map(Zeroizing::new).map_err(|_| "its `auth` is no base64")?;
        if !plain.contains(&b':') {
            return Err("its `auth` is no name and password".to_owned());
        }
        return Secret::new(&format!("Basic {auth}")).map(Some).map_err(|error| error.to_string());
    }
    if let (Some(name), Some(password)) = (text("username"), text("password")) {
        let auth = STANDARD.encode(Zeroizing::new(format!("{name}:{password}")).as_bytes());
        return Secret::new(&format!("Basic {auth}")).map(Some).map_err(|error| error.to_string());
    }
    if text("identitytoken").is_some() {
        return Err("it has an identity token, which Toolgate does not exchange; log in with a name and a password or access token".to_owned());
    }
    let helper = members("credHelpers").iter().find(|(key, _)| is_for(key, host));
    let store = json.get("credsStore").filter(|_| entry.is_some());
    match helper.map(|(_, program)| program).or(store).and_then(Json::as_str) {
        Some(program) => Err(format!(
            "it leaves the credentials of {host} to the program docker-credential-{program}, and Toolgate starts no such program; \
             write them under `auths` of a file of their own and name its folder in DOCKER_CONFIG"
        )),
        None => Ok(None),
    }
}

/// Docker writes a host as such, or as a URL; its own registry by a name that nobody asks.
fn is_for(key: &str, host: &str) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.split('/').next().unwrap_or(key);
    let key = key.strip_suffix(":443").unwrap_or(key);
    key == host || (key == "index.docker.io" && host == "auth.docker.io")
}

fn challenge(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameter = |wanted: &str| {
        let mut rest = rest;
        loop {
            let (name, tail) = rest.split_once("=\"")?;
            let (value, tail) = tail.split_once('"')?;
            if name.trim_start_matches([',', ' ']).eq_ignore_ascii_case(wanted) {
                return Some(value.to_owned());
            }
            rest = tail;
        }
    };
    Some(Challenge::Bearer { realm: parameter("realm")?, service: parameter("service") })
}

/// RFC 3986 §2.1, with everything but unreserved characters encoded.
fn percent(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn bounds(bytes_max: u64) -> Bounds {
    Bounds {
        bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        depth_max: 8,
        nodes_max: toolgate_policy::limits::load::MANIFEST_NODES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": { "auth": "aHViOnNlY3JldA==" },
            "ghcr.io": { "username": "me", "password": "secret" },
            "token.example.com": { "identitytoken": "x" },
            "stored.example.com": {},
            "bad.example.com": { "auth": "bm9uZQ==" }
        },
        "credsStore": "desktop",
        "credHelpers": { "helped.example.com": "ecr-login" }
    }"#;

    fn of(host: &str) -> Result<Option<String>, String> {
        Ok(find(CONFIG.as_bytes(), host)?.map(|secret| secret.open().to_owned()))
    }

    #[test]
    fn credentials_are_found_for_their_own_host_alone() {
        assert_eq!(of("ghcr.io"), Ok(Some("Basic bWU6c2VjcmV0".to_owned())));
        assert_eq!(of("auth.docker.io"), Ok(Some("Basic aHViOnNlY3JldA==".to_owned())));
        for other in ["registry-1.docker.io", "ghcr.io.example.com", "ghcr.io:5000", "io", ""] {
            assert_eq!(of(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn what_a_program_keeps_or_what_is_not_understood_is_said() {
        assert!(of("stored.example.com").unwrap_err().contains("docker-credential-desktop"));
        assert!(of("helped.example.com").unwrap_err().contains("docker-credential-ecr-login"));
        assert!(of("token.example.com").unwrap_err().contains("identity token"));
        assert!(of("bad.example.com").is_err());
    }

    #[test]
    fn a_registry_gets_no_token_of_a_service_that_is_not_its_own() {
        assert!(serves("ghcr.io", "ghcr.io") && serves("gitlab.com", "registry.gitlab.com"));
        assert!(serves("auth.docker.io", "registry-1.docker.io"));
        for other in ["evil.example.com", "evilghcr.io", "ghcr.io.example.com", "io"] {
            assert!(!serves("ghcr.io", other), "{other}");
        }
    }

    #[test]
    fn a_challenge_is_read_and_anything_else_is_none() {
        let bearer = r#"Bearer realm="https://auth.example.com/token",service="a,b=c",scope="x""#;
        let realm = "https://auth.example.com/token".to_owned();
        assert_eq!(challenge(bearer), Some(Challenge::Bearer { realm, service: Some("a,b=c".to_owned()) }));
        assert_eq!(challenge(r#"BASIC realm="x""#), Some(Challenge::Basic));
        for other in ["", "Bearer", "Bearer realm=x", "Digest realm=\"x\"", "Bearer service=\"x\""] {
            assert_eq!(challenge(other), None, "{other}");
        }
    }
}
