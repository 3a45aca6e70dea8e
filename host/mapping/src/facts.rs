//! Facts that access rules may know of lowered arguments. They are made of the values that the guest gets, so a rule cannot be
//! dodged by another spelling of the same value in JSON.

use std::collections::BTreeMap;

use toolgate_policy::call::{ArgumentFact, ArgumentFacts, ArgumentType};
use wasmtime::component::Val;

use super::shape::{Field, Function, Shape};

/// Facts about the values of a function's parameters, in its order. What rules cannot compare exactly (floating-point
/// numbers, bytes, lists of anything but scalars, integers beyond 64 signed bits) is there as unreadable; only what was not
/// given is absent.
pub fn facts(vals: &[Val], function: &Function) -> ArgumentFacts {
    ArgumentFacts::new(record(&function.params, vals.iter()))
}

/// Types of a function's parameters, as rules see them.
pub fn types(function: &Function) -> BTreeMap<String, ArgumentType> {
    fields(&function.params)
}

fn fields(fields: &[Field]) -> BTreeMap<String, ArgumentType> {
    fields.iter().map(|field| (field.name.clone(), type_of(&field.shape))).collect()
}

fn type_of(shape: &Shape) -> ArgumentType {
    let payload = |shape: Option<&Shape>| shape.map(type_of);
    match shape {
        Shape::Bool => ArgumentType::Bool,
        Shape::Integer(_) => ArgumentType::Long,
        Shape::Char | Shape::String | Shape::Enum(_) => ArgumentType::Text,
        Shape::List(of) if is_scalar(of) => ArgumentType::Set(Box::new(type_of(of))),
        Shape::Flags(_) => ArgumentType::Set(Box::new(ArgumentType::Text)),
        Shape::Record(of) => ArgumentType::Record(fields(of)),
        Shape::Tuple(of) => {
            let of = of.iter().enumerate().map(|(at, shape)| (at.to_string(), type_of(shape)));
            ArgumentType::Record(of.collect())
        }
        Shape::Option(of) => ArgumentType::Optional(Box::new(type_of(of))),
        Shape::Variant(cases) => tagged_type(cases.iter().map(|case| payload(case.payload.as_ref()))),
        Shape::Result(ok, err) => tagged_type([payload(ok.as_deref()), payload(err.as_deref())].into_iter()),
        Shape::F32 | Shape::F64 | Shape::Bytes | Shape::List(_) => ArgumentType::Hidden,
    }
}

/// Type of a value with a tag. Its payload is visible if all cases that have one have the same type.
fn tagged_type(payloads: impl Iterator<Item = Option<ArgumentType>>) -> ArgumentType {
    let mut types: Vec<ArgumentType> = payloads.flatten().collect();
    types.dedup();
    let value = match types.as_slice() {
        [] => None,
        [one @ (ArgumentType::Optional(_) | ArgumentType::Hidden)] => Some(one.clone()),
        [one] => Some(ArgumentType::Optional(Box::new(one.clone()))),
        _ => Some(ArgumentType::Hidden),
    };
    let value = value.map(|value| ("value".to_owned(), value));
    let tag = ("tag".to_owned(), ArgumentType::Text);
    ArgumentType::Record([tag].into_iter().chain(value).collect())
}

/// The fact about a value; `None` for what was not given.
fn fact(val: &Val, shape: &Shape) -> Option<ArgumentFact> {
    Some(match (shape, val) {
        (Shape::List(of), Val::List(elements)) if is_scalar(of) => {
            let elements: Option<Vec<_>> = elements.iter().map(scalar).collect();
            elements.map_or(ArgumentFact::Unreadable, set)
        }
        (Shape::Flags(_), Val::Flags(flags)) => set(flags.iter().cloned().map(ArgumentFact::Text).collect()),
        (Shape::Record(fields), Val::Record(vals)) => {
            ArgumentFact::Record(record(fields, vals.iter().map(|(_, val)| val)))
        }
        (Shape::Tuple(shapes), Val::Tuple(vals)) => {
            let fields = shapes.iter().zip(vals).enumerate();
            let facts = fields.filter_map(|(at, (shape, val))| Some((at.to_string(), fact(val, shape)?)));
            ArgumentFact::Record(facts.collect())
        }
        (Shape::Option(of), Val::Option(val)) => fact(val.as_deref()?, of)?,
        (Shape::Variant(cases), Val::Variant(name, payload)) => {
            let case = cases.iter().find(|case| case.name == *name);
            tagged(name, case.and_then(|case| case.payload.as_ref()), payload.as_deref())
        }
        (Shape::Result(ok, _), Val::Result(Ok(payload))) => tagged("ok", ok.as_deref(), payload.as_deref()),
        (Shape::Result(_, err), Val::Result(Err(payload))) => {
            tagged("err", err.as_deref(), payload.as_deref())
        }
        (_, val) => scalar(val).unwrap_or(ArgumentFact::Unreadable),
    })
}

/// A scalar; `None` for every other value.
fn scalar(val: &Val) -> Option<ArgumentFact> {
    Some(match val {
        Val::Bool(value) => ArgumentFact::Bool(*value),
        Val::S8(value) => ArgumentFact::Long((*value).into()),
        Val::U8(value) => ArgumentFact::Long((*value).into()),
        Val::S16(value) => ArgumentFact::Long((*value).into()),
        Val::U16(value) => ArgumentFact::Long((*value).into()),
        Val::S32(value) => ArgumentFact::Long((*value).into()),
        Val::U32(value) => ArgumentFact::Long((*value).into()),
        Val::S64(value) => ArgumentFact::Long(*value),
        Val::U64(value) => ArgumentFact::Long(i64::try_from(*value).ok()?),
        Val::Char(value) => ArgumentFact::Text(value.to_string()),
        Val::String(value) | Val::Enum(value) => ArgumentFact::Text(value.clone()),
        _ => return None,
    })
}

/// Whether rules see the elements of a list of these.
fn is_scalar(shape: &Shape) -> bool {
    matches!(shape, Shape::Bool | Shape::Integer(_) | Shape::Char | Shape::String | Shape::Enum(_))
}

fn set(mut elements: Vec<ArgumentFact>) -> ArgumentFact {
    elements.sort();
    elements.dedup();
    ArgumentFact::Set(elements)
}

fn record<'v>(fields: &[Field], vals: impl Iterator<Item = &'v Val>) -> BTreeMap<String, ArgumentFact> {
    let fields = fields.iter().zip(vals);
    fields.filter_map(|(field, val)| Some((field.name.clone(), fact(val, &field.shape)?))).collect()
}

fn tagged(tag: &str, shape: Option<&Shape>, payload: Option<&Val>) -> ArgumentFact {
    let value = shape.zip(payload).and_then(|(shape, val)| fact(val, shape));
    let value = value.map(|value| ("value".to_owned(), value));
    let tag = ("tag".to_owned(), ArgumentFact::Text(tag.to_owned()));
    ArgumentFact::Record([tag].into_iter().chain(value).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use toolgate_base::json::{Json, JsonLimits};
    use toolgate_policy::limits::lift::ARGUMENT_VALUES_BYTES_MAX;

    use super::super::lower::lower_within;
    use super::super::shape::{Case, Integer};
    use super::*;

    const BOUNDS: JsonLimits = JsonLimits { bytes_max: 1000, depth_max: 8, nodes_max: 100 };

    fn field(name: &str, shape: Shape) -> Field {
        Field { name: name.to_owned(), shape }
    }

    fn of(param: Shape, value: &Value) -> Option<ArgumentFact> {
        let function = Function { params: vec![field("v", param)], result: None, deferred: None };
        let arguments = Json::parse(json!({ "v": value }).to_string().as_bytes(), BOUNDS).unwrap();
        let lowered = lower_within(&arguments, &function, ARGUMENT_VALUES_BYTES_MAX).unwrap();
        facts(&lowered.vals, &function).arguments().unwrap().get("v").cloned()
    }

    fn text(value: &str) -> ArgumentFact {
        ArgumentFact::Text(value.to_owned())
    }

    #[test]
    fn every_spelling_of_a_number_is_one_fact() {
        let long = || Shape::Integer(Integer::S64);
        for spelling in [json!(1000), json!("1000")] {
            assert_eq!(of(long(), &spelling), Some(ArgumentFact::Long(1000)), "{spelling}");
        }
        let absent = of(Shape::Option(Box::new(long())), &Value::Null);
        assert_eq!(absent, None);
    }

    #[test]
    fn what_cannot_be_compared_exactly_is_there_and_unreadable() {
        let unreadable = Some(ArgumentFact::Unreadable);
        assert_eq!(of(Shape::F64, &json!(1.5)), unreadable);
        assert_eq!(of(Shape::Integer(Integer::U64), &json!("9223372036854775808")), unreadable);
        assert_eq!(
            of(Shape::Integer(Integer::U64), &json!("9223372036854775807")),
            Some(ArgumentFact::Long(i64::MAX))
        );
        let nested = Shape::List(Box::new(Shape::Tuple(vec![Shape::Bool])));
        assert_eq!(of(nested, &json!([[true]])), unreadable);
    }

    #[test]
    fn each_fact_fits_the_type_of_its_argument() {
        let case = |name: &str, payload| Case { name: name.to_owned(), payload };
        let variant = Shape::Variant(vec![case("a", Some(Shape::String)), case("b", None)]);
        for (shape, value) in [
            (Shape::Integer(Integer::U8), json!(7)),
            (Shape::List(Box::new(Shape::String)), json!(["x"])),
            (Shape::Option(Box::new(Shape::Bool)), json!(true)),
            (Shape::Tuple(vec![Shape::F64, Shape::String]), json!([1.5, "x"])),
            (
                Shape::Record(vec![field("n", Shape::Bytes), field("t", Shape::Char)]),
                json!({ "n": "AA==", "t": "c" }),
            ),
            (variant.clone(), json!({ "tag": "a", "val": "x" })),
            (variant, json!({ "tag": "b" })),
        ] {
            let fact = of(shape.clone(), &value);
            assert!(type_of(&shape).is_met_by(fact.as_ref()), "{shape:?} {fact:?}");
        }
    }

    #[test]
    fn flags_and_lists_are_sets_and_a_variant_has_a_tag() {
        let flags = Shape::Flags(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(of(flags, &json!(["b", "a"])), Some(ArgumentFact::Set(vec![text("a"), text("b")])));
        let list = Shape::List(Box::new(Shape::String));
        assert_eq!(of(list, &json!(["x", "x"])), Some(ArgumentFact::Set(vec![text("x")])));
        let case = Case { name: "some-of".to_owned(), payload: Some(Shape::String) };
        let variant = of(Shape::Variant(vec![case]), &json!({ "tag": "some-of", "val": "y" }));
        let expected = [("tag", text("some-of")), ("value", text("y"))];
        let expected = expected.map(|(name, fact)| (name.to_owned(), fact));
        assert_eq!(variant, Some(ArgumentFact::Record(expected.into())));
    }
}
