//! The shape of a function: its parameters and result as types that JSON can carry. Read from the types validated in
//! the component's bytes, without compiling or running anything.

mod answer;
mod display;

use std::fmt;

use toolgate_policy::limits::load::{SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX};
use wasmtime::wasmparser::PrimitiveValType;
use wasmtime::wasmparser::component_types::{ComponentDefinedType, ComponentFuncType, ComponentValType};
use wasmtime::wasmparser::types::TypesRef;

pub use answer::{answer, optional, record};

/// A type whose values JSON can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `bool`
    Bool,
    /// `u8` … `s64`
    Integer(Integer),
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<u8>`
    Bytes,
    /// `list<T>` of anything else
    List(Box<Shape>),
    /// `tuple<…>`
    Tuple(Vec<Shape>),
    /// `record`
    Record(Vec<Field>),
    /// `option<T>`
    Option(Box<Shape>),
    /// `result<T, E>`
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    /// `variant`
    Variant(Vec<Case>),
    /// `enum`
    Enum(Vec<String>),
    /// `flags`
    Flags(Vec<String>),
}

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// `u8`
    U8,
    /// `u16`
    U16,
    /// `u32`
    U32,
    /// `u64`
    U64,
    /// `s8`
    S8,
    /// `s16`
    S16,
    /// `s32`
    S32,
    /// `s64`
    S64,
}

/// Named field of a record, or parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name in WIT.
    pub name: String,
    /// Type.
    pub shape: Shape,
}

/// A case of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Name in WIT.
    pub name: String,
    /// Payload type.
    pub payload: Option<Shape>,
}

/// Parameters and result of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Parameters in order.
    pub params: Vec<Field>,
    /// Result type.
    pub result: Option<Shape>,
    /// Stream or future that delivers the result, or its `ok` side, after the function returns.
    pub deferred: Option<Deferred>,
}

/// Way in which a result is delivered after the function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferred {
    /// A stream of bytes.
    Stream,
    /// A future.
    Future,
}

/// Reason that a function has no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// It takes or returns a resource handle, which is only valid inside a call.
    #[error("it takes or returns a resource, which cannot leave a call")]
    Resource,
    /// The toolchain generated it; it is not meant to be called.
    #[error("it belongs to the toolchain that built the component")]
    Toolchain,
    /// It uses a type that JSON cannot carry here.
    #[error("it uses `{0}`, which no tool carries; docs/write-a-plugin.md lists what is carried")]
    Unsupported(&'static str),
    /// Too many levels of types; refuses the plugin.
    #[error("its types nest deeper than {SCHEMA_DEPTH_MAX} levels")]
    Deep,
    /// Too many parts of types; refuses the plugin.
    #[error("its types have more than {SCHEMA_NODES_MAX} parts")]
    Large,
}

impl ShapeError {
    /// Whether the whole plugin is refused, not only this function left out.
    pub fn refuses_plugin(&self) -> bool {
        matches!(self, Self::Deep | Self::Large)
    }
}

impl Integer {
    /// Smallest and largest value.
    pub fn range(self) -> (i128, i128) {
        match self {
            Self::U8 => (0, u8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::S8 => (i8::MIN.into(), i8::MAX.into()),
            Self::S16 => (i16::MIN.into(), i16::MAX.into()),
            Self::S32 => (i32::MIN.into(), i32::MAX.into()),
            Self::S64 => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    /// Whether some values are beyond what every JSON reader represents exactly.
    pub fn is_wide(self) -> bool {
        matches!(self, Self::U64 | Self::S64)
    }

    fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::S8 => "s8",
            Self::S16 => "s16",
            Self::S32 => "s32",
            Self::S64 => "s64",
        }
    }
}

impl Function {
    /// Reads the shape of a function type.
    ///
    /// # Errors
    /// [`ShapeError`]. Types are not recursive, but can grow exponentially: depth and size are bounded while reading.
    pub fn read(types: TypesRef<'_>, function: &ComponentFuncType) -> Result<Self, ShapeError> {
        let mut reader = Reader { types, nodes: 0 };
        let params = function
            .params
            .iter()
            .map(|(name, ty)| Ok(Field { name: name.to_string(), shape: reader.value(ty, 1)? }))
            .collect::<Result<_, _>>()?;
        let mut deferred = None;
        let result = match &function.result {
            Some(ty) => Some(reader.result(ty, &mut deferred)?),
            None => None,
        };
        Ok(Self { params, result, deferred })
    }

    /// Type of the result; of a `result`, that of its `ok` side.
    pub(super) fn ok_side(&self) -> Option<&Shape> {
        match &self.result {
            Some(Shape::Result(ok, _)) => ok.as_deref(),
            other => other.as_ref(),
        }
    }
}

struct Reader<'a> {
    types: TypesRef<'a>,
    nodes: usize,
}

impl Reader<'_> {
    fn value(&mut self, ty: &ComponentValType, depth: usize) -> Result<Shape, ShapeError> {
        self.nodes += 1;
        if self.nodes > SCHEMA_NODES_MAX {
            return Err(ShapeError::Large);
        }
        if depth > SCHEMA_DEPTH_MAX {
            return Err(ShapeError::Deep);
        }
        match ty {
            ComponentValType::Primitive(primitive) => self.primitive(*primitive),
            #[expect(
                clippy::indexing_slicing,
                reason = "the validator gave the id together with these types"
            )]
            ComponentValType::Type(id) => self.defined(&self.types[*id].clone(), depth + 1),
        }
    }

    /// A result: the only position where a stream or a future is accepted.
    fn result(
        &mut self,
        ty: &ComponentValType,
        deferred: &mut Option<Deferred>,
    ) -> Result<Shape, ShapeError> {
        let ComponentValType::Type(id) = ty else { return self.value(ty, 1) };
        #[expect(clippy::indexing_slicing, reason = "the validator gave the id together with these types")]
        match &self.types[*id].clone() {
            ComponentDefinedType::Stream { ty: Some(element), .. } => {
                *deferred = Some(Deferred::Stream);
                match self.value(element, 2)? {
                    Shape::Integer(Integer::U8) => Ok(Shape::Bytes),
                    _ => Err(ShapeError::Unsupported("stream of anything but u8")),
                }
            }
            ComponentDefinedType::Future { ty: Some(ty), .. } => {
                *deferred = Some(Deferred::Future);
                let shape = self.value(ty, 2)?;
                match shape.can_wait_for() {
                    true => Ok(shape),
                    false => Err(ShapeError::Unsupported("future of a composed type")),
                }
            }
            ComponentDefinedType::Result { ok: Some(ok), err, .. } => {
                let ok = self.result(ok, deferred)?;
                let err = err.as_ref().map(|ty| self.value(ty, 2).map(Box::new)).transpose()?;
                Ok(Shape::Result(Some(Box::new(ok)), err))
            }
            _ => self.value(ty, 1),
        }
    }

    fn primitive(&self, ty: PrimitiveValType) -> Result<Shape, ShapeError> {
        Ok(match ty {
            PrimitiveValType::Bool => Shape::Bool,
            PrimitiveValType::U8 => Shape::Integer(Integer::U8),
            PrimitiveValType::U16 => Shape::Integer(Integer::U16),
            PrimitiveValType::U32 => Shape::Integer(Integer::U32),
            PrimitiveValType::U64 => Shape::Integer(Integer::U64),
            PrimitiveValType::S8 => Shape::Integer(Integer::S8),
            PrimitiveValType::S16 => Shape::Integer(Integer::S16),
            PrimitiveValType::S32 => Shape::Integer(Integer::S32),
            PrimitiveValType::S64 => Shape::Integer(Integer::S64),
            PrimitiveValType::F32 => Shape::F32,
            PrimitiveValType::F64 => Shape::F64,
            PrimitiveValType::Char => Shape::Char,
            PrimitiveValType::String => Shape::String,
            PrimitiveValType::ErrorContext => return Err(ShapeError::Unsupported("error-context")),
        })
    }

    fn defined(&mut self, ty: &ComponentDefinedType, depth: usize) -> Result<Shape, ShapeError> {
        match ty {
            ComponentDefinedType::Primitive(primitive) => self.primitive(*primitive),
            ComponentDefinedType::Record(record) => {
                let mut field = |name: String, ty| Ok(Field { name, shape: self.value(ty, depth)? });
                let fields = record.fields.iter().map(|(name, ty)| field(name.to_string(), ty));
                fields.collect::<Result<_, _>>().map(Shape::Record)
            }
            ComponentDefinedType::Variant(variant) => {
                let mut cases = Vec::new();
                for (name, case) in &variant.cases {
                    let payload = case.ty.as_ref().map(|ty| self.value(ty, depth)).transpose()?;
                    self.nodes += 1;
                    cases.push(Case { name: name.to_string(), payload });
                }
                Ok(Shape::Variant(cases))
            }
            ComponentDefinedType::List { element, .. } => Ok(match self.value(element, depth)? {
                Shape::Integer(Integer::U8) => Shape::Bytes,
                element => Shape::List(Box::new(element)),
            }),
            ComponentDefinedType::Tuple(tuple) => {
                tuple.types.iter().map(|ty| self.value(ty, depth)).collect::<Result<_, _>>().map(Shape::Tuple)
            }
            ComponentDefinedType::Flags(names) => self.names(names.iter()).map(Shape::Flags),
            ComponentDefinedType::Enum(names) => self.names(names.iter()).map(Shape::Enum),
            ComponentDefinedType::Option { ty, .. } => Ok(Shape::Option(Box::new(self.value(ty, depth)?))),
            ComponentDefinedType::Result { ok, err, .. } => {
                let mut side = |ty: &Option<ComponentValType>| -> Result<Option<Box<Shape>>, ShapeError> {
                    ty.as_ref().map(|ty| self.value(ty, depth).map(Box::new)).transpose()
                };
                Ok(Shape::Result(side(ok)?, side(err)?))
            }
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => Err(ShapeError::Resource),
            ComponentDefinedType::Map { .. } => Err(ShapeError::Unsupported("map")),
            ComponentDefinedType::FixedLengthList { .. } => Err(ShapeError::Unsupported("list<T, N>")),
            ComponentDefinedType::Stream { .. } => Err(ShapeError::Unsupported("stream")),
            ComponentDefinedType::Future { .. } => Err(ShapeError::Unsupported("future")),
        }
    }

    /// Counts names: each is a part of the schema too.
    fn names(&mut self, names: impl Iterator<Item = impl fmt::Display>) -> Result<Vec<String>, ShapeError> {
        let names: Vec<String> = names.map(|name| name.to_string()).collect();
        self.nodes += names.len();
        if self.nodes > SCHEMA_NODES_MAX { Err(ShapeError::Large) } else { Ok(names) }
    }
}

impl Shape {
    /// Whether `null` is a value of the shape. If so, an option of it needs a wrapper to tell `none` from `some(none)`.
    pub(super) fn is_nullable(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// Whether a future of this type can be awaited: the engine needs its Rust type at compile time.
    fn can_wait_for(&self) -> bool {
        matches!(
            self,
            Self::Bool | Self::Integer(_) | Self::F32 | Self::F64 | Self::Char | Self::String | Self::Bytes
        )
    }
}
