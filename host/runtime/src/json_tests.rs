//! What the strict reader takes and what it refuses.

use super::*;

const BOUNDS: Bounds = Bounds { bytes_max: 4096, depth_max: 4, nodes_max: 40 };

fn parse(text: &str) -> Result<Json, JsonError> {
    Json::parse(text.as_bytes(), BOUNDS)
}

#[test]
fn values_are_read_as_written() {
    let value = parse(r#" {"b":[1,-2,1.5,true,null,"x\u00e9"],"a":{}} "#).unwrap();
    assert_eq!(value.get("a"), Some(&Json::Object(vec![])));
    let Some(Json::Array(elements)) = value.get("b") else { unreachable!("b is an array") };
    let wanted = [
        Json::Integer(1),
        Json::Integer(-2),
        Json::Float(1.5),
        Json::Bool(true),
        Json::Null,
        Json::String("xé".into()),
    ];
    assert_eq!(elements, &wanted);
}

#[test]
fn sixty_four_bit_integers_lose_nothing() {
    assert_eq!(parse("18446744073709551615").unwrap(), Json::Integer(u64::MAX.into()));
    assert_eq!(parse("-9223372036854775808").unwrap(), Json::Integer(i64::MIN.into()));
    assert!(matches!(parse("18446744073709551616").unwrap(), Json::Float(_)));
}

#[test]
fn a_key_that_stands_twice_is_refused_at_any_depth_in_any_spelling() {
    for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"\u0061":3}}]"#] {
        assert!(
            matches!(parse(text), Err(JsonError::Refused(why)) if why.contains("`a` stands twice")),
            "{text}"
        );
    }
}

#[test]
fn depth_count_and_size_are_bounded_exactly() {
    assert!(parse("[[[[]]]]").is_ok());
    assert!(matches!(parse("[[[[[]]]]]"), Err(JsonError::Refused(_))));
    let list = |n: usize| format!("[{}]", vec!["0"; n].join(","));
    assert!(parse(&list(39)).is_ok());
    assert!(matches!(parse(&list(40)), Err(JsonError::Refused(_))));
    assert!(parse(&format!("\"{}\"", "x".repeat(4094))).is_ok());
    assert!(matches!(parse(&format!("\"{}\"", "x".repeat(4095))), Err(JsonError::Bytes(4096))));
}

#[test]
fn what_is_no_json_is_no_json() {
    for text in ["", "{", "[1,]", "{\"a\":1}x", "nul", "\"\\ud800\"", "\"a\nb\"", "01", "+1", "NaN", "'a'"] {
        assert!(matches!(parse(text), Err(JsonError::Malformed(_))), "{text:?}");
    }
    assert!(matches!(Json::parse(b"\"\xff\"", BOUNDS), Err(JsonError::Malformed(_))));
}
