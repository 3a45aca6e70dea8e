//! A value of a shape as JSON. One traversal serves to count an answer and to build it.

use std::cell::Cell;

use base64::display::Base64Display;
use base64::encoded_len;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::Value;
use wasmtime::component::Val;

use super::cost::chunk;
use super::lift_error::LiftError;
use super::scalar::{bytes, float, integer};
use super::shape::{Case, Field, Shape};

/// A value as JSON. Serialising it adds the memory of its tree to `tree`, and fails if it does not match the shape.
#[derive(Clone, Copy)]
pub(super) struct AsJson<'v> {
    pub(super) val: &'v Val,
    pub(super) shape: &'v Shape,
    pub(super) tree: &'v Cell<u64>,
}

/// Inline size of an element of a tree.
pub(super) const NODE: u64 = size_of::<Value>() as u64;

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match (self.shape, self.val) {
            (Shape::Bool, Val::Bool(value)) => to.serialize_bool(*value),
            (Shape::Integer(_), val) => {
                self.scalar(&integer(val).ok_or_else(|| S::Error::custom(LiftError::Mistyped))?, to)
            }
            (Shape::F32, Val::Float32(value)) => {
                self.scalar(&float(f64::from(*value), || value.to_string()), to)
            }
            (Shape::F64, Val::Float64(value)) => self.scalar(&float(*value, || value.to_string()), to),
            (Shape::Char, Val::Char(c)) => self.text(c.encode_utf8(&mut [0; 4]), to),
            (Shape::Bytes, Val::List(list)) => {
                self.hold(chunk(encoded_len(list.len(), true).unwrap_or(usize::MAX) as u64));
                let bytes = bytes(list).map_err(S::Error::custom)?;
                // In pieces, so that counting it builds no text.
                to.collect_str(&Base64Display::new(&bytes, &STANDARD))
            }
            // Bytes from a stream or a future are base64 already.
            (Shape::String | Shape::Bytes, Val::String(text)) | (Shape::Enum(_), Val::Enum(text)) => {
                self.text(text, to)
            }
            (Shape::List(element), Val::List(list)) => {
                self.list(list.len());
                to.collect_seq(list.iter().map(|val| self.part(val, element)))
            }
            (Shape::Tuple(shapes), Val::Tuple(vals)) if shapes.len() == vals.len() => {
                self.list(vals.len());
                to.collect_seq(vals.iter().zip(shapes).map(|(val, shape)| self.part(val, shape)))
            }
            (Shape::Record(fields), Val::Record(vals)) if fields.len() == vals.len() => {
                self.record(fields, vals, to)
            }
            (Shape::Option(_), Val::Option(None)) => to.serialize_unit(),
            (Shape::Option(inner), Val::Option(Some(val))) if inner.is_nullable() => {
                let mut map = self.object(1, to)?;
                self.member(&mut map, "some", &self.part(val, inner))?;
                map.end()
            }
            (Shape::Option(inner), Val::Option(Some(val))) => self.part(val, inner).serialize(to),
            (Shape::Result(ok, err), Val::Result(side)) => {
                let (name, val, shape) = match side {
                    Ok(val) => ("ok", val, ok),
                    Err(val) => ("err", val, err),
                };
                let payload = both(val.as_deref(), shape.as_deref()).map_err(S::Error::custom)?;
                let mut map = self.object(1, to)?;
                self.member(&mut map, name, &payload.map(|(val, shape)| self.part(val, shape)))?;
                map.end()
            }
            (Shape::Variant(cases), Val::Variant(name, payload)) => {
                self.variant(cases, name, payload.as_deref(), to)
            }
            (Shape::Flags(names), Val::Flags(set)) => {
                // In the order of the declaration, whatever the guest's order.
                let set: Vec<&String> = names.iter().filter(|name| set.contains(name)).collect();
                self.list(set.len());
                set.iter().for_each(|name| self.hold(chunk(name.len() as u64)));
                to.collect_seq(set)
            }
            _ => Err(S::Error::custom(LiftError::Mistyped)),
        }
    }
}

impl<'v> AsJson<'v> {
    fn part(&self, val: &'v Val, shape: &'v Shape) -> Self {
        Self { val, shape, tree: self.tree }
    }

    /// Fields in WIT order; options that are `none` are left out.
    fn record<S: Serializer>(
        &self,
        fields: &'v [Field],
        vals: &'v [(String, Val)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let there = || {
            let pairs = fields.iter().zip(vals);
            pairs.filter(|(field, (_, val))| {
                !matches!((&field.shape, val), (Shape::Option(_), Val::Option(None)))
            })
        };
        let mut map = self.object(there().count(), to)?;
        for (field, (name, val)) in there() {
            if *name != field.name {
                return Err(S::Error::custom(LiftError::Mistyped));
            }
            self.member(&mut map, name, &self.part(val, &field.shape))?;
        }
        map.end()
    }

    fn variant<S: Serializer>(
        &self,
        cases: &'v [Case],
        name: &str,
        payload: Option<&'v Val>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let case = cases.iter().find(|case| case.name == name);
        let case = case.ok_or_else(|| S::Error::custom(LiftError::Mistyped))?;
        let payload = both(payload, case.payload.as_ref()).map_err(S::Error::custom)?;
        let mut map = self.object(if payload.is_some() { 2 } else { 1 }, to)?;
        self.hold(chunk(name.len() as u64));
        self.member(&mut map, "tag", &name)?;
        if let Some((val, shape)) = payload {
            self.member(&mut map, "val", &self.part(val, shape))?;
        }
        map.end()
    }

    fn hold(&self, bytes: u64) {
        self.tree.set(self.tree.get().saturating_add(bytes));
    }

    fn text<S: Serializer>(&self, text: &str, to: S) -> Result<S::Ok, S::Error> {
        self.hold(chunk(text.len() as u64));
        to.serialize_str(text)
    }

    fn scalar<S: Serializer>(&self, value: &Value, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Value::String(text) => self.text(text, to),
            value => value.serialize(to),
        }
    }

    fn list(&self, elements: usize) {
        self.hold(chunk((elements as u64).saturating_mul(NODE)));
    }

    fn object<S: Serializer>(&self, members: usize, to: S) -> Result<S::SerializeMap, S::Error> {
        /// Per member beside its value: hash, name, and index entry (a number and a byte) with spare capacity.
        const MEMBER: u64 = 8 + size_of::<String>() as u64 + 2 * 9;
        /// Two allocations at their smallest capacity.
        const OBJECT: u64 = 128;
        self.hold(OBJECT + members as u64 * (NODE + MEMBER));
        to.serialize_map(Some(members))
    }

    fn member<M: SerializeMap>(
        &self,
        map: &mut M,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), M::Error> {
        self.hold(chunk(name.len() as u64));
        map.serialize_entry(name, value)
    }
}

/// A payload with its shape; none if the shape has none.
///
/// # Errors
/// [`LiftError::Mistyped`] if only one of them is there.
pub(super) fn both<'v>(
    val: Option<&'v Val>,
    shape: Option<&'v Shape>,
) -> Result<Option<(&'v Val, &'v Shape)>, LiftError> {
    match (val, shape) {
        (None, None) => Ok(None),
        (Some(val), Some(shape)) => Ok(Some((val, shape))),
        (None, Some(_)) | (Some(_), None) => Err(LiftError::Mistyped),
    }
}
