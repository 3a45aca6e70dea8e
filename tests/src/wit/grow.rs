//! Random types in which every constructor occurs in every place at every depth requested.

use std::collections::HashSet;

use super::{Int, Place, Type, name};
use crate::chance::Chance;

/// Type constructors that tests distinguish.
pub const KINDS: [&str; 23] = [
    "bool",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "f32",
    "f64",
    "char",
    "string",
    "list<u8>",
    "enum",
    "flags",
    "variant without payload",
    "list",
    "tuple",
    "record",
    "option",
    "result",
    "variant",
];

/// Kinds distinguished by their content only.
pub const KINDS_BY_CONTENT: [&str; 2] = ["option<option>", "result with a unit side"];

/// Number of [`KINDS`] without component types.
const LEAVES: usize = 17;

/// Maximum depth of generated types; the top is at depth 0.
pub const DEPTH_MAX: usize = 3;

/// Constructor of a type.
pub fn kind(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::Int(int) => {
            let first = if int.signed { 5 } else { 1 };
            KINDS[first + int.bits.trailing_zeros() as usize - 3]
        }
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::List(_) if ty.is_bytes() => "list<u8>",
        Type::List(_) => "list",
        Type::Tuple(_) => "tuple",
        Type::Record(_) => "record",
        Type::Option(inner) if matches!(**inner, Type::Option(_)) => KINDS_BY_CONTENT[0],
        Type::Option(_) => "option",
        Type::Result(Some(_), Some(_)) => "result",
        Type::Result(..) => KINDS_BY_CONTENT[1],
        Type::Variant(cases) if cases.iter().all(|(_, payload)| payload.is_none()) => {
            "variant without payload"
        }
        Type::Variant(_) => "variant",
        Type::Enum(_) => "enum",
        Type::Flags(_) => "flags",
    }
}

/// At least `count` distinct types: each constructor at the top and in each place at each depth; the rest at random.
pub fn types(chance: &mut Chance, count: usize) -> Vec<Type> {
    let mut seen = HashSet::new();
    let mut types = Vec::new();
    let mut add = |ty: Type| {
        if seen.insert(ty.clone()) {
            types.push(ty);
        }
        types.len()
    };
    for kind in KINDS.into_iter().chain(KINDS_BY_CONTENT) {
        add(of_kind(chance, kind, DEPTH_MAX));
        for place in Place::ALL {
            for depth in 1..=DEPTH_MAX {
                let child = of_kind(chance, kind, DEPTH_MAX - depth);
                let mut ty = around(chance, child, place);
                for _ in 1..depth {
                    let place = *chance.pick(&Place::ALL);
                    ty = around(chance, ty, place);
                }
                add(ty);
            }
        }
    }
    while add(any(chance, DEPTH_MAX)) < count {}
    types
}

fn any(chance: &mut Chance, depth: usize) -> Type {
    let kind = if depth == 0 || chance.once_in(3) {
        KINDS[chance.below(LEAVES)]
    } else if chance.once_in(6) {
        *chance.pick(&KINDS_BY_CONTENT)
    } else {
        KINDS[LEAVES + chance.below(KINDS.len() - LEAVES)]
    };
    of_kind(chance, kind, depth)
}

/// A type of this kind, with component types of at most `depth - 1`; at depth 0 these are leaves.
fn of_kind(chance: &mut Chance, kind: &str, depth: usize) -> Type {
    let depth = depth.saturating_sub(1);
    let some = |chance: &mut Chance| if chance.once_in(30) { 17 } else { 1 + chance.below(3) };
    match kind {
        "bool" => Type::Bool,
        "f32" => Type::F32,
        "f64" => Type::F64,
        "char" => Type::Char,
        "string" => Type::String,
        "list<u8>" => Type::List(Box::new(Type::Int(Int::U8))),
        "enum" => Type::Enum(many_names(chance)),
        "flags" => Type::Flags(many_names(chance)),
        "variant without payload" => {
            let count = 1 + chance.below(5);
            Type::Variant(name::names(chance, count).into_iter().map(|name| (name, None)).collect())
        }
        "list" => match any(chance, depth) {
            Type::Int(Int::U8) => Type::List(Box::new(Type::Bool)),
            element => Type::List(Box::new(element)),
        },
        "tuple" => {
            let count = some(chance);
            let depth = if count > 3 { 0 } else { depth };
            Type::Tuple((0..count).map(|_| any(chance, depth)).collect())
        }
        "record" => {
            let count = some(chance);
            let depth = if count > 3 { 0 } else { depth };
            let names = name::names(chance, count);
            Type::Record(names.into_iter().map(|name| (name, any(chance, depth))).collect())
        }
        "option" => loop {
            let inner = any(chance, depth);
            if !matches!(inner, Type::Option(_)) {
                break Type::Option(Box::new(inner));
            }
        },
        "option<option>" => {
            Type::Option(Box::new(Type::Option(Box::new(any(chance, depth.saturating_sub(1))))))
        }
        "result" => Type::Result(Some(Box::new(any(chance, depth))), Some(Box::new(any(chance, depth)))),
        "result with a unit side" => match chance.below(3) {
            0 => Type::Result(Some(Box::new(any(chance, depth))), None),
            1 => Type::Result(None, Some(Box::new(any(chance, depth)))),
            _ => Type::Result(None, None),
        },
        "variant" => {
            let payload = any(chance, depth);
            variant(chance, payload)
        }
        integer => {
            let bits = integer[1..].parse().unwrap();
            Type::Int(Int { signed: integer.starts_with('s'), bits })
        }
    }
}

/// Usually few names; sometimes as many as flags may have.
fn many_names(chance: &mut Chance) -> Vec<String> {
    let count = match chance.below(6) {
        0 => *chance.pick(&[8, 9, 16, 17, 31, 32]),
        _ => 1 + chance.below(5),
    };
    name::names(chance, count)
}

/// A variant with this payload in one case, and other cases.
fn variant(chance: &mut Chance, payload: Type) -> Type {
    let count = 1 + chance.below(4);
    let at = chance.below(count);
    let names = name::names(chance, count);
    let mut payload = Some(payload);
    let cases = names.into_iter().enumerate().map(|(index, name)| {
        let payload = if index == at {
            payload.take()
        } else if chance.once_in(2) {
            None
        } else {
            Some(any(chance, 0))
        };
        (name, payload)
    });
    Type::Variant(cases.collect())
}

/// A type with `child` in this place.
fn around(chance: &mut Chance, child: Type, place: Place) -> Type {
    let child_first = chance.once_in(2);
    let beside = |chance: &mut Chance, child: Type| {
        let other = any(chance, 0);
        if child_first { vec![child, other] } else { vec![other, child] }
    };
    match place {
        Place::Field => {
            let names = name::names(chance, 2);
            Type::Record(names.into_iter().zip(beside(chance, child)).collect())
        }
        // A list of `u8` would be another kind.
        Place::Element if child == Type::Int(Int::U8) || chance.once_in(2) => {
            Type::Tuple(beside(chance, child))
        }
        Place::Element => Type::List(Box::new(child)),
        Place::Case => variant(chance, child),
        Place::Some => Type::Option(Box::new(child)),
        Place::Side => {
            let other = (!chance.once_in(3)).then(|| Box::new(any(chance, 0)));
            let child = Some(Box::new(child));
            if child_first { Type::Result(child, other) } else { Type::Result(other, child) }
        }
    }
}
