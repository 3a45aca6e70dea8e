//! For each type the functions that take and give it, and what they answer: their arguments, by way of a guest's memory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use toolgate_base::outcome::{Answer, Content, Verdict};
use toolgate_tests::chance::Chance;
use toolgate_tests::wit::component::{Function, Gives};
use toolgate_tests::wit::{Int, Type, name};

use super::value::{f32_json, f64_json, members};

/// The functions for a type: as element of a list, as a parameter beside another, as the result; and, if there are floats
/// in it, as what is made of bits.
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

/// Beside a tuple that is too long to be handed over without memory.
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

/// Arguments of which the function makes something.
pub(super) fn arguments(chance: &mut Chance, function: &Function) -> Value {
    loop {
        let arguments = Value::Object(members(chance, &function.params));
        if answer(function, &arguments).is_some() {
            return arguments;
        }
    }
}

/// What the function answers to these arguments, which are in the one spelling; none where it reads what is not there.
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

/// What integers are once the same memory is read as a type with floats.
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

/// A result as an answer: the sides of a result at the top are the tool's own verdict.
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
