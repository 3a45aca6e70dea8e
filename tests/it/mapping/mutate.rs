//! Slightly wrong arguments: one or a few changes somewhere in a value. `judge.rs` decides whether the result still is
//! of its type.

use serde_json::{Map, Value, json};
use toolgate_tests::chance::Chance;
use toolgate_tests::wit::{Int, Type};

/// Changes the arguments of these parameters.
pub(super) fn mutate(chance: &mut Chance, params: &[(String, Type)], arguments: &mut Value) {
    let ty = Type::Record(params.to_vec());
    for _ in 0..1 + chance.below(2) {
        change(chance, &ty, arguments);
    }
}

/// Descends to a random place and changes the value there, which an earlier change may have given another type.
fn change(chance: &mut Chance, ty: &Type, value: &mut Value) {
    if !chance.once_in(4) {
        match (ty, &mut *value) {
            (Type::Record(fields), Value::Object(object)) if !object.is_empty() => {
                let at = chance.below(object.len());
                let (name, member) = object.iter_mut().nth(at).unwrap();
                if let Some((_, ty)) = fields.iter().find(|(field, _)| field == name) {
                    return change(chance, ty, member);
                }
            }
            (Type::List(element), Value::Array(list)) if !list.is_empty() => {
                let at = chance.below(list.len());
                return change(chance, element, &mut list[at]);
            }
            (Type::Tuple(elements), Value::Array(list)) if list.len() == elements.len() => {
                let at = chance.below(list.len());
                return change(chance, &elements[at], &mut list[at]);
            }
            (Type::Option(inner), value) if !value.is_null() => {
                let nested = matches!(**inner, Type::Option(_));
                match value.get_mut("some") {
                    Some(some) if nested => return change(chance, inner, some),
                    _ if !nested => return change(chance, inner, value),
                    _ => {}
                }
            }
            (Type::Result(ok, err), Value::Object(object)) => {
                for (key, side) in [("ok", ok), ("err", err)] {
                    if let (Some(value), Some(side)) = (object.get_mut(key), side) {
                        return change(chance, side, value);
                    }
                }
            }
            (Type::Variant(cases), Value::Object(object)) => {
                let case =
                    cases.iter().find(|(name, _)| object.get("tag") == Some(&Value::from(name.as_str())));
                if let (Some((_, Some(payload))), Some(value)) = (case, object.get_mut("val")) {
                    return change(chance, payload, value);
                }
            }
            _ => {}
        }
    }
    *value = changed(chance, ty, value.take());
}

fn changed(chance: &mut Chance, ty: &Type, value: Value) -> Value {
    if chance.once_in(4) {
        return anything(chance);
    }
    match (ty, value) {
        (Type::Int(int), _) => near_integer(chance, *int),
        (Type::F32 | Type::F64, _) => chance
            .pick(&[
                json!(3.5e38),
                json!(3.402_823_567e38),
                json!(-1e39),
                json!(1e308),
                json!(7),
                json!(u64::MAX),
                json!("NaN"),
                json!("1"),
            ])
            .clone(),
        (Type::List(_), Value::String(text)) => spoiled_base64(chance, text),
        (Type::Flags(names), Value::Array(mut list)) => {
            let more = chance.pick(names).as_str();
            list.insert(0, Value::from(more));
            Value::Array(list)
        }
        (Type::Record(fields), Value::Object(mut object)) if chance.once_in(2) => {
            let (name, _) = chance.pick(fields);
            object.insert(name.clone(), Value::Null);
            Value::Object(object)
        }
        (Type::Variant(cases), Value::Object(mut object)) => {
            let (name, _) = chance.pick(cases);
            match chance.below(6) {
                0 | 1 => return Value::from(name.as_str()),
                2 => drop(object.shift_remove("val")),
                3 => drop(object.insert("val".to_owned(), Value::Null)),
                _ => drop(object.insert("tag".to_owned(), Value::from(name.as_str()))),
            }
            Value::Object(object)
        }
        (Type::Result(..), Value::Object(object)) if chance.once_in(3) => {
            let other = |key: String| if key == "ok" { "err".to_owned() } else { "ok".to_owned() };
            object.into_iter().map(|(key, value)| (other(key), value)).collect()
        }
        (_, Value::String(text)) => other_text(chance, text),
        (_, Value::Array(list)) => other_array(chance, list),
        (_, Value::Object(object)) => other_object(chance, object),
        (_, _) => anything(chance),
    }
}

fn near_integer(chance: &mut Chance, int: Int) -> Value {
    let (low, high) = int.range();
    let safe = (1i128 << 53) - 1;
    let value = *chance.pick(&[
        low,
        low - 1,
        high,
        high + 1,
        high * 2,
        safe,
        safe + 1,
        safe + 2,
        -safe,
        -safe - 1,
        5,
        0,
    ]);
    match chance.below(5) {
        0 => json!(value as f64),
        1 => json!(value as f64 + 0.5),
        2 => Value::from(value.to_string()),
        _ => match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => json!(value),
            (_, Ok(value)) => json!(value),
            _ => json!(value as f64),
        },
    }
}

fn spoiled_base64(chance: &mut Chance, mut text: String) -> Value {
    match chance.below(7) {
        0 => text = text.replace('+', "-").replace('/', "_"),
        1 => text = text.trim_end_matches('=').to_owned(),
        2 => text.push('='),
        3 => text.insert(0, *chance.pick(&['-', '/', ' ', '\n', 'A', '=', 'é'])),
        4 => drop(text.pop()),
        5 => text.push(*chance.pick(&['A', 'B', 'Q'])),
        _ => {
            text =
                (*chance.pick(&["AB==", "AA=", "A", "AA=A", "AP_/", "AP_-", "////", "AA==AA=="])).to_owned()
        }
    }
    Value::from(text)
}

fn other_text(chance: &mut Chance, mut text: String) -> Value {
    match chance.below(6) {
        0 => text.push('x'),
        1 => drop(text.pop()),
        2 => text.push('\u{301}'),
        3 => text = text.to_uppercase(),
        4 => return Value::Array(vec![Value::from(text)]),
        _ => text.insert(0, '%'),
    }
    Value::from(text)
}

fn other_array(chance: &mut Chance, mut list: Vec<Value>) -> Value {
    match (chance.below(6), list.last().cloned()) {
        (0, Some(last)) => list.push(last),
        (1, _) => drop(list.pop()),
        (2, _) => list.push(anything(chance)),
        (3, _) => list.reverse(),
        (4, _) => return one_of(list),
        _ => list.clear(),
    }
    Value::Array(list)
}

fn one_of(list: Vec<Value>) -> Value {
    list.into_iter().next().unwrap_or(Value::Null)
}

fn other_object(chance: &mut Chance, mut object: Map<String, Value>) -> Value {
    let key = match object.len() {
        0 => "a".to_owned(),
        length => object.keys().nth(chance.below(length)).unwrap().clone(),
    };
    match chance.below(7) {
        0 => drop(object.shift_remove(&key)),
        1 => {
            let value = object.shift_remove(&key).unwrap_or_default();
            object.insert(key.to_uppercase(), value);
        }
        2 => drop(object.insert(
            (*chance.pick(&["extra", "val", "tag", "ok", "err", "some", ""])).to_owned(),
            anything(chance),
        )),
        3 => drop(object.insert(key, Value::Null)),
        4 => drop(object.insert(key, anything(chance))),
        5 => return object.shift_remove(&key).unwrap_or_default(),
        _ => {
            // A changed order is no change of the value.
            let value = object.shift_remove(&key).unwrap_or_default();
            object.insert(key, value);
        }
    }
    Value::Object(object)
}

fn anything(chance: &mut Chance) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(2.0),
        json!(1e39),
        json!(9_007_199_254_740_993_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("5"),
        json!("true"),
        json!("1e2"),
        json!(" 5"),
        json!("-0"),
        json!("007"),
        json!("18446744073709551615"),
        json!("18446744073709551616"),
        json!("-9223372036854775809"),
        json!("99999999999999999999"),
        json!("999999999999999999999"),
        json!([]),
        json!([null]),
        json!([0]),
        json!({}),
        json!({ "some": null }),
        json!({ "some": 1 }),
        json!({ "ok": null }),
        json!({ "err": null }),
        json!({ "ok": null, "err": null }),
        json!({ "tag": "a" }),
        json!({ "tag": "a", "val": null }),
    ];
    chance.pick(&all).clone()
}
