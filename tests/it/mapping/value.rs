//! Random values in canonical form, with boundary values overrepresented.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use toolgate_tests::chance::Chance;
use toolgate_tests::wit::{Int, Type};

/// The largest integer that JSON readers keep exactly.
pub(super) const SAFE: i128 = (1 << 53) - 1;

/// A value of a type; options are not empty.
pub(super) fn value(chance: &mut Chance, ty: &Type) -> Value {
    match ty {
        Type::Bool => Value::Bool(chance.once_in(2)),
        Type::Int(int) => integer_json(*int, integer(chance, *int)),
        Type::F32 => f32_json(f32_finite(chance)),
        Type::F64 => f64_json(f64_finite(chance)),
        Type::Char => Value::from(char(chance).to_string()),
        Type::String => Value::from(text(chance)),
        Type::List(_) if ty.is_bytes() => {
            let count = count(chance);
            Value::from(STANDARD.encode((0..count).map(|_| chance.bits() as u8).collect::<Vec<_>>()))
        }
        Type::List(element) => {
            let count = count(chance);
            (0..count).map(|_| value(chance, element)).collect()
        }
        Type::Tuple(elements) => elements.iter().map(|element| value(chance, element)).collect(),
        Type::Record(fields) => Value::Object(members(chance, fields)),
        Type::Option(_) if chance.once_in(3) => Value::Null,
        Type::Option(inner) if matches!(**inner, Type::Option(_)) => one("some", value(chance, inner)),
        Type::Option(inner) => value(chance, inner),
        Type::Result(ok, err) => {
            let (key, side) = if chance.once_in(2) { ("ok", ok) } else { ("err", err) };
            one(key, side.as_ref().map_or(Value::Null, |side| value(chance, side)))
        }
        Type::Variant(cases) => {
            let (name, payload) = chance.pick(cases);
            let mut object = Map::from_iter([("tag".to_owned(), Value::from(name.as_str()))]);
            if let Some(payload) = payload {
                object.insert("val".to_owned(), value(chance, payload));
            }
            Value::Object(object)
        }
        Type::Enum(names) => Value::from(chance.pick(names).as_str()),
        Type::Flags(names) => match chance.below(4) {
            0 => Value::Array(Vec::new()),
            1 => names.iter().map(|name| Value::from(name.as_str())).collect(),
            _ => names.iter().filter(|_| chance.once_in(2)).map(|name| Value::from(name.as_str())).collect(),
        },
    }
}

/// Fields or parameters; empty options are omitted.
pub(super) fn members(chance: &mut Chance, fields: &[(String, Type)]) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, ty) in fields {
        let value = value(chance, ty);
        if !(matches!(ty, Type::Option(_)) && value.is_null()) {
            map.insert(name.clone(), value);
        }
    }
    map
}

/// An object with one key.
pub(super) fn one(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// A number if all JSON readers represent it exactly, else a text of digits.
pub(super) fn integer_json(int: Int, value: i128) -> Value {
    match i64::try_from(value) {
        Ok(small) if int.bits < 64 || value.abs() <= SAFE => Value::from(small),
        _ => Value::from(value.to_string()),
    }
}

/// Shortest digits that identify a 32-bit float.
pub(super) fn f32_json(value: f32) -> Value {
    special(f64::from(value)).unwrap_or_else(|| number(value.to_string().parse().unwrap()))
}

/// Shortest digits that identify a 64-bit float.
pub(super) fn f64_json(value: f64) -> Value {
    special(value).unwrap_or_else(|| number(value))
}

fn special(value: f64) -> Option<Value> {
    match value {
        _ if value.is_nan() => Some(Value::from("NaN")),
        f64::INFINITY => Some(Value::from("Infinity")),
        f64::NEG_INFINITY => Some(Value::from("-Infinity")),
        _ => None,
    }
}

fn number(value: f64) -> Value {
    Value::Number(Number::from_f64(value).unwrap())
}

fn integer(chance: &mut Chance, int: Int) -> i128 {
    let (low, high) = int.range();
    let borders =
        [low, low + 1, high, high - 1, 0, 1, 127, 128, 255, 256, SAFE, SAFE + 1, SAFE + 2, -1, -SAFE - 1];
    // Bits of special floats: infinities, a quiet and a signalling NaN, minus zero, the smallest and the largest.
    let floats: [i128; 7] = match int.bits {
        32 => [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7fa0_0001, 0x8000_0000, 1, 0x7f7f_ffff],
        _ => [
            0x7ff0 << 48,
            0xfff0 << 48,
            0x7ff8 << 48,
            (0x7ff4 << 48) + 1,
            0x8000 << 48,
            1,
            (0x7ff0 << 48) - 1,
        ],
    };
    let value = match chance.below(4) {
        0 => *chance.pick(&borders),
        1 => *chance.pick(&floats),
        2 => i128::from(chance.bits() >> chance.below(64)),
        _ => i128::from(chance.bits()),
    };
    if (low..=high).contains(&value) { value } else { low + value.rem_euclid(high - low + 1) }
}

fn f32_finite(chance: &mut Chance) -> f32 {
    const BORDERS: [f32; 12] = [
        0.0,
        -0.0,
        0.1,
        1.0,
        -1.5,
        1e-45,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::EPSILON,
        16_777_217.0,
        0.3,
    ];
    let value = f32::from_bits(chance.bits() as u32);
    if chance.once_in(3) || !value.is_finite() { *chance.pick(&BORDERS) } else { value }
}

fn f64_finite(chance: &mut Chance) -> f64 {
    const BORDERS: [f64; 14] = [
        0.0,
        -0.0,
        0.1,
        1.0,
        -1.5,
        5e-324,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        9_007_199_254_740_993.0,
        1e21,
        1e-7,
        123_456_789.123_456_78,
    ];
    let value = f64::from_bits(chance.bits());
    if chance.once_in(3) || !value.is_finite() { *chance.pick(&BORDERS) } else { value }
}

fn char(chance: &mut Chance) -> char {
    const BORDERS: [char; 18] = [
        '\0',
        '\u{1b}',
        ' ',
        '"',
        '\\',
        '/',
        'a',
        '\u{7f}',
        '\u{80}',
        'é',
        '\u{301}',
        '\u{7ff}',
        '\u{800}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '😀',
        '\u{10ffff}',
    ];
    let any = char::from_u32((chance.bits() % 0x11_0000) as u32);
    if chance.once_in(2) { *chance.pick(&BORDERS) } else { any.unwrap_or('\u{fffd}') }
}

fn text(chance: &mut Chance) -> String {
    match chance.below(10) {
        0 => String::new(),
        1 => (*chance.pick(&["null", "true", "5", "-1", "NaN", "AAA=", "{}", "18446744073709551615", " "]))
            .to_owned(),
        2 => {
            let times = chance.below(300);
            char(chance).to_string().repeat(times)
        }
        _ => {
            let count = 1 + chance.below(8);
            (0..count).map(|_| char(chance)).collect()
        }
    }
}

fn count(chance: &mut Chance) -> usize {
    if chance.once_in(20) { chance.below(40) } else { chance.below(4) }
}
