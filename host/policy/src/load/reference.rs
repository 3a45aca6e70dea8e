//! References to artefacts in registries, as in the OCI distribution specification: `registry/repository:tag` or
//! `registry/repository@sha256:…`. The registry is required, and no tag is assumed.

use std::fmt;

use crate::Digest;
use crate::load::fetch::{FetchPermit, FetchPermitError};

/// An artefact in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    home: FetchPermit,
    repository: String,
    version: Version,
}

/// Version of an artefact in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The artefact that the registry currently has for this tag.
    Tag(String),
    /// The artefact whose manifest has this digest.
    Digest(Digest),
}

/// Reason why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Malformed.
    #[error(
        "`{0}` is not an artefact in a registry; write registry.example.com/team/plugin:1.0 or …@sha256:…"
    )]
    Form(String),
    /// No request may be sent to its registry.
    #[error(transparent)]
    Registry(#[from] FetchPermitError),
}

impl Reference {
    /// Reads a reference, without `oci://`. A registry on this machine is reached over plain http, others over https.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse(text: &str, private: bool) -> Result<Self, ReferenceError> {
        let form = || ReferenceError::Form(crate::redact::url(text, 300));
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>().map_err(|_| form())?)),
            None => (text, None),
        };
        let (registry, path) = name.split_once('/').ok_or_else(form)?;
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let version = match (tag, digest) {
            // Beside a digest a tag is for people only: the digest identifies the artefact.
            (Some(tag), Some(digest)) if is_tag(tag) => Version::Digest(digest),
            (Some(tag), None) if is_tag(tag) => Version::Tag(tag.to_owned()),
            (None, Some(digest)) => Version::Digest(digest),
            (Some(_), _) | (None, None) => return Err(form()),
        };
        if !is_repository(repository) {
            return Err(form());
        }
        let https = FetchPermit::new("GET", &format!("https://{registry}/v2/"), private)?;
        let home = match https.target().host().is_loopback() {
            true => FetchPermit::new("GET", &format!("http://{registry}/v2/"), private)?,
            false => https,
        };
        Ok(Self { registry: registry.to_owned(), home, repository: repository.to_owned(), version })
    }

    /// A request to the registry about this repository: `manifests/1.0`, `blobs/sha256:…`.
    ///
    /// # Errors
    /// [`FetchPermitError`].
    pub fn permit(&self, method: &str, rest: &str) -> Result<FetchPermit, FetchPermitError> {
        self.home.at(method, &format!("/v2/{}/{rest}", self.repository))
    }

    /// A request to the registry's API root.
    pub fn home(&self) -> &FetchPermit {
        &self.home
    }

    /// The repository, without its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Tag or digest of the artefact.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Whether it always refers to the same artefact.
    pub fn is_by_digest(&self) -> bool {
        matches!(self.version, Version::Digest(_))
    }

    /// Another artefact of the same repository.
    #[must_use]
    pub fn with(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.version {
            Version::Tag(_) => ':',
            Version::Digest(_) => '@',
        };
        write!(f, "oci://{}/{}{mark}{}", self.registry, self.repository, self.version)
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or dashes into names, and these by `/`.
fn is_repository(text: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let joined = |name: &str| {
        let mut joints = name.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        joints.all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
    };
    let name = |name: &str| {
        name.bytes().next().is_some_and(lower) && name.bytes().last().is_some_and(lower) && joined(name)
    };
    text.len() <= 255 && text.split('/').all(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_specification_allows_is_read_and_shown_as_it_was_written() {
        let digest = Digest::of(b"x");
        for (text, url) in [
            ("ghcr.io/acme/tools/files:1.0.2", "https://ghcr.io/v2/acme/tools/files/manifests/1.0.2"),
            (
                "registry.example.com:5000/a__b/c--d.e:_x",
                "https://registry.example.com:5000/v2/a__b/c--d.e/manifests/_x",
            ),
            ("127.0.0.1:5000/files:latest", "http://127.0.0.1:5000/v2/files/manifests/latest"),
            ("localhost/files:latest", "http://localhost/v2/files/manifests/latest"),
            (&format!("ghcr.io/files@{digest}"), &format!("https://ghcr.io/v2/files/manifests/{digest}")),
        ] {
            let reference = Reference::parse(text, false).unwrap();
            assert_eq!(reference.to_string(), format!("oci://{text}"));
            let permit = reference.permit("GET", &format!("manifests/{}", reference.version())).unwrap();
            assert_eq!(permit.target().url(), url);
        }
    }

    #[test]
    fn beside_a_digest_a_tag_says_nothing() {
        let digest = Digest::of(b"x");
        let reference = Reference::parse(&format!("ghcr.io/files:1.0@{digest}"), false).unwrap();
        assert_eq!(reference.version(), &Version::Digest(digest));
        assert_eq!(reference, Reference::parse(&format!("ghcr.io/files@{digest}"), false).unwrap());
    }

    #[test]
    fn anything_else_is_refused() {
        let no_tag = format!("ghcr.io/files:@{}", Digest::of(b"x"));
        for text in [
            "",
            "files",
            "files:1",
            "ghcr.io/files",
            "ghcr.io/:1",
            "ghcr.io/Files:1",
            "ghcr.io/a//b:1",
            "ghcr.io/../b:1",
            "ghcr.io/a/./b:1",
            "ghcr.io/a___b:1",
            "ghcr.io/a-:1",
            "ghcr.io/a:.x",
            "ghcr.io/a:1/b",
            "ghcr.io/a:1?x",
            "ghcr.io/a@sha256:12",
            "ghcr.io/a@sha512:12",
            "user@ghcr.io/a:1",
            "gh cr.io/a:1",
            "ghcr.io/a%2fb:1",
            &no_tag,
        ] {
            assert!(Reference::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_a_reference_is_refused_and_not_shown() {
        let digest = Digest::of(b"x");
        for text in [
            "me:hunter2@ghcr.io/a:1".to_owned(),
            "me:hunter2@ghcr.io".to_owned(),
            format!("me:hunter2@ghcr.io/a@{digest}"),
            format!("me:hunter2@ghcr.io/a:1@{digest}"),
            "ghcr.io/me:hunter2@a:1".to_owned(),
        ] {
            let refused = Reference::parse(&text, false).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
