//! One leniency for all scalars: numbers and booleans may be spelled as JSON texts, and nothing else.

use serde_json::{Value, json};
use toolgate_tests::wit::component::{Function, Gives, component};
use toolgate_tests::wit::{Int, Type};
use toolgate_tests::{Server, Transport, World};

const fn int(signed: bool, bits: u32) -> Type {
    Type::Int(Int { signed, bits })
}

/// A server with a function for each of these types, which takes a list and returns its first element.
fn first(types: &[Type]) -> Server {
    let function = |(index, ty): (usize, &Type)| Function {
        name: format!("first{index}"),
        params: vec![("of".to_owned(), Type::List(Box::new(ty.clone())))],
        result: ty.clone(),
        gives: Gives::First,
    };
    let functions: Vec<_> = types.iter().enumerate().map(function).collect();
    World::new().plugin("p", &component(&functions).0).serve(Transport::Http)
}

/// The value as returned, or `None` if it is refused.
fn taken(server: &Server, index: usize, value: &Value) -> Option<Value> {
    let reply = server.call(&format!("p_first{index}"), json!({ "of": [value] }));
    if reply.is_error() {
        assert!(reply.text().starts_with("the arguments do not fit"), "{}", reply.text());
        return None;
    }
    Some(reply.structured()["result"].clone())
}

#[test]
fn numbers_and_truth_values_are_taken_as_texts_that_spell_them_whatever_their_type() {
    let small = [int(false, 8), int(false, 16), int(false, 32), int(true, 8), int(true, 16), int(true, 32)];
    let types = [&small[..], &[int(false, 64), int(true, 64), Type::F32, Type::F64, Type::Bool]].concat();
    // In a record: a list of `u8` would be bytes.
    let records: Vec<_> = types.iter().map(|ty| Type::Record(vec![("v".to_owned(), ty.clone())])).collect();
    let server = first(&records);
    let taken = |index: usize, text: &str| {
        let reply = server.call(&format!("p_first{index}"), json!({ "of": [{ "v": text }] }));
        (!reply.is_error()).then(|| reply.structured()["v"].clone())
    };
    for (index, ty) in types.iter().enumerate() {
        let is_bool = *ty == Type::Bool;
        for (text, value) in [
            ("5", json!(5)),
            ("5.0", json!(5)),
            ("5e0", json!(5)),
            ("true", json!(true)),
            ("false", json!(false)),
        ] {
            let expected = (is_bool == value.is_boolean()).then(|| match ty {
                Type::F32 | Type::F64 => json!(5.0),
                _ => value.clone(),
            });
            assert_eq!(taken(index, text), expected, "{ty:?} {text}");
        }
        for text in [
            "", " 5", "5 ", "+5", "007", "0x5", "5,0", "five", "null", "NaN", "Infinity", "True", "yes",
            "[5]", "\"5\"",
        ] {
            assert_eq!(taken(index, text), None, "{ty:?} {text:?}");
        }
    }
    let (u8, s8, u64, s64, f64) = (0, 3, 6, 7, 9);
    for (index, text, expected) in [
        (u8, "255", Some(json!(255))),
        (u8, "256", None),
        (u8, "-1", None),
        (u8, "5.5", None),
        (s8, "-128", Some(json!(-128))),
        (u64, "18446744073709551615", Some(json!("18446744073709551615"))),
        (u64, "18446744073709551616", None),
        (s64, "-9223372036854775808", Some(json!("-9223372036854775808"))),
        (f64, "-1.5e3", Some(json!(-1500.0))),
        (f64, "1e400", None),
    ] {
        assert_eq!(taken(index, text), expected, "{text}");
    }
}

#[test]
fn where_a_text_is_wanted_it_stays_one_and_no_number_is_taken() {
    let server = first(&[Type::String, Type::Char, Type::Enum(vec!["true".to_owned(), "n5".to_owned()])]);
    assert_eq!(taken(&server, 1, &json!("5")), Some(json!("5")));
    assert_eq!(taken(&server, 2, &json!("true")), Some(json!("true")));
    for index in 0..3 {
        for value in [json!(5), json!(true)] {
            let reply = server.call(&format!("p_first{index}"), json!({ "of": [value] }));
            assert!(reply.is_error(), "{index} {value}");
        }
    }
    assert_eq!(server.call("p_first0", json!({ "of": ["5"] })).text(), "5");
}

#[test]
fn a_case_without_payload_may_have_null_for_one_and_one_with_a_payload_may_not() {
    let cases = vec![("plain".to_owned(), None), ("number".to_owned(), Some(int(false, 8)))];
    let server = first(&[Type::Variant(cases)]);
    for value in [json!({ "tag": "plain", "val": null }), json!({ "tag": "plain" }), json!("plain")] {
        assert_eq!(taken(&server, 0, &value), Some(json!({ "tag": "plain" })), "{value}");
    }
    assert_eq!(taken(&server, 0, &json!({ "tag": "plain", "val": 5 })), None);
    assert_eq!(taken(&server, 0, &json!({ "tag": "number", "val": null })), None);
    assert_eq!(
        taken(&server, 0, &json!({ "tag": "number", "val": "5" })),
        Some(json!({ "tag": "number", "val": 5 }))
    );
}

#[test]
fn base64_may_be_written_in_lines_and_a_flag_twice() {
    let bytes = Type::List(Box::new(Type::Int(Int::U8)));
    let server = first(&[bytes, Type::Flags(vec!["a".to_owned(), "b".to_owned()])]);
    for text in ["aGVs\r\nbG8=", "aGVs\nbG8=\n", " aGVs bG8", "aGVs\tbG8="] {
        assert_eq!(taken(&server, 0, &json!(text)), Some(json!("aGVsbG8=")), "{text:?}");
    }
    for text in ["aGVs\u{a0}bG8=", "aGVs-bG8+", "aGVs\u{0}bG8="] {
        assert_eq!(taken(&server, 0, &json!(text)), None, "{text:?}");
    }
    assert_eq!(taken(&server, 1, &json!(["b", "a", "b"])), Some(json!(["a", "b"])));
}
