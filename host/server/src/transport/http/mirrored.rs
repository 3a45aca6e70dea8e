//! Headers that repeat arguments of a call (`Mcp-Param-…`, MCP 2026-07-28). A proxy may have acted on them, so a call
//! whose headers differ from its body is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use toolgate_base::json::Json;
use toolgate_runtime::snapshot::tool::ParamHeader;

/// Delimiters of an encoded header value.
const ENCODED: (&str, &str) = ("=?base64?", "?=");

/// Compares the headers of a call with its arguments.
///
/// # Errors
/// The first header that is missing or differs.
pub(super) fn check(headers: &HeaderMap, wanted: &[ParamHeader], arguments: &Json) -> Result<(), String> {
    wanted.iter().try_for_each(|wanted| {
        let why = why_not(headers, wanted, arguments);
        why.map_or(Ok(()), |why| {
            Err(format!("the header {} {why} the argument `{}`", wanted.name, wanted.path.join(".")))
        })
    })
}

fn why_not(headers: &HeaderMap, wanted: &ParamHeader, arguments: &Json) -> Option<&'static str> {
    const DIFFERS: Option<&str> = Some("says something else than");
    let argument = wanted.path.iter().try_fold(arguments, |value, key| value.get(key));
    let argument = argument.filter(|value| **value != Json::Null);
    let mut values = headers.get_all(wanted.name.as_str()).iter();
    let (value, argument) = match (values.next(), values.next(), argument) {
        (_, Some(_), _) => return Some("appears twice for"),
        (None, None, None) => return None,
        (None, None, Some(Json::Array(_) | Json::Object(_))) => return None,
        (None, None, Some(_)) => return Some("is missing for"),
        (Some(_), None, None) => return Some("stands for nothing in"),
        (Some(value), None, Some(argument)) => (value, argument),
    };
    let Ok(value) = value.to_str() else { return Some("has characters that it may not have, for") };
    let Some(value) = decode(value) else { return Some("is not base64 of text, for") };
    let is_same = match argument {
        Json::String(text) => value == *text,
        Json::Bool(is) => value == if *is { "true" } else { "false" },
        Json::Integer(number) => is_integer(&value, *number),
        Json::Float(number) => to_number(&value) == Some(*number),
        Json::Null | Json::Array(_) | Json::Object(_) => false,
    };
    if is_same { None } else { DIFFERS }
}

/// A decoded header value.
fn decode(value: &str) -> Option<String> {
    match value.strip_prefix(ENCODED.0).and_then(|value| value.strip_suffix(ENCODED.1)) {
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

/// Whether a text is this integer, in notations that clients use: `42`, `42.0`. Anything that is not a JSON number,
/// such as `+42` or `042`, could be read differently elsewhere.
fn is_integer(text: &str, number: i128) -> bool {
    let Some(double) = to_number(text) else { return false };
    match text.parse::<i128>() {
        Ok(parsed) => parsed == number,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is a whole number, exact as far as doubles are"
        )]
        Err(_) => double.fract() == 0.0 && double as i128 == number,
    }
}

/// A JSON number without anything around it.
fn to_number(text: &str) -> Option<f64> {
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    is_bare.then(|| serde_json::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use toolgate_base::json::JsonLimits;

    use super::*;

    fn checked(headers: &[(&str, &str)], arguments: &str) -> Result<(), String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let bounds = JsonLimits { bytes_max: 1_000, depth_max: 10, nodes_max: 100 };
        let wanted = ParamHeader { path: vec!["at".into(), "x".into()], name: "mcp-param-x".into() };
        check(&map, &[wanted], &Json::parse(arguments.as_bytes(), bounds).unwrap())
    }

    #[test]
    fn a_header_says_what_its_argument_says() {
        let name = "Mcp-Param-X";
        for (headers, argument) in [
            (&[(name, "eu")][..], "\"eu\""),
            (&[(name, "=?base64?w6Qg?=")], "\"ä \""),
            (&[(name, "=?base64?PT9iYXNlNjQ/eD89?=")], "\"=?base64?x?=\""),
            (&[(name, "=?BASE64?w6Qg?=")], "\"=?BASE64?w6Qg?=\""),
            (&[(name, "42")], "42"),
            (&[(name, "42")], "42.0"),
            (&[(name, "-42")], "-42"),
            (&[(name, "18446744073709551615")], "18446744073709551615"),
            (&[(name, "9007199254740993")], "9007199254740993"),
            (&[(name, "")], "\"\""),
            (&[], "[1]"),
        ] {
            let result = checked(headers, &format!(r#"{{"at":{{"x":{argument}}}}}"#));
            assert_eq!(result, Ok(()), "{headers:?} {argument}");
        }
        for (headers, argument, words) in [
            (&[][..], "\"eu\"", "is missing"),
            (&[], "0", "is missing"),
            (&[(name, "eu"), (name, "eu")], "\"eu\"", "twice"),
            (&[(name, "=?base64?w6Q?=")], "\"ä\"", "not base64"),
            (&[(name, "=?base64?/w==?=")], "\"x\"", "not base64"),
            (&[(name, "ä")], "\"ä\"", "characters"),
            (&[(name, "null")], "null", "stands for nothing"),
            (&[(name, "True")], "true", "something else"),
            (&[(name, "42.5")], "42", "something else"),
            (&[(name, "inf")], "42", "something else"),
            (&[(name, "")], "0", "something else"),
            (&[(name, "-05")], "-5", "something else"),
            (&[(name, "05")], "5.0", "something else"),
            (&[(name, "0x5")], "5", "something else"),
            (&[(name, "=?base64?IDU=?=")], "5", "something else"),
            (&[(name, "=?base64?NQo=?=")], "5.0", "something else"),
            (&[(name, "[1]")], "[1]", "something else"),
        ] {
            let why = checked(headers, &format!(r#"{{"at":{{"x":{argument}}}}}"#)).unwrap_err();
            assert!(why.contains(words) && why.contains("`at.x`"), "{headers:?} {argument}: {why}");
        }
        assert!(checked(&[(name, "1")], r#"{"at":5}"#).is_err(), "the argument is not there");
    }
}
