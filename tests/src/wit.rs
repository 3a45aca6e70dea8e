//! WIT without a guest toolchain: types as data, their text, and components made from them. Tests supply the values.

pub mod component;
pub mod grow;
pub mod name;
pub mod repeat;
pub mod shapes;

use std::collections::HashMap;

/// A WIT type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `u8` … `s64`
    Int(Int),
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Type>),
    /// `tuple<…>`
    Tuple(Vec<Type>),
    /// `record`
    Record(Vec<(String, Type)>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`
    Result(Option<Box<Type>>, Option<Box<Type>>),
    /// `variant`
    Variant(Vec<(String, Option<Type>)>),
    /// `enum`
    Enum(Vec<String>),
    /// `flags`
    Flags(Vec<String>),
}

/// An integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Int {
    /// Signed (`s…`).
    pub signed: bool,
    /// Width: 8, 16, 32 or 64.
    pub bits: u32,
}

impl Int {
    /// `u8`
    pub const U8: Self = Self { signed: false, bits: 8 };

    /// Smallest and largest value.
    pub fn range(self) -> (i128, i128) {
        let all = 1i128 << self.bits;
        if self.signed { (-all / 2, all / 2 - 1) } else { (0, all - 1) }
    }
}

impl Type {
    /// Whether it is `list<u8>`, which JSON represents as bytes, not as a list.
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::List(element) if **element == Self::Int(Int::U8))
    }

    /// Direct component types, each with its place.
    pub fn parts(&self) -> Vec<(Place, &Type)> {
        match self {
            Self::List(element) => vec![(Place::Element, element)],
            Self::Tuple(elements) => elements.iter().map(|element| (Place::Element, element)).collect(),
            Self::Record(fields) => fields.iter().map(|(_, field)| (Place::Field, field)).collect(),
            Self::Option(inner) => vec![(Place::Some, inner)],
            Self::Result(ok, err) => {
                [ok, err].into_iter().flatten().map(|side| (Place::Side, side.as_ref())).collect()
            }
            Self::Variant(cases) => {
                cases.iter().filter_map(|(_, payload)| Some((Place::Case, payload.as_ref()?))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The type with its direct component types replaced.
    #[must_use]
    pub fn map(&self, with: &mut dyn FnMut(&Type) -> Type) -> Self {
        let mut side = |side: &Option<Box<Type>>| side.as_ref().map(|inner| Box::new(with(inner)));
        match self {
            Self::Result(ok, err) => Self::Result(side(ok), side(err)),
            Self::List(element) => Self::List(Box::new(with(element))),
            Self::Option(inner) => Self::Option(Box::new(with(inner))),
            Self::Tuple(elements) => Self::Tuple(elements.iter().map(with).collect()),
            Self::Record(fields) => {
                Self::Record(fields.iter().map(|(name, field)| (name.clone(), with(field))).collect())
            }
            Self::Variant(cases) => {
                let case = |(name, payload): &(String, Option<Type>)| {
                    (name.clone(), payload.as_ref().map(&mut *with))
                };
                Self::Variant(cases.iter().map(case).collect())
            }
            other => other.clone(),
        }
    }

    /// The type with floats replaced by integers of their width. Guests that reinterpret one as the other can return
    /// any float, also those that JSON cannot express.
    #[must_use]
    pub fn with_floats_as_bits(&self) -> Self {
        match self {
            Self::F32 => Self::Int(Int { signed: false, bits: 32 }),
            Self::F64 => Self::Int(Int { signed: false, bits: 64 }),
            other => other.map(&mut Self::with_floats_as_bits),
        }
    }
}

/// Place of a type within another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Field of a record.
    Field,
    /// Element of a list or tuple.
    Element,
    /// Payload of a variant's case.
    Case,
    /// Payload of an option.
    Some,
    /// Payload of a result, `ok` or `err`.
    Side,
}

impl Place {
    /// All variants.
    pub const ALL: [Self; 5] = [Self::Field, Self::Element, Self::Case, Self::Some, Self::Side];
}

/// Text of WIT types. Types that need a name get one, the same for equal types.
#[derive(Debug, Default)]
pub struct Text {
    named: HashMap<Type, String>,
    /// Definitions so far.
    pub definitions: String,
}

impl Text {
    /// Spelling of a type where it is used. Adds the definitions that it needs.
    pub fn of(&mut self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::Int(int) => format!("{}{}", if int.signed { 's' } else { 'u' }, int.bits),
            Type::F32 => "f32".to_owned(),
            Type::F64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::List(element) => format!("list<{}>", self.of(element)),
            Type::Tuple(elements) => format!("tuple<{}>", self.all(elements.iter())),
            Type::Option(inner) => format!("option<{}>", self.of(inner)),
            Type::Result(None, None) => "result".to_owned(),
            Type::Result(Some(ok), None) => format!("result<{}>", self.of(ok)),
            Type::Result(None, Some(err)) => format!("result<_, {}>", self.of(err)),
            Type::Result(Some(ok), Some(err)) => format!("result<{}, {}>", self.of(ok), self.of(err)),
            Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_) => self.name(ty),
        }
    }

    fn all<'a>(&mut self, types: impl Iterator<Item = &'a Type>) -> String {
        types.map(|ty| self.of(ty)).collect::<Vec<_>>().join(", ")
    }

    fn name(&mut self, ty: &Type) -> String {
        if let Some(name) = self.named.get(ty) {
            return name.clone();
        }
        let (word, members): (&str, Vec<String>) = match ty {
            Type::Record(fields) => {
                let field = |(name, ty): &(String, Type)| format!("{}: {}", name::text(name), self.of(ty));
                ("record", fields.iter().map(field).collect())
            }
            Type::Variant(cases) => {
                let case = |(name, payload): &(String, Option<Type>)| match payload {
                    Some(payload) => format!("{}({})", name::text(name), self.of(payload)),
                    None => name::text(name),
                };
                ("variant", cases.iter().map(case).collect())
            }
            Type::Enum(names) => ("enum", names.iter().map(|name| name::text(name)).collect()),
            Type::Flags(names) => ("flags", names.iter().map(|name| name::text(name)).collect()),
            _ => unreachable!("only these have names"),
        };
        let name = format!("t{}", self.named.len());
        self.definitions.push_str(&format!("  {word} {name} {{ {} }}\n", members.join(", ")));
        self.named.insert(ty.clone(), name.clone());
        name
    }
}
