//! Paths to claims of a token, as the configuration names them.

use toolgate_policy::limits::auth::CLAIM_CHARS_MAX;
use toolgate_policy::redact::is_plain;

/// Path to a claim: the name of one, or names of nested ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// Reads `groups`, `realm_access.roles`, or a claim that is named by a URI, whose dots do not divide it. `None` if a name
    /// is empty or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let is_uri = text.contains("://");
        let names: Vec<String> =
            if is_uri { vec![text.to_owned()] } else { text.split('.').map(str::to_owned).collect() };
        let fits =
            |name: &String| !name.is_empty() && name.len() <= CLAIM_CHARS_MAX && name.chars().all(is_plain);
        (names.len() <= PATH_NAMES_MAX && names.iter().all(fits)).then_some(Self(names))
    }

    /// Names, outermost first.
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    /// The outermost name.
    pub(crate) fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl std::fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Names of a path: deeper claims are in no token.
const PATH_NAMES_MAX: usize = 8;
