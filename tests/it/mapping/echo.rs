//! For each type, functions that take and return it by way of a guest's memory, and their expected answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use toolgate_base::outcome::{Answer, Content, Verdict};
use toolgate_tests::chance::Chance;
use toolgate_tests::wit::component::{Function, Gives};
use toolgate_tests::wit::{Int, Type, name};

use super::value::{f32_json, f64_json, members};

/// Functions for a type: as a list element, as a parameter beside another, as the result. If it contains floats, also
/// one that makes them from integer bits.
pub(super) fn functions(chance: &mut Chance, index: usize, ty: &Type) -> Vec<Function> {
    let list = |ty: &Type| Type::List(Box::new(ty.clone()));
    let param = |chance: &mut Chance, ty: Type| {
        name::names(chance, 1).into_iter().map(|name| (name, ty.clone())).collect()
    };
    let mut functions = vec![
        Function {
            name: format!("list-n{index}"),
            params: param(chance, list(ty)),
            result: list(ty),
            gives: Gives::List,
        },
        parameters(chance, index, ty),
        Function {
            name: format!("first-n{index}"),
            params: param(chance, list(ty)),
            result: ty.clone(),
            gives: Gives::First,
        },
    ];
    let bits = ty.with_floats_as_bits();
    if bits != *ty {
        let (result, gives) =
            if index.is_multiple_of(2) { (list(ty), Gives::List) } else { (ty.clone(), Gives::First) };
        functions.push(Function {
            name: format!("bits-n{index}"),
            params: param(chance, list(&bits)),
            result,
            gives,
        });
    }
    functions
}

/// A function with this parameter beside a tuple that is too long to be passed without memory.
fn parameters(chance: &mut Chance, index: usize, ty: &Type) -> Function {
    let pad = Type::Int(if chance.once_in(2) { Int::U8 } else { Int { signed: false, bits: 64 } });
    let pad = Type::Tuple(vec![pad; 17]);
    let both = [pad, ty.clone()];
    let result = if chance.once_in(2) {
        Type::Tuple(both.to_vec())
    } else {
        Type::Record(name::names(chance, 2).into_iter().zip(both.clone()).collect())
    };
    let params = name::names(chance, 2).into_iter().zip(both).collect();
    Function { name: format!("beside-n{index}"), params, result, gives: Gives::Parameters }
}

/// Random arguments for which the function has an answer.
pub(super) fn arguments(chance: &mut Chance, function: &Function) -> Value {
    loop {
        let arguments = Value::Object(members(chance, &function.params));
        if answer(function, &arguments).is_some() {
            return arguments;
        }
    }
}

/// Answer to arguments in canonical form; `None` if the function would read an element that is missing.
pub(super) fn answer(function: &Function, arguments: &Value) -> Option<Answer> {
    let given = |at: usize| arguments.get(&function.params[at].0).cloned().unwrap_or_default();
    let value = match (function.gives, &function.result) {
        (Gives::List, _) => given(0),
        (Gives::First, _) => match given(0) {
            Value::Array(list) => list.into_iter().next()?,
            bytes => Value::from(*STANDARD.decode(bytes.as_str().unwrap()).unwrap().first()?),
        },
        (Gives::Parameters, Type::Record(fields)) => {
            let mut object = Map::new();
            for (at, (name, ty)) in fields.iter().enumerate() {
                if !(matches!(ty, Type::Option(_)) && given(at).is_null()) {
                    object.insert(name.clone(), given(at));
                }
            }
            Value::Object(object)
        }
        (Gives::Parameters, _) => Value::Array(vec![given(0), given(1)]),
    };
    let is_bits = function.name.starts_with("bits");
    let value = if is_bits { read_again(&function.result, &value) } else { value };
    Some(told(&function.result, value))
}

/// Value of integers whose memory is read as a type with floats.
fn read_again(ty: &Type, value: &Value) -> Value {
    let part = |ty: &Type, value: &Value| read_again(ty, value);
    match (ty, value) {
        (Type::F32, bits) => f32_json(f32::from_bits(bits.as_u64().unwrap() as u32)),
        (Type::F64, Value::String(bits)) => f64_json(f64::from_bits(bits.parse().unwrap())),
        (Type::F64, bits) => f64_json(f64::from_bits(bits.as_u64().unwrap())),
        (Type::List(element), Value::Array(list)) => list.iter().map(|value| part(element, value)).collect(),
        (Type::Tuple(elements), Value::Array(list)) => {
            elements.iter().zip(list).map(|(ty, value)| part(ty, value)).collect()
        }
        (Type::Option(inner), Value::Object(object)) if matches!(**inner, Type::Option(_)) => {
            object.iter().map(|(key, value)| (key.clone(), part(inner, value))).collect()
        }
        (Type::Option(inner), value) if !value.is_null() => part(inner, value),
        (Type::Record(fields), Value::Object(object)) => object
            .iter()
            .map(|(key, value)| {
                (key.clone(), part(&fields.iter().find(|(name, _)| name == key).unwrap().1, value))
            })
            .collect(),
        (Type::Result(ok, err), Value::Object(object)) => {
            let side = |key: &str| if key == "ok" { ok } else { err };
            let again = |(key, value): (&String, &Value)| {
                (key.clone(), side(key).as_ref().map_or(Value::Null, |ty| part(ty, value)))
            };
            object.iter().map(again).collect()
        }
        (Type::Variant(cases), Value::Object(object)) => {
            let mut object = object.clone();
            let case = cases.iter().find(|(name, _)| object["tag"] == *name).unwrap();
            if let Some(payload) = &case.1 {
                object["val"] = part(payload, &object["val"]);
            }
            Value::Object(object)
        }
        (_, value) => value.clone(),
    }
}

/// A result as an answer: the two sides of a top-level `result` are the tool's verdict.
fn told(ty: &Type, value: Value) -> Answer {
    let (verdict, content) = match ty {
        Type::Result(ok, err) => match (value.get("ok"), value.get("err")) {
            (Some(value), _) => (Verdict::Ok, content(ok.as_deref(), value.clone())),
            (_, value) => {
                let text = match (err.as_deref(), value) {
                    (None, _) => "the tool failed and gave no reason".to_owned(),
                    (Some(Type::String), Some(value)) => value.as_str().unwrap().to_owned(),
                    (Some(_), value) => value.unwrap().to_string(),
                };
                (Verdict::Err, Content::Text(text))
            }
        },
        ty => (Verdict::Ok, content(Some(ty), value)),
    };
    Answer::new(verdict, content)
}

fn content(ty: Option<&Type>, value: Value) -> Content {
    let text = value.to_string();
    match ty {
        None => Content::Nothing,
        Some(Type::String) => Content::Text(value.as_str().unwrap().to_owned()),
        Some(Type::Record(_)) => Content::Value { text, structured: value },
        Some(_) => Content::Value { text, structured: super::value::one("result", value) },
    }
}
