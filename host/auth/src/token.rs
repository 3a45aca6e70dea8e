//! Form of a signed token (RFC 7515 §3.1, RFC 7519): three parts in canonical base64url, header and payload as strict JSON.
//! Nothing is verified here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_policy::limits::auth::{
    CREDENTIAL_BYTES_MAX, KEY_ID_CHARS_MAX, TOKEN_DEPTH_MAX, TOKEN_NODES_MAX,
};
use toolgate_policy::redact::printable;

use super::claims::TokenClaims;
use super::explain::{AuthError, AuthStep};

/// A token that was read and not verified.
pub(crate) struct UnverifiedToken<'t> {
    /// `alg`.
    pub(crate) algorithm: String,
    /// `typ`.
    pub(crate) media_type: Option<String>,
    /// `kid`.
    pub(crate) key_id: Option<String>,
    /// Payload.
    pub(crate) claims: TokenClaims,
    /// Bytes that are signed.
    pub(crate) signing_input: &'t [u8],
    /// Signature.
    pub(crate) signature: Vec<u8>,
}

/// Members of a header that are read, or, of thumbprints of a certificate, may be there.
const HEADER_KNOWN: [&str; 6] = ["alg", "typ", "kid", "cty", "x5t", "x5t#S256"];

const LIMITS: JsonLimits =
    JsonLimits { bytes_max: CREDENTIAL_BYTES_MAX, depth_max: TOKEN_DEPTH_MAX, nodes_max: TOKEN_NODES_MAX };

impl<'t> UnverifiedToken<'t> {
    /// Reads a token of three parts.
    pub(crate) fn read(token: &'t str) -> Result<Self, AuthError> {
        let malformed = || AuthError::invalid(AuthStep::Form, "malformed", "it does not have three parts");
        let (signing_input, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or_else(malformed)?;
        let header = object("header", header)?;
        let claims = TokenClaims::new(object("payload", payload)?);
        let signature = decoded("signature", signature)?;
        check_header(&header)?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(other) => {
                let detail = format!("`{name}` is {}, not a string", other.kind());
                Err(AuthError::invalid(AuthStep::Header, "header", detail))
            }
        };
        let algorithm = text("alg")?
            .ok_or_else(|| AuthError::invalid(AuthStep::Header, "header", "there is no `alg`"))?;
        let key_id = text("kid")?;
        if key_id.as_ref().is_some_and(|id| !is_key_id(id)) {
            let detail = "`kid` is empty, too long, or has other characters than visible ASCII";
            return Err(AuthError::invalid(AuthStep::Header, "header", detail));
        }
        text("cty")?;
        let media_type = text("typ")?;
        Ok(Self { algorithm, media_type, key_id, claims, signing_input: signing_input.as_bytes(), signature })
    }
}

/// Whether a text can be the id of a key: no other is looked for.
pub(crate) fn is_key_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= KEY_ID_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn check_header(header: &Json) -> Result<(), AuthError> {
    let Json::Object(members) = header else { return Ok(()) };
    match members.iter().find(|(name, _)| !HEADER_KNOWN.contains(&name.as_str())) {
        None => Ok(()),
        // Among them `crit`, `b64`, `zip`, and keys or their addresses, which would be the sender's (RFC 8725 §3.10).
        Some((name, _)) => Err(AuthError::invalid(
            AuthStep::Header,
            "header",
            format!("the header has `{}`, which is not accepted", printable(name, 40)),
        )),
    }
}

fn object(part: &str, text: &str) -> Result<Json, AuthError> {
    let bytes = decoded(part, text)?;
    match Json::parse(&bytes, LIMITS) {
        Ok(object @ Json::Object(_)) => Ok(object),
        Ok(other) => {
            let detail = format!("the {part} is {}, not an object", other.kind());
            Err(AuthError::invalid(AuthStep::Form, "malformed", detail))
        }
        // The parser's own message quotes nothing of what it reads but keys that stand twice.
        Err(error) => Err(AuthError::invalid(AuthStep::Form, "malformed", format!("the {part}: {error}"))),
    }
}

/// Decodes base64url without padding: one spelling for one value, since the digest of the text is remembered.
fn decoded(part: &str, text: &str) -> Result<Vec<u8>, AuthError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| {
        let detail = format!("the {part} is empty or not canonical base64url");
        AuthError::invalid(AuthStep::Form, "malformed", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str, payload: &str) -> Result<String, AuthStep> {
        let token = format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let result = UnverifiedToken::read(&token).map(|token| token.algorithm);
        result.map_err(|error| error.step)
    }

    #[test]
    fn a_header_with_what_is_not_understood_is_refused() {
        assert_eq!(
            read(r#"{"alg":"A","typ":"JWT","kid":"1","cty":"x","x5t":"y"}"#, "{}"),
            Ok("A".to_owned())
        );
        for more in ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "epk", "anything"] {
            let header = format!(r#"{{"alg":"A","{more}":false}}"#);
            assert_eq!(read(&header, "{}"), Err(AuthStep::Header), "{more}");
        }
        for header in
            ["{}", r#"{"alg":1}"#, r#"{"alg":null}"#, r#"{"alg":"A","typ":1}"#, r#"{"alg":"A","cty":1}"#]
        {
            assert_eq!(read(header, "{}"), Err(AuthStep::Header), "{header}");
        }
    }

    #[test]
    fn a_key_id_that_no_key_can_have_is_refused() {
        let long = "k".repeat(257);
        for id in ["\"\"", "1", "null", "\"a\\u0000\"", "\"a b\"", "\"é\"", &format!("\"{long}\""), "[\"a\"]"]
        {
            assert_eq!(read(&format!(r#"{{"alg":"A","kid":{id}}}"#), "{}"), Err(AuthStep::Header), "{id}");
        }
    }

    #[test]
    fn a_member_that_stands_twice_at_any_level_is_refused() {
        assert_eq!(read(r#"{"alg":"A","alg":"B"}"#, "{}"), Err(AuthStep::Form));
        assert_eq!(read(r#"{"alg":"A","a\u006cg":"B"}"#, "{}"), Err(AuthStep::Form));
        assert_eq!(read(r#"{"alg":"A"}"#, r#"{"sub":"a","sub":"b"}"#), Err(AuthStep::Form));
        assert_eq!(read(r#"{"alg":"A"}"#, r#"{"x":[{"y":1,"y":2}]}"#), Err(AuthStep::Form));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for payload in ["", "[]", "1", "null", "{} {}", "{}x", "\u{feff}{}", "{'a':1}", "{\"a\":\"\\ud800\"}"]
        {
            assert_eq!(read(r#"{"alg":"A"}"#, payload), Err(AuthStep::Form), "{payload}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(17), "]".repeat(17));
        assert_eq!(read(r#"{"alg":"A"}"#, &deep), Err(AuthStep::Form));
        let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(3_000));
        assert_eq!(read(r#"{"alg":"A"}"#, &wide), Err(AuthStep::Form));
        assert_eq!(read("not json", "{}"), Err(AuthStep::Form));
    }

    #[test]
    fn another_spelling_of_the_same_bytes_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"AB"}"#);
        let good = format!("{header}.e30.c2k");
        assert!(UnverifiedToken::read(&good).is_ok());
        for (from, to) in
            [("c2k", "c2l"), ("c2k", "c2k="), ("e30", "e31"), ("e30", "e30="), ("c2k", "c2\n"), ("c2k", "")]
        {
            let other = good.replace(from, to);
            assert!(UnverifiedToken::read(&other).is_err(), "{to}");
        }
        assert!(UnverifiedToken::read(&good.replace("c2k", "_-8")).is_ok());
        assert!(UnverifiedToken::read(&good.replace("c2k", "/+8")).is_err(), "standard base64");
    }
}
