//! Facts that access rules may know of lowered arguments. They are made of the values that the guest gets, so a rule cannot be
//! dodged by another spelling of the same value in JSON.

use std::collections::BTreeMap;

use toolgate_policy::call::{ArgumentFact, ArgumentFacts};
use wasmtime::component::Val;

use super::shape::{Field, Function, Shape};

/// Facts about the values of a function's parameters, in its order. What rules cannot compare exactly (floating-point
/// numbers, bytes, lists of anything but scalars, integers beyond 64 signed bits) is left out.
pub fn facts(vals: &[Val], function: &Function) -> ArgumentFacts {
    let params = function.params.iter().zip(vals);
    ArgumentFacts(
        params.filter_map(|(param, val)| Some((param.name.clone(), fact(val, &param.shape)?))).collect(),
    )
}

fn fact(val: &Val, shape: &Shape) -> Option<ArgumentFact> {
    Some(match (shape, val) {
        (Shape::List(of), Val::List(elements)) if is_scalar(of) => {
            let elements: Option<Vec<_>> = elements.iter().map(|element| fact(element, of)).collect();
            set(elements?)
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
            let case = cases.iter().find(|case| case.name == *name)?;
            tagged(name, case.payload.as_ref(), payload.as_deref())
        }
        (Shape::Result(ok, _), Val::Result(Ok(payload))) => tagged("ok", ok.as_deref(), payload.as_deref()),
        (Shape::Result(_, err), Val::Result(Err(payload))) => {
            tagged("err", err.as_deref(), payload.as_deref())
        }
        (_, val) => return scalar(val),
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
        facts(&lowered.vals, &function).0.remove("v")
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
    fn what_cannot_be_compared_exactly_is_no_fact() {
        assert_eq!(of(Shape::F64, &json!(1.5)), None);
        assert_eq!(of(Shape::Integer(Integer::U64), &json!("9223372036854775808")), None);
        assert_eq!(
            of(Shape::Integer(Integer::U64), &json!("9223372036854775807")),
            Some(ArgumentFact::Long(i64::MAX))
        );
        let nested = Shape::List(Box::new(Shape::Tuple(vec![Shape::Bool])));
        assert_eq!(of(nested, &json!([[true]])), None);
    }

    #[test]
    fn flags_and_lists_are_sets_and_a_variant_has_a_tag() {
        let flags = Shape::Flags(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(of(flags, &json!(["b", "a"])), Some(ArgumentFact::Set(vec![text("a"), text("b")])));
        let list = Shape::List(Box::new(Shape::String));
        assert_eq!(of(list, &json!(["x", "x"])), Some(ArgumentFact::Set(vec![text("x")])));
        let case = Case { name: "some-of".to_owned(), payload: Some(Shape::String) };
        let variant = of(Shape::Variant(vec![case]), &json!({ "some-of": "y" }));
        let expected = [("tag", text("some-of")), ("value", text("y"))];
        let expected = expected.map(|(name, fact)| (name.to_owned(), fact));
        assert_eq!(variant, Some(ArgumentFact::Record(expected.into())));
    }
}
