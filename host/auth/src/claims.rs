//! Claims of a token by name and type. A claim of a wrong type is an error and never counts as absent.

use toolgate_base::json::Json;
use toolgate_policy::limits::auth::{CLAIM_CHARS_MAX, DATE_MAX_S};
use toolgate_policy::redact::{is_plain, printable};

use super::claim_path::ClaimPath;
use super::explain::{AuthError, AuthStep};

/// The payload of a token.
pub(crate) struct TokenClaims(Json);

impl TokenClaims {
    /// Claims in this object.
    pub(crate) fn new(payload: Json) -> Self {
        Self(payload)
    }

    /// Whether there is such a claim, of whatever type.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// A claim of whatever type.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// A claim by its path. Each claim on the way must be an object.
    pub(crate) fn at(&self, path: &ClaimPath) -> Result<Option<&Json>, AuthError> {
        let mut here = &self.0;
        for name in path.names() {
            if !matches!(here, Json::Object(_)) {
                return Err(wrong(AuthStep::Identity, &path.to_string(), here, "an object"));
            }
            match here.get(name) {
                Some(inner) => here = inner,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// A text of any content.
    pub(crate) fn text(&self, step: AuthStep, name: &str) -> Result<Option<&str>, AuthError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(step, name, other, "a string")),
        }
    }

    /// A name: not empty, of limited length, printable.
    pub(crate) fn name(&self, step: AuthStep, name: &str) -> Result<Option<&str>, AuthError> {
        self.text(step, name)?.map(|text| checked_name(step, name, text)).transpose()
    }

    /// A date (RFC 7519 §2), in whole seconds since 1970, rounded down.
    pub(crate) fn date(&self, name: &str) -> Result<Option<u64>, AuthError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = match value {
            Json::Integer(seconds) => u64::try_from(*seconds).ok(),
            Json::Float(seconds) => whole_seconds(*seconds),
            other => return Err(wrong(AuthStep::Time, name, other, "a number")),
        };
        match seconds.filter(|seconds| *seconds <= DATE_MAX_S) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(AuthError::invalid(AuthStep::Time, "claims", format!("`{name}` is not a date"))),
        }
    }
}

/// A list of strings, or an error; `what` names it.
pub(crate) fn strings<'j>(step: AuthStep, what: &str, value: &'j Json) -> Result<Vec<&'j str>, AuthError> {
    let Json::Array(elements) = value else { return Err(wrong(step, what, value, "a list of strings")) };
    let text = |element: &'j Json| {
        element.as_str().ok_or_else(|| wrong(step, what, element, "a string in a list of strings"))
    };
    elements.iter().map(text).collect()
}

/// A name, if it is not empty, not too long and printable.
pub(crate) fn checked_name<'t>(step: AuthStep, what: &str, text: &'t str) -> Result<&'t str, AuthError> {
    if text.is_empty() || text.chars().count() > CLAIM_CHARS_MAX || !text.chars().all(is_plain) {
        let detail = format!(
            "`{what}` has an entry that is empty, longer than {CLAIM_CHARS_MAX} characters, or not printable: `{}`",
            printable(text, 40)
        );
        return Err(AuthError::invalid(step, "claims", detail));
    }
    Ok(text)
}

/// A claim of the wrong type.
pub(crate) fn wrong(step: AuthStep, what: &str, found: &Json, wanted: &str) -> AuthError {
    let detail = format!("`{}` is {}, and must be {wanted}", printable(what, 60), found.kind());
    AuthError::invalid(step, "claims", detail)
}

/// Seconds rounded down; `None` for what is negative, infinite, or beyond any date.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "compared before, and the bound is far below 2⁵³"
)]
fn whole_seconds(seconds: f64) -> Option<u64> {
    (seconds.is_finite() && (0.0..=DATE_MAX_S as f64).contains(&seconds)).then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolgate_base::json::JsonLimits;

    fn claims(text: &str) -> TokenClaims {
        let limits = JsonLimits { bytes_max: 10_000, depth_max: 9, nodes_max: 99 };
        TokenClaims::new(Json::parse(text.as_bytes(), limits).unwrap())
    }

    #[test]
    fn a_date_is_a_number_between_1970_and_9999_and_nothing_else() {
        for (text, wanted) in [("0", 0), ("1.9", 1), ("1e3", 1_000), ("1700000000", 1_700_000_000)] {
            assert_eq!(claims(&format!(r#"{{"exp":{text}}}"#)).date("exp").unwrap(), Some(wanted), "{text}");
        }
        assert_eq!(claims("{}").date("exp").unwrap(), None);
        for text in [
            "-1",
            "-0.5",
            "1e300",
            "253402300800",
            "99999999999999999999999",
            "\"1\"",
            "null",
            "true",
            "[1]",
            "{}",
        ] {
            assert!(claims(&format!(r#"{{"exp":{text}}}"#)).date("exp").is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_goes_through_objects_and_a_uri_is_one_name() {
        let token = claims(r#"{"a":{"b":["x"]},"https://e.x/a.b":["y"],"s":"t"}"#);
        let at = |path: &str| token.at(&ClaimPath::parse(path).unwrap()).map(|found| found.map(Json::text));
        assert_eq!(at("a.b").unwrap(), Some(r#"["x"]"#.to_owned()));
        assert_eq!(at("https://e.x/a.b").unwrap(), Some(r#"["y"]"#.to_owned()));
        assert_eq!(at("a.c").unwrap(), None);
        assert_eq!(at("c.a").unwrap(), None);
        assert!(at("s.a").is_err() && at("a.b.c").is_err());
        for path in ["", ".", "a.", "a..b", "a.b.c.d.e.f.g.h.i", "a\0"] {
            assert_eq!(ClaimPath::parse(path), None, "{path:?}");
        }
    }

    #[test]
    fn a_name_is_printable_and_not_endless() {
        for good in ["alice", "Ä", "a b", &"é".repeat(256)] {
            assert!(claims(&format!(r#"{{"sub":"{good}"}}"#)).name(AuthStep::Identity, "sub").is_ok());
        }
        for bad in [
            r#""""#,
            r#""a\u0000""#,
            r#""\u202ea""#,
            r#""a\nb""#,
            "1",
            "null",
            &format!("\"{}\"", "a".repeat(257)),
        ] {
            assert!(claims(&format!(r#"{{"sub":{bad}}}"#)).name(AuthStep::Identity, "sub").is_err(), "{bad}");
        }
    }
}
