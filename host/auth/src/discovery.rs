//! Metadata of an issuer (RFC 8414 §3, OpenID Connect Discovery 1.0 §4): where it may be, and the address of the keys in it.

use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::limits::auth::{JWKS_NODES_MAX, METADATA_BYTES_MAX, TOKEN_DEPTH_MAX};
use toolgate_policy::redact::{printable, url as shown_url};
use url::Url;

use super::issuer::check_url;

/// Metadata that does not name an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Not strict JSON.
    #[error("the metadata cannot be read: {0}")]
    Unreadable(String),
    /// Of another issuer, if only by a slash at the end.
    #[error("the metadata is of the issuer `{0}`; `issuer` must be the same, byte for byte")]
    OtherIssuer(String),
    /// Without a usable address of keys.
    #[error("the metadata has no usable `jwks_uri`: {0}")]
    Keys(String),
}

const LIMITS: JsonLimits =
    JsonLimits { bytes_max: METADATA_BYTES_MAX, depth_max: TOKEN_DEPTH_MAX, nodes_max: JWKS_NODES_MAX };

/// Places of an issuer's metadata, in the order in which they are tried.
pub fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    let at = |path: &String| {
        let mut place = issuer.clone();
        place.set_path(path);
        place.set_query(None);
        place
    };
    paths.iter().map(at).collect()
}

/// Address of the keys in an issuer's metadata.
///
/// # Errors
/// [`DiscoveryError`] if the metadata is of another issuer, or names no address that may be used.
pub fn keys_address(metadata: &[u8], issuer: &str, private: bool) -> Result<Url, DiscoveryError> {
    let json =
        Json::parse(metadata, LIMITS).map_err(|error| DiscoveryError::Unreadable(error.to_string()))?;
    match json.get("issuer") {
        Some(Json::String(found)) if found == issuer => {}
        Some(Json::String(found)) => return Err(DiscoveryError::OtherIssuer(shown_url(found, 200))),
        _ => return Err(DiscoveryError::OtherIssuer(String::new())),
    }
    let address = json.get("jwks_uri").and_then(Json::as_str);
    let address = address.ok_or_else(|| DiscoveryError::Keys("it is not there".to_owned()))?;
    check_url("jwks_uri", address, private)
        .map_err(|error| DiscoveryError::Keys(printable(&error.to_string(), 300)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(issuer: &str) -> Vec<String> {
        places(&Url::parse(issuer).unwrap()).iter().map(Url::to_string).collect()
    }

    #[test]
    fn metadata_is_looked_for_in_three_places_or_two_without_a_path() {
        let wanted = [
            "https://id.example/.well-known/oauth-authorization-server/realms/corp",
            "https://id.example/.well-known/openid-configuration/realms/corp",
            "https://id.example/realms/corp/.well-known/openid-configuration",
        ];
        assert_eq!(addresses("https://id.example/realms/corp"), wanted);
        assert_eq!(addresses("https://id.example/realms/corp/"), wanted);
        let wanted = [
            "https://id.example/.well-known/oauth-authorization-server",
            "https://id.example/.well-known/openid-configuration",
        ];
        assert_eq!(addresses("https://id.example"), wanted);
        assert_eq!(addresses("https://id.example/"), wanted);
    }

    #[test]
    fn metadata_of_another_issuer_or_with_keys_in_the_clear_is_refused() {
        let read = |issuer: &str, keys: &str| {
            let text = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
            keys_address(text.as_bytes(), "https://id.example", false).map(|url| url.to_string())
        };
        assert_eq!(read("https://id.example", "https://k.example/k").unwrap(), "https://k.example/k");
        for issuer in
            ["https://id.example/", "https://ID.example", "https://id.example.evil", "http://id.example", ""]
        {
            assert!(
                matches!(read(issuer, "https://k.example/k"), Err(DiscoveryError::OtherIssuer(_))),
                "{issuer}"
            );
        }
        for keys in [
            "http://k.example",
            "http://127.0.0.1/k",
            "file:///etc/passwd",
            "k",
            "",
            "https://a:b@k.example/",
        ] {
            assert!(matches!(read("https://id.example", keys), Err(DiscoveryError::Keys(_))), "{keys}");
        }
        assert!(keys_address(br#"{"issuer":"a","issuer":"a","jwks_uri":"https://k"}"#, "a", false).is_err());
        assert!(keys_address(br#"{"jwks_uri":"https://k.example"}"#, "a", false).is_err());
        assert!(keys_address(br#"{"issuer":"a"}"#, "a", false).is_err());
    }
}
