//! Canonical form of a value, for digests: RFC 8785, except that numbers have their exact value, so that different
//! values have different forms. It is written in pieces and never held as a whole.

use std::io::{Result, Write};

use super::Json;

impl Json {
    /// Writes the canonical form.
    ///
    /// # Errors
    /// Errors of the writer, and a number that is not finite.
    pub fn write_canonical(&self, to: &mut dyn Write) -> Result<()> {
        match self {
            Self::Null => to.write_all(b"null"),
            Self::Bool(value) => write!(to, "{value}"),
            Self::Integer(value) => Ok(serde_json::to_writer(to, value)?),
            Self::Float(value) => write_float(*value, to),
            Self::String(text) => write_string(text, to),
            Self::Array(elements) => {
                to.write_all(b"[")?;
                for (index, element) in elements.iter().enumerate() {
                    separate(index, to)?;
                    element.write_canonical(to)?;
                }
                to.write_all(b"]")
            }
            Self::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
                to.write_all(b"{")?;
                for (index, (key, value)) in sorted.into_iter().enumerate() {
                    separate(index, to)?;
                    write_string(key, to)?;
                    to.write_all(b":")?;
                    value.write_canonical(to)?;
                }
                to.write_all(b"}")
            }
        }
    }
}

fn separate(index: usize, to: &mut dyn Write) -> Result<()> {
    if index == 0 { Ok(()) } else { to.write_all(b",") }
}

fn write_string(text: &str, to: &mut dyn Write) -> Result<()> {
    // Its escapes are those of RFC 8785 §3.2.2.2.
    Ok(serde_json::to_writer(to, text)?)
}

fn write_float(value: f64, mut to: &mut dyn Write) -> Result<()> {
    const INTEGERS_END: f64 = (1_u128 << 64) as f64;
    /// From here on the shortest digits of a broken number are written without an exponent, by serde_json too.
    const PLAIN_FROM: f64 = 1e-4;
    if value == 0.0 && value.is_sign_negative() {
        to.write_all(b"-0")
    } else if value.fract() == 0.0 && value.abs() < INTEGERS_END {
        // From 2^53 on, the shortest digits of a whole number are those of another one, which may occur as an integer.
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number, and small enough")]
        let whole = value as i128;
        write!(to, "{whole}")
    } else if (PLAIN_FROM..INTEGERS_END).contains(&value.abs()) {
        // Several times as fast as below.
        Ok(serde_json::to_writer(to, &value)?)
    } else {
        Ok(serde_json_canonicalizer::to_writer(&value, &mut to)?)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "what is cast is whole and small enough")]
mod tests {
    use super::super::JsonLimits;
    use super::*;

    fn form(json: &Json) -> String {
        let mut bytes = Vec::new();
        json.write_canonical(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn parse(text: &str) -> Json {
        let bounds = JsonLimits { bytes_max: 1 << 20, depth_max: 64, nodes_max: 1 << 20 };
        Json::parse(text.as_bytes(), bounds).unwrap()
    }

    /// A value in one of its forms: whole numbers as integers, keys sorted.
    fn normal(json: &Json) -> Json {
        match json {
            Json::Float(value) if *value == 0.0 && value.is_sign_negative() => Json::Float(*value),
            Json::Float(value) if value.fract() == 0.0 && value.abs() < 1e30 => Json::Integer(*value as i128),
            Json::Array(elements) => Json::Array(elements.iter().map(normal).collect()),
            Json::Object(members) => {
                let mut members: Vec<_> =
                    members.iter().map(|(key, value)| (key.clone(), normal(value))).collect();
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                Json::Object(members)
            }
            other => other.clone(),
        }
    }

    /// Whether two values are equal: numbers exactly, objects regardless of the order of keys.
    fn is_same(a: &Json, b: &Json) -> bool {
        normal(a) == normal(b)
    }

    /// Deterministic pseudo-random numbers (SplitMix64).
    struct Chance(u64);

    impl Chance {
        fn bits(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        fn below(&mut self, end: u64) -> u64 {
            self.bits() % end
        }

        fn pick<T: Clone>(&mut self, from: &[T]) -> T {
            from[self.below(from.len() as u64) as usize].clone()
        }

        /// One near where integers and doubles part.
        fn number(&mut self) -> Json {
            const EDGES: [i128; 7] = [0, 1 << 53, 1 << 62, 1 << 63, (1 << 64) - 1, -(1 << 53), -(1 << 63)];
            let near = self.pick(&EDGES) + i128::from(self.below(9)) - 4;
            let near = near.clamp(i64::MIN.into(), u64::MAX.into());
            match self.below(6) {
                0 => Json::Integer(near),
                1 => Json::Float(near as f64),
                2 => Json::Float(self.pick(&[
                    -0.0,
                    0.0,
                    1e21,
                    1e-7,
                    1.5,
                    5e-324,
                    1e300,
                    -1e20,
                    1.8446744073709552e19,
                ])),
                3 => Json::Integer(self.below(200).into()),
                // One that is written without an exponent, or nearly.
                4 => Json::Float(self.bits() as f64 / 10_f64.powi(self.below(26) as i32)),
                _ => Json::Float(f64::from_bits(self.bits())),
            }
        }

        fn text(&mut self) -> String {
            // By UTF-16 `😀` comes before `\u{ffff}`, by UTF-8 after it.
            const CHARS: [char; 14] = [
                'a', 'b', 'é', '"', '\\', '/', '\u{0}', '\u{1f}', '\n', '\u{7f}', '\u{ffff}', '\u{e000}',
                '😀', '1',
            ];
            (0..self.below(4)).map(|_| self.pick(&CHARS)).collect()
        }

        fn value(&mut self, depth: usize) -> Json {
            match self.below(if depth == 0 { 4 } else { 6 }) {
                0 => self.pick(&[Json::Null, Json::Bool(true), Json::Bool(false)]),
                1 => Json::String(self.text()),
                2 | 3 => match self.number() {
                    Json::Float(value) if !value.is_finite() => Json::Null,
                    number => number,
                },
                4 => Json::Array((0..self.below(5)).map(|_| self.value(depth - 1)).collect()),
                _ => {
                    let mut members: Vec<(String, Json)> = Vec::new();
                    for _ in 0..self.below(5) {
                        let key = self.text();
                        if members.iter().all(|(other, _)| *other != key) {
                            members.push((key, self.value(depth - 1)));
                        }
                    }
                    Json::Object(members)
                }
            }
        }
    }

    /// Whether RFC 8785 has the exact value of every number in it.
    fn is_exact(json: &Json) -> bool {
        const EXACT_MAX: f64 = (1_u64 << 53) as f64;
        match json {
            Json::Integer(value) => value.unsigned_abs() <= 1 << 53,
            Json::Float(value) if *value == 0.0 => value.is_sign_positive(),
            Json::Float(value) => {
                value.fract() != 0.0 || value.abs() <= EXACT_MAX || value.abs() >= EXACT_MAX * 2048.0
            }
            Json::Array(elements) => elements.iter().all(is_exact),
            Json::Object(members) => members.iter().all(|(_, value)| is_exact(value)),
            _ => true,
        }
    }

    #[test]
    fn the_form_read_again_is_the_value_so_no_two_values_have_one_form() {
        let mut chance = Chance(16);
        for _ in 0..20_000 {
            let (value, other) = (chance.value(3), chance.value(1));
            let text = form(&value);
            assert!(is_same(&parse(&text), &value), "{value:?}: {text}");
            assert_eq!(form(&parse(&text)), text);
            assert_eq!(form(&value) == form(&other), is_same(&value, &other), "{value:?} {other:?}");
        }
    }

    #[test]
    fn the_form_is_that_of_rfc_8785_wherever_that_is_exact() {
        let mut chance = Chance(8785);
        let mut compared = 0;
        for _ in 0..20_000 {
            let value = chance.value(3);
            if is_exact(&value) {
                let theirs = serde_json_canonicalizer::to_string(&value.value()).unwrap();
                assert_eq!(form(&value), theirs, "{value:?}");
                compared += 1;
            }
        }
        assert!(compared > 5_000, "{compared}");
    }

    #[test]
    fn numbers_are_written_by_their_exact_value_and_keys_ordered_by_utf_16() {
        for (text, wanted) in [
            ("9007199254740993", "9007199254740993"),
            ("9007199254740992.0", "9007199254740992"),
            ("18446744073709551615", "18446744073709551615"),
            ("9223372036854775808.0", "9223372036854775808"),
            ("1e0", "1"),
            ("-0", "-0"),
            ("0.0", "0"),
            ("1e21", "1e+21"),
            ("18446744073709551616", "18446744073709552000"),
            ("1.0E-7", "1e-7"),
            (
                r#"{ "\uffff": 1, "\ud83d\ude00": 2, "b": {"d": [ ], "c": "\u000a\u001F\/"} }"#,
                "{\"b\":{\"c\":\"\\n\\u001f/\",\"d\":[]},\"😀\":2,\"\u{ffff}\":1}",
            ),
        ] {
            assert_eq!(form(&parse(text)), wanted, "{text}");
        }
        assert!(Json::Float(f64::NAN).write_canonical(&mut Vec::new()).is_err());
    }
}
