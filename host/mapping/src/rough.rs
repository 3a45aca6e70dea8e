//! Approximate schemas of values: their JSON types. For readers that take one schema for all elements of a tuple.

use serde_json::{Value, json};

use super::shape::Shape;

/// Levels of nested lists that are described.
const DEPTH_MAX: usize = 6;

/// Schema with the JSON types of these shapes. It accepts every value of theirs, and possibly others.
pub(super) fn any(shapes: &[Shape], is_answer: bool) -> Value {
    let mut kinds = Kinds { all: Vec::new(), is_answer, depth: 0 };
    shapes.iter().for_each(|shape| kinds.add(shape));
    kinds.schema()
}

struct Kinds {
    all: Vec<Value>,
    is_answer: bool,
    depth: usize,
}

impl Kinds {
    fn add(&mut self, shape: &Shape) {
        match shape {
            Shape::Bool => self.push(json!({ "type": "boolean" })),
            Shape::Integer(integer) => {
                self.push(json!({ "type": "integer" }));
                if integer.is_wide() {
                    self.push(json!({ "type": "string" }));
                }
            }
            Shape::F32 | Shape::F64 => {
                self.push(json!({ "type": "number" }));
                if self.is_answer {
                    self.push(json!({ "type": "string" }));
                }
            }
            Shape::Char | Shape::String | Shape::Bytes | Shape::Enum(_) => {
                self.push(json!({ "type": "string" }));
            }
            Shape::List(element) => self.push_list(std::slice::from_ref(element.as_ref())),
            Shape::Tuple(shapes) => self.push_list(shapes),
            Shape::Flags(_) => self.push(json!({ "type": "array", "items": { "type": "string" } })),
            Shape::Record(_) | Shape::Result(..) | Shape::Variant(_) => {
                self.push(json!({ "type": "object" }));
            }
            Shape::Option(inner) => {
                if inner.is_nullable() {
                    self.push(json!({ "type": "object" }));
                } else {
                    self.add(inner);
                }
                self.push(json!({ "type": "null" }));
            }
        }
    }

    fn push_list(&mut self, shapes: &[Shape]) {
        let mut inner = Self { all: Vec::new(), is_answer: self.is_answer, depth: self.depth + 1 };
        if inner.depth <= DEPTH_MAX {
            shapes.iter().for_each(|shape| inner.add(shape));
        }
        self.push(json!({ "type": "array", "items": inner.schema() }));
    }

    fn push(&mut self, kind: Value) {
        if !self.all.contains(&kind) {
            self.all.push(kind);
        }
    }

    fn schema(mut self) -> Value {
        match (self.all.pop(), self.all.is_empty()) {
            (None, _) => json!({}),
            (Some(only), true) => only,
            (Some(last), false) => {
                self.all.push(last);
                json!({ "anyOf": self.all })
            }
        }
    }
}
