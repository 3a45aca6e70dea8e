//! Texts that the strict reader accepts and refuses.

use super::*;

const BOUNDS: JsonLimits = JsonLimits { bytes_max: 4096, depth_max: 4, nodes_max: 40 };

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
            matches!(parse(text), Err(JsonError::Refused(why)) if why.contains("`a` appears twice")),
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

#[test]
fn keys_are_bounded_in_length_and_in_number() {
    let wide = JsonLimits { bytes_max: 8 << 20, depth_max: 4, nodes_max: 1 << 20 };
    let key = |bytes: usize| format!("{{\"{}\":0}}", "k".repeat(bytes));
    assert!(Json::parse(key(JSON_KEY_BYTES_MAX).as_bytes(), wide).is_ok());
    let refused = Json::parse(key(JSON_KEY_BYTES_MAX + 1).as_bytes(), wide);
    assert!(matches!(refused, Err(JsonError::Refused(why)) if why.contains("a key of more than")));
    let keys = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(Json::parse(keys(JSON_KEYS_MAX).as_bytes(), wide).is_ok());
    let refused = Json::parse(keys(JSON_KEYS_MAX + 1).as_bytes(), wide);
    assert!(matches!(refused, Err(JsonError::Refused(why)) if why.contains("more than 65536 keys")));
}

#[test]
fn a_key_that_stands_twice_among_many_is_refused_too() {
    for count in [FEW_KEYS - 1, FEW_KEYS, FEW_KEYS + 1, 30] {
        let mut members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        members.push("\"0\":0".to_owned());
        let wide = JsonLimits { bytes_max: 4096, depth_max: 4, nodes_max: 1000 };
        let refused = Json::parse(format!("{{{}}}", members.join(",")).as_bytes(), wide);
        assert!(
            matches!(refused, Err(JsonError::Refused(why)) if why.contains("`0` appears twice")),
            "{count}"
        );
    }
}

#[test]
fn what_is_written_is_what_was_read() {
    for text in [
        r#"{"b":[1,-2,1.5,true,null,"x\"\n\u0001é"],"a":{},"c":18446744073709551615,"d":-9223372036854775808}"#,
        "1e300",
        "0.1",
        "-0.0",
    ] {
        let json = parse(text).unwrap();
        assert_eq!(json.text(), json.value().to_string(), "{text}");
        assert_eq!(parse(&json.text()).unwrap(), json);
    }
}

#[test]
fn memory_and_values_are_counted() {
    let json = parse(r#"{"a":[1,2,"xyz"]}"#).unwrap();
    assert_eq!(json.nodes(), 6);
    let own = size_of::<Json>() + size_of::<(String, Json)>() + 3 * size_of::<Json>();
    assert_eq!(json.memory_bytes(), own + "a".len() + "xyz".len());
}
