//! Binary encoding of values between our own processes. Both ends know the type, so the encoding carries none and a
//! value of another type cannot be decoded. Memory is bounded before anything is built.

use wasmtime::component::Val;

use super::cost::{NAME, VAL, chunk, grown};
use super::shape::{Integer, Shape};

/// Reason that bytes cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// They are of another type, too short, or too long.
    Malformed,
    /// The value would take more memory than allowed.
    Large,
}

/// Appends a value. `None` if it is not of the type.
pub fn write(val: &Val, shape: &Shape, to: &mut Vec<u8>) -> Option<()> {
    match (shape, val) {
        (Shape::Bool, Val::Bool(value)) => to.push(u8::from(*value)),
        (Shape::Integer(integer), val) => write_integer(val, *integer, to)?,
        (Shape::F32, Val::Float32(value)) => to.extend(value.to_bits().to_le_bytes()),
        (Shape::F64, Val::Float64(value)) => to.extend(value.to_bits().to_le_bytes()),
        (Shape::Char, Val::Char(value)) => number(to, u32::from(*value)),
        (Shape::String, Val::String(text)) => write_bytes(text.as_bytes(), to)?,
        (Shape::Bytes, Val::List(list)) => {
            to.push(0);
            let byte = |val: &Val| if let Val::U8(byte) = val { Some(*byte) } else { None };
            write_bytes(&list.iter().map(byte).collect::<Option<Vec<u8>>>()?, to)?;
        }
        // A drained stream, as base64 already.
        (Shape::Bytes, Val::String(text)) => {
            to.push(1);
            write_bytes(text.as_bytes(), to)?;
        }
        (Shape::List(element), Val::List(list)) => {
            number(to, u32::try_from(list.len()).ok()?);
            list.iter().try_for_each(|val| write(val, element, to))?;
        }
        (Shape::Tuple(shapes), Val::Tuple(vals)) if shapes.len() == vals.len() => {
            vals.iter().zip(shapes).try_for_each(|(val, shape)| write(val, shape, to))?;
        }
        (Shape::Record(fields), Val::Record(vals)) if fields.len() == vals.len() => {
            vals.iter().zip(fields).try_for_each(|((_, val), field)| write(val, &field.shape, to))?;
        }
        (Shape::Option(inner), Val::Option(val)) => {
            to.push(u8::from(val.is_some()));
            write_part(val.as_deref(), val.as_ref().map(|_| inner.as_ref()), to)?;
        }
        (Shape::Result(ok, err), Val::Result(side)) => {
            to.push(u8::from(side.is_err()));
            match side {
                Ok(val) => write_part(val.as_deref(), ok.as_deref(), to)?,
                Err(val) => write_part(val.as_deref(), err.as_deref(), to)?,
            }
        }
        (Shape::Variant(cases), Val::Variant(name, val)) => {
            let at = cases.iter().position(|case| case.name == *name)?;
            number(to, u32::try_from(at).ok()?);
            write_part(val.as_deref(), cases.get(at)?.payload.as_ref(), to)?;
        }
        (Shape::Enum(names), Val::Enum(name)) => {
            number(to, u32::try_from(names.iter().position(|known| known == name)?).ok()?);
        }
        (Shape::Flags(names), Val::Flags(set)) => {
            let bit = |(at, name): (u32, &String)| u8::from(set.contains(name)) << at;
            to.extend(names.chunks(8).map(|names| (0..).zip(names).map(bit).sum::<u8>()));
        }
        _ => return None,
    }
    Some(())
}

fn write_part(val: Option<&Val>, shape: Option<&Shape>, to: &mut Vec<u8>) -> Option<()> {
    match (val, shape) {
        (None, None) => Some(()),
        (Some(val), Some(shape)) => write(val, shape, to),
        (None, Some(_)) | (Some(_), None) => None,
    }
}

fn write_integer(val: &Val, integer: Integer, to: &mut Vec<u8>) -> Option<()> {
    match (integer, val) {
        (Integer::U8, Val::U8(value)) => to.extend(value.to_le_bytes()),
        (Integer::S8, Val::S8(value)) => to.extend(value.to_le_bytes()),
        (Integer::U16, Val::U16(value)) => to.extend(value.to_le_bytes()),
        (Integer::S16, Val::S16(value)) => to.extend(value.to_le_bytes()),
        (Integer::U32, Val::U32(value)) => to.extend(value.to_le_bytes()),
        (Integer::S32, Val::S32(value)) => to.extend(value.to_le_bytes()),
        (Integer::U64, Val::U64(value)) => to.extend(value.to_le_bytes()),
        (Integer::S64, Val::S64(value)) => to.extend(value.to_le_bytes()),
        _ => return None,
    }
    Some(())
}

fn write_bytes(bytes: &[u8], to: &mut Vec<u8>) -> Option<()> {
    number(to, u32::try_from(bytes.len()).ok()?);
    to.extend_from_slice(bytes);
    Some(())
}

fn number(to: &mut Vec<u8>, number: u32) {
    to.extend(number.to_le_bytes());
}

/// Decodes exactly the values of these types, in at most `room` bytes of memory, allocation overhead included.
pub fn read<'s>(
    bytes: &[u8],
    shapes: impl Iterator<Item = &'s Shape>,
    room: u64,
) -> Result<Vec<Val>, WireError> {
    let mut reading = Reading { left: bytes, room };
    let mut vals = Vec::new();
    for shape in shapes {
        reading.spend(VAL)?;
        vals.push(reading.value(shape)?);
    }
    if reading.left.is_empty() { Ok(vals) } else { Err(WireError::Malformed) }
}

struct Reading<'b> {
    left: &'b [u8],
    room: u64,
}

impl Reading<'_> {
    /// Decodes a value; its inline size is counted by the caller.
    fn value(&mut self, shape: &Shape) -> Result<Val, WireError> {
        Ok(match shape {
            Shape::Bool => Val::Bool(self.yes()?),
            Shape::Integer(integer) => self.integer(*integer)?,
            Shape::F32 => Val::Float32(f32::from_bits(self.number()?)),
            Shape::F64 => Val::Float64(f64::from_bits(u64::from_le_bytes(self.some()?))),
            Shape::Char => Val::Char(char::from_u32(self.number()?).ok_or(WireError::Malformed)?),
            Shape::String => Val::String(self.text()?),
            Shape::Bytes if self.yes()? => Val::String(self.text()?),
            Shape::Bytes => {
                let len = self.len()?;
                self.spend(chunk((len as u64).saturating_mul(VAL)))?;
                Val::List(self.take(len)?.iter().copied().map(Val::U8).collect())
            }
            Shape::List(element) => {
                let len = self.len()?;
                self.spend(grown(len as u64, VAL))?;
                // Grows as elements are read, so that a forged length alone allocates nothing.
                Val::List((0..len).map(|_| self.value(element)).collect::<Result<_, _>>()?)
            }
            Shape::Tuple(shapes) => {
                self.spend(grown(shapes.len() as u64, VAL))?;
                Val::Tuple(shapes.iter().map(|shape| self.value(shape)).collect::<Result<_, _>>()?)
            }
            Shape::Record(fields) => {
                self.spend(chunk(fields.len() as u64 * (VAL + NAME)))?;
                let mut vals = Vec::with_capacity(fields.len());
                for field in fields {
                    self.spend(chunk(field.name.len() as u64))?;
                    vals.push((field.name.clone(), self.value(&field.shape)?));
                }
                Val::Record(vals)
            }
            Shape::Option(inner) => {
                let inner = self.yes()?.then_some(inner.as_ref());
                Val::Option(self.part(inner)?)
            }
            Shape::Result(ok, err) => match self.yes()? {
                false => Val::Result(Ok(self.part(ok.as_deref())?)),
                true => Val::Result(Err(self.part(err.as_deref())?)),
            },
            Shape::Variant(cases) => {
                let at = self.number()? as usize;
                let case = cases.get(at).ok_or(WireError::Malformed)?;
                self.spend(chunk(case.name.len() as u64))?;
                Val::Variant(case.name.clone(), self.part(case.payload.as_ref())?)
            }
            Shape::Enum(names) => {
                let at = self.number()? as usize;
                let name = names.get(at).ok_or(WireError::Malformed)?;
                self.spend(chunk(name.len() as u64))?;
                Val::Enum(name.clone())
            }
            Shape::Flags(names) => self.flags(names)?,
        })
    }

    /// Flags, packed eight to a byte.
    fn flags(&mut self, names: &[String]) -> Result<Val, WireError> {
        let mut set = Vec::new();
        for names in names.chunks(8) {
            let [bits] = self.some()?;
            let used = usize::BITS - usize::from(bits).leading_zeros();
            if used as usize > names.len() {
                return Err(WireError::Malformed);
            }
            for (_, name) in (0..).zip(names).filter(|(at, _)| bits & (1 << at) != 0) {
                // Names count twice, since the list grows by doubling.
                self.spend(chunk(name.len() as u64) + 2 * NAME)?;
                set.push(name.clone());
            }
        }
        Ok(Val::Flags(set))
    }

    fn part(&mut self, shape: Option<&Shape>) -> Result<Option<Box<Val>>, WireError> {
        let Some(shape) = shape else { return Ok(None) };
        self.spend(chunk(VAL))?;
        Ok(Some(Box::new(self.value(shape)?)))
    }

    fn integer(&mut self, integer: Integer) -> Result<Val, WireError> {
        Ok(match integer {
            Integer::U8 => Val::U8(u8::from_le_bytes(self.some()?)),
            Integer::S8 => Val::S8(i8::from_le_bytes(self.some()?)),
            Integer::U16 => Val::U16(u16::from_le_bytes(self.some()?)),
            Integer::S16 => Val::S16(i16::from_le_bytes(self.some()?)),
            Integer::U32 => Val::U32(u32::from_le_bytes(self.some()?)),
            Integer::S32 => Val::S32(i32::from_le_bytes(self.some()?)),
            Integer::U64 => Val::U64(u64::from_le_bytes(self.some()?)),
            Integer::S64 => Val::S64(i64::from_le_bytes(self.some()?)),
        })
    }

    fn text(&mut self) -> Result<String, WireError> {
        let len = self.len()?;
        self.spend(chunk(len as u64))?;
        let text = str::from_utf8(self.take(len)?).map_err(|_| WireError::Malformed)?;
        Ok(text.to_owned())
    }

    /// A length. Every element takes at least one byte, so a length beyond what is left is refused.
    fn len(&mut self) -> Result<usize, WireError> {
        let len = self.number()? as usize;
        if len > self.left.len() { Err(WireError::Malformed) } else { Ok(len) }
    }

    fn yes(&mut self) -> Result<bool, WireError> {
        match self.some::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(WireError::Malformed),
        }
    }

    fn number(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.some()?))
    }

    fn some<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError::Malformed)
    }

    fn take(&mut self, len: usize) -> Result<&[u8], WireError> {
        let (taken, left) = self.left.split_at_checked(len).ok_or(WireError::Malformed)?;
        self.left = left;
        Ok(taken)
    }

    fn spend(&mut self, bytes: u64) -> Result<(), WireError> {
        self.room = self.room.checked_sub(bytes).ok_or(WireError::Large)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Case, Field};

    fn everything() -> (Shape, Val) {
        let field = |name: &str, shape| Field { name: name.to_owned(), shape };
        let shape = Shape::Record(vec![
            field("list", Shape::List(Box::new(Shape::Option(Box::new(Shape::Char))))),
            field("bytes", Shape::Bytes),
            field("later", Shape::Bytes),
            field("pair", Shape::Tuple(vec![Shape::F32, Shape::Integer(Integer::S64)])),
            field("result", Shape::Result(None, Some(Box::new(Shape::String)))),
            field("case", Shape::Variant(vec![Case { name: "a".into(), payload: Some(Shape::Bool) }])),
            field("enum", Shape::Enum(vec!["x".into(), "y".into()])),
            field("flags", Shape::Flags(vec!["p".into(), "q".into()])),
        ]);
        let val = |name: &str, val| (name.to_owned(), val);
        let vals = vec![
            val("list", Val::List(vec![Val::Option(None), Val::Option(Some(Box::new(Val::Char('ß'))))])),
            val("bytes", Val::List(vec![Val::U8(0), Val::U8(255)])),
            val("later", Val::String("AP8=".into())),
            val("pair", Val::Tuple(vec![Val::Float32(-0.0), Val::S64(i64::MIN)])),
            val("result", Val::Result(Err(Some(Box::new(Val::String("nö".into())))))),
            val("case", Val::Variant("a".into(), Some(Box::new(Val::Bool(true))))),
            val("enum", Val::Enum("y".into())),
            val("flags", Val::Flags(vec!["q".into()])),
        ];
        (shape, Val::Record(vals))
    }

    #[test]
    fn what_is_written_is_read_and_no_part_of_it_is() {
        let (shape, val) = everything();
        let mut bytes = Vec::new();
        write(&val, &shape, &mut bytes).unwrap();
        let read_back = |bytes: &[u8]| read(bytes, std::iter::once(&shape), 10_000);
        assert_eq!(read_back(&bytes), Ok(vec![val]));
        for len in 0..bytes.len() {
            assert_eq!(read_back(&bytes[..len]), Err(WireError::Malformed), "{len}");
        }
        bytes.push(0);
        assert_eq!(read_back(&bytes), Err(WireError::Malformed));
    }

    #[test]
    fn any_byte_turned_gives_a_value_of_the_type_or_none_and_never_a_panic() {
        let (shape, val) = everything();
        let mut bytes = Vec::new();
        write(&val, &shape, &mut bytes).unwrap();
        for at in 0..bytes.len() {
            for turned in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = turned;
                if let Ok(vals) = read(&bytes, std::iter::once(&shape), 10_000) {
                    assert!(write(&vals[0], &shape, &mut Vec::new()).is_some());
                }
            }
        }
    }

    #[test]
    fn a_value_that_would_take_more_memory_than_there_is_room_for_is_not_built() {
        let shape = Shape::List(Box::new(Shape::Bool));
        let mut bytes = Vec::new();
        write(&Val::List(vec![Val::Bool(true); 1_000]), &shape, &mut bytes).unwrap();
        let room = VAL + grown(1_000, VAL);
        assert!(read(&bytes, std::iter::once(&shape), room).is_ok());
        assert_eq!(read(&bytes, std::iter::once(&shape), room - 1), Err(WireError::Large));
        let endless = u32::MAX.to_le_bytes();
        assert_eq!(read(&endless, std::iter::once(&shape), u64::MAX), Err(WireError::Malformed));
    }
}
