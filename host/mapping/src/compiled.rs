//! The shape of a function as the compiled component has it. It is compared with the shape inspected in the bytes, so
//! that what was inspected is what runs.

use wasmtime::component::types::{ComponentItem, Type};

use super::shape::{Case, Deferred, Field, Function, Integer, Shape};

/// Shape of a function; `None` if JSON cannot carry its values.
pub fn function(item: ComponentItem) -> Option<Function> {
    let ComponentItem::ComponentFunc(function) = item else { return None };
    let params =
        function.params().map(|(name, ty)| Some(Field { name: name.to_owned(), shape: shape(&ty)? }));
    let params = params.collect::<Option<Vec<_>>>()?;
    let mut results = function.results();
    let mut deferred = None;
    let result = match (results.next(), results.next()) {
        (None, _) => None,
        (Some(ty), None) => Some(outcome(&ty, &mut deferred)?),
        (Some(_), Some(_)) => return None,
    };
    Some(Function { params, result, deferred })
}

/// A result, which may be a stream or a future.
fn outcome(ty: &Type, deferred: &mut Option<Deferred>) -> Option<Shape> {
    match ty {
        Type::Stream(stream) => {
            *deferred = Some(Deferred::Stream);
            matches!(stream.ty(), Some(Type::U8)).then_some(Shape::Bytes)
        }
        Type::Future(future) => {
            *deferred = Some(Deferred::Future);
            shape(&future.ty()?)
        }
        Type::Result(result) if result.ok().is_some() => {
            let ok = outcome(&result.ok()?, deferred)?;
            Some(Shape::Result(Some(Box::new(ok)), side(result.err())?))
        }
        ty => shape(ty),
    }
}

fn shape(ty: &Type) -> Option<Shape> {
    Some(match ty {
        Type::Bool => Shape::Bool,
        Type::S8 => Shape::Integer(Integer::S8),
        Type::U8 => Shape::Integer(Integer::U8),
        Type::S16 => Shape::Integer(Integer::S16),
        Type::U16 => Shape::Integer(Integer::U16),
        Type::S32 => Shape::Integer(Integer::S32),
        Type::U32 => Shape::Integer(Integer::U32),
        Type::S64 => Shape::Integer(Integer::S64),
        Type::U64 => Shape::Integer(Integer::U64),
        Type::Float32 => Shape::F32,
        Type::Float64 => Shape::F64,
        Type::Char => Shape::Char,
        Type::String => Shape::String,
        Type::List(list) => match shape(&list.ty())? {
            Shape::Integer(Integer::U8) => Shape::Bytes,
            element => Shape::List(Box::new(element)),
        },
        Type::Record(record) => {
            let field = |field: wasmtime::component::types::Field<'_>| {
                Some(Field { name: field.name.to_owned(), shape: shape(&field.ty)? })
            };
            Shape::Record(record.fields().map(field).collect::<Option<_>>()?)
        }
        Type::Tuple(tuple) => Shape::Tuple(tuple.types().map(|ty| shape(&ty)).collect::<Option<_>>()?),
        Type::Variant(variant) => {
            let case = |case: wasmtime::component::types::Case<'_>| {
                Some(Case { name: case.name.to_owned(), payload: optional(case.ty)? })
            };
            Shape::Variant(variant.cases().map(case).collect::<Option<_>>()?)
        }
        Type::Enum(names) => Shape::Enum(names.names().map(str::to_owned).collect()),
        Type::Flags(names) => Shape::Flags(names.names().map(str::to_owned).collect()),
        Type::Option(option) => Shape::Option(Box::new(shape(&option.ty())?)),
        Type::Result(result) => Shape::Result(side(result.ok())?, side(result.err())?),
        Type::Map(_)
        | Type::Own(_)
        | Type::Borrow(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext
        | Type::FixedLengthList(_) => return None,
    })
}

/// Shape of a type, if there is one; `None` for a type without a shape.
fn optional(ty: Option<Type>) -> Option<Option<Shape>> {
    ty.map_or(Some(None), |ty| shape(&ty).map(Some))
}

fn side(ty: Option<Type>) -> Option<Option<Box<Shape>>> {
    Some(optional(ty)?.map(Box::new))
}
