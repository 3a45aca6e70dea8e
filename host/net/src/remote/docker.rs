//! Docker's configuration file with registry credentials: `auths` by host, or by host and path for some repositories.
//! The longest matching path wins, as in docker and podman. Credential helpers are not started.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toolgate_base::artifact::Artifact;
use toolgate_base::file;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_base::secret::Secret;
use toolgate_policy::limits::load::{CONFIG_BYTES_MAX, MANIFEST_NODES_MAX};
use toolgate_policy::limits::size;
use toolgate_policy::redact::printable;
use toolgate_policy::request::RequestTarget;
use zeroize::Zeroizing;

/// Names of Docker Hub, whose credentials are stored under one of them and used for all.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Credentials for a repository, as the value of `Authorization`, if there are any. An error is a sentence with the
/// fault and its remedy.
pub(super) fn credentials(
    path: &Path,
    registry: &RequestTarget,
    repository: &str,
) -> Result<Option<Secret>, String> {
    let found = read(path).and_then(|text| text.map(|text| find(&text, registry, repository)).transpose());
    found.map(Option::flatten).map_err(|why| format!("{}: {why}", path.display()))
}

/// Text of the file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let file = match file::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be opened: {error}")),
    };
    let metadata = file.metadata().map_err(|error| format!("it cannot be looked at: {error}"))?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let us = rustix::process::geteuid().as_raw();
    check_access(metadata.mode(), metadata.uid(), us)?;
    let read = Artifact::read(file, CONFIG_BYTES_MAX).map_err(|error| error.to_string())?;
    Ok(Some(Zeroizing::new(read.bytes().to_vec())))
}

/// Checks that only this user and root can access a file with this mode and owner.
fn check_access(mode: u32, owner: u32, us: u32) -> Result<(), String> {
    const ROOT: u32 = 0;
    if mode & 0o077 != 0 {
        return Err("others can read it or write to it; run `chmod 600` on it".to_owned());
    }
    if owner != us && owner != ROOT {
        return Err(format!(
            "it belongs to user {owner}, who could change it, and this runs as user {us}; \
             name the folder of a file of your own in DOCKER_CONFIG"
        ));
    }
    Ok(())
}

fn find(text: &[u8], registry: &RequestTarget, repository: &str) -> Result<Option<Secret>, String> {
    let bounds =
        JsonLimits { bytes_max: size(CONFIG_BYTES_MAX), depth_max: 8, nodes_max: MANIFEST_NODES_MAX };
    let json = Json::parse(text, bounds).map_err(|error| error.to_string())?;
    let nearest = |key: &str| match json.get(key) {
        Some(Json::Object(members)) => nearest(members, registry, repository),
        _ => None,
    };
    let entry = nearest("auths");
    let text = |key: &str| entry?.get(key)?.as_str().filter(|text| !text.is_empty());
    if let Some(auth) = text("auth") {
        let plain = STANDARD.decode(auth).map(Zeroizing::new).map_err(|_| "its `auth` is not base64")?;
        if !plain.contains(&b':') {
            return Err("its `auth` is not a name and a password".to_owned());
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
    let store = json.get("credsStore").filter(|_| entry.is_some());
    match nearest("credHelpers").or(store).and_then(Json::as_str) {
        Some(program) => Err(format!(
            "it leaves the credentials of {} to the program docker-credential-{}, and Toolgate starts no such program; \
             write them under `auths` of a file of their own and name its folder in DOCKER_CONFIG",
            registry.authority(),
            printable(program, 60)
        )),
        None => Ok(None),
    }
}

/// The entry with the longest path that contains the repository; the first of two for one path.
fn nearest<'a>(
    members: &'a [(String, Json)],
    registry: &RequestTarget,
    repository: &str,
) -> Option<&'a Json> {
    let mut found: Option<(usize, &Json)> = None;
    for (key, entry) in members {
        let Some(path) = path_at(key, registry) else { continue };
        let holds = path.is_empty()
            || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if holds && found.is_none_or(|(length, _)| path.len() > length) {
            found = Some((path.len(), entry));
        }
    }
    found.map(|(_, entry)| entry)
}

/// Path of a key for this registry; empty for the whole registry (a host, or an API URL, as older versions of docker
/// wrote). A scheme or port in the key must match.
fn path_at<'a>(key: &'a str, registry: &RequestTarget) -> Option<&'a str> {
    let (scheme, rest) = match key.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, key),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let own = registry.scheme().to_string();
    let named = RequestTarget::parse("GET", scheme.unwrap_or(&own), authority, "/").ok()?;
    let name = |target: &RequestTarget| (target.scheme(), target.host().to_string(), target.port());
    let is_hub = |target: &RequestTarget| {
        target.port() == 443 && HUB.iter().any(|host| target.host().to_string() == *host)
    };
    if name(&named) != name(registry) && !(is_hub(&named) && is_hub(registry)) {
        return None;
    }
    let is_interface = matches!(path, "v1/" | "v2/") || (scheme.is_some() && matches!(path, "v1" | "v2"));
    Some(if is_interface { "" } else { path.trim_end_matches('/') })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": { "auth": "aHViOnNlY3JldA==" },
            "ghcr.io": { "username": "me", "password": "secret" },
            "ghcr.io/acme/tools": { "auth": "dG9vbHM6eA==" },
            "ghcr.io/acme": { "auth": "YWNtZTp4" },
            "other.example.com/team": { "auth": "dGVhbTp4" },
            "PORT.example.com.:5000": { "auth": "cG9ydDp4" },
            "http://clear.example.com": { "auth": "Y2xlYXI6eA==" },
            "https://old.example.com/v2": { "auth": "b2xkOng=" },
            "token.example.com": { "identitytoken": "x" },
            "stored.example.com": {},
            "bad.example.com": { "auth": "bm9uZQ==" }
        },
        "credsStore": "desktop",
        "credHelpers": { "helped.example.com": "ecr-login" }
    }"#;

    fn of(registry: &str, repository: &str) -> Result<Option<String>, String> {
        let registry = RequestTarget::from_url("GET", registry).unwrap();
        let found = find(CONFIG.as_bytes(), &registry, repository)?;
        let plain = |secret: Secret| {
            let encoded = secret.open().strip_prefix("Basic ").unwrap().to_owned();
            String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
        };
        Ok(found.map(plain))
    }

    fn credentials_of(user: &str) -> Result<Option<String>, String> {
        Ok(Some(user.to_owned()))
    }

    #[test]
    fn credentials_are_found_for_their_own_registry_alone() {
        assert_eq!(of("https://ghcr.io/v2/", "x"), credentials_of("me:secret"));
        for hub in ["registry-1.docker.io", "index.docker.io"] {
            assert_eq!(of(&format!("https://{hub}/v2/"), "library/x"), credentials_of("hub:secret"), "{hub}");
        }
        assert_eq!(of("https://port.example.com:5000/", "x"), credentials_of("port:x"));
        assert_eq!(of("https://old.example.com/", "x"), credentials_of("old:x"));
        for other in [
            "https://auth.docker.io/",
            "https://registry-1.docker.io:8443/",
            "https://ghcr.io.example.com/",
            "https://ghcr.io:5000/",
            "https://sub.ghcr.io/",
            "https://io/",
            "https://port.example.com/",
            "https://port.example.com:5001/",
            "https://clear.example.com/",
        ] {
            assert_eq!(of(other, "x"), Ok(None), "{other}");
        }
    }

    #[test]
    fn credentials_kept_for_a_path_are_for_the_repositories_in_it_and_the_longest_counts() {
        for (repository, user) in [
            ("acme/tools", "tools:x"),
            ("acme/tools/files", "tools:x"),
            ("acme/tools2", "acme:x"),
            ("acme", "acme:x"),
            ("acmecorp/tools", "me:secret"),
            ("other/acme/tools", "me:secret"),
        ] {
            assert_eq!(of("https://ghcr.io/v2/", repository), credentials_of(user), "{repository}");
        }
        assert_eq!(of("https://other.example.com/", "team/files"), credentials_of("team:x"));
        for repository in ["teams/files", "x", "files/team"] {
            assert_eq!(of("https://other.example.com/", repository), Ok(None), "{repository}");
        }
    }

    #[test]
    fn what_a_program_keeps_or_what_is_not_understood_is_said() {
        for (host, words) in [
            ("stored.example.com", "docker-credential-desktop"),
            ("helped.example.com", "docker-credential-ecr-login"),
            ("token.example.com", "identity token"),
            ("bad.example.com", "not a name"),
        ] {
            let why = of(&format!("https://{host}/"), "x").unwrap_err();
            assert!(why.contains(words), "{host}: {why}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_write_or_own_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o660] {
            assert!(check_access(0o100_000 | mode, 7, 7).is_err(), "{mode:o}");
        }
        for (owner, us, read) in [(7, 7, true), (0, 7, true), (8, 7, false), (8, 0, false)] {
            assert_eq!(check_access(0o100_600, owner, us).is_ok(), read, "{owner} {us}");
        }
    }
}
