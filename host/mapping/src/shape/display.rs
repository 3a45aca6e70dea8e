//! Shapes in WIT syntax.

use std::fmt;

use super::{Case, Deferred, Field, Function, Shape, answer};

impl fmt::Display for Shape {
    /// WIT syntax, without the names that types had in the source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Integer(integer) => f.write_str(integer.name()),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("list<u8>"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Tuple(elements) => write!(f, "tuple<{}>", Listed(elements)),
            // By name: in full it is too long to read.
            Self::Record(_) if *self == answer() => f.write_str("answer"),
            Self::Record(fields) => write!(f, "record {{ {} }}", Listed(fields)),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Self::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Self::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            Self::Variant(cases) => write!(f, "variant {{ {} }}", Listed(cases)),
            Self::Enum(names) => write!(f, "enum {{ {} }}", Listed(names)),
            Self::Flags(names) => write!(f, "flags {{ {} }}", Listed(names)),
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "func({})", Listed(&self.params))?;
        let deferred = |shape: &Shape| match (self.deferred, shape) {
            (Some(Deferred::Stream), _) => "stream<u8>".to_owned(),
            (Some(Deferred::Future), shape) => format!("future<{shape}>"),
            (None, shape) => shape.to_string(),
        };
        match &self.result {
            Some(Shape::Result(Some(ok), err)) if self.deferred.is_some() => match err {
                Some(err) => write!(f, " -> result<{}, {err}>", deferred(ok)),
                None => write!(f, " -> result<{}>", deferred(ok)),
            },
            Some(result) => write!(f, " -> {}", deferred(result)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.shape)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.payload {
            Some(payload) => write!(f, "{}({payload})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}
