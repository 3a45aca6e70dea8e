//! Memory cost of values in the host. The engine counts lifted values in fuel, which omits allocation overhead: names,
//! boxes, lists that grow by doubling. Memory per unit of fuel depends on the type, and is computed here once per
//! function.

use wasmtime::component::Val;

use super::shape::{Case, Field, Function, Shape};

/// Bytes of memory for each unit of fuel, in quarters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(u64);

impl Default for Ratio {
    /// One byte per unit.
    fn default() -> Self {
        Self(4)
    }
}

/// Bytes that an allocation of this size takes, with the allocator's overhead.
pub(super) const fn chunk(bytes: u64) -> u64 {
    const LEAST: u64 = 32;
    const HEAD: u64 = 8;
    let rounded = (bytes + HEAD).next_multiple_of(16);
    if rounded < LEAST { LEAST } else { rounded }
}

/// Bytes that a list grown by doubling to `len` elements takes.
pub(super) const fn grown(len: u64, each: u64) -> u64 {
    const LEAST: u64 = 4;
    match len {
        0 => 0,
        _ => {
            let capacity = len.next_power_of_two();
            chunk(if capacity < LEAST { LEAST } else { capacity } * each)
        }
    }
}

/// Inline size of a value, and of a field's name.
pub(super) const VAL: u64 = size_of::<Val>() as u64;
pub(super) const NAME: u64 = size_of::<String>() as u64;

impl Ratio {
    /// Ratio that bounds the memory of a function's result.
    pub fn of(function: &Function) -> Self {
        /// Bytes that may be exceeded once, regardless of a value's length.
        const ONCE: i64 = 64 << 10;
        /// Upper bound for every type, in quarters.
        const MOST: u64 = 400;
        let Some(shape) = &function.result else { return Self::default() };
        let is_enough = |quarters: &u64| excess(shape, *quarters).is_some_and(|excess| excess <= ONCE * 4);
        Self((4..MOST).find(is_enough).unwrap_or(MOST))
    }

    /// Fuel that the engine may count when `room` bytes are left.
    pub fn fuel(self, room: u64) -> u64 {
        room.saturating_mul(4) / self.0
    }
}

/// Most by which a value of this type can exceed its allowance of `quarters` per unit, in quarters of a byte.
/// `None` if unbounded. The value's own inline size is counted by the caller.
fn excess(shape: &Shape, quarters: u64) -> Option<i64> {
    let over = |bytes: u64, fuel: u64| signed(bytes * 4) - signed(quarters * fuel);
    Some(match shape {
        Shape::Bool | Shape::Integer(_) | Shape::F32 | Shape::F64 | Shape::Char => 0,
        Shape::String => {
            // UTF-16 grows to one and a half of its bytes, in a string that grows by doubling.
            const LONG: u64 = 3;
            if quarters < LONG * 4 {
                return None;
            }
            over(chunk(1), 1).max(0)
        }
        Shape::Bytes => list(0, quarters)?,
        Shape::List(element) => list(excess(element, quarters)?, quarters)?,
        Shape::Tuple(shapes) => {
            let len = shapes.len() as u64;
            over(grown(len, VAL), len * VAL) + sum(shapes.iter(), quarters)?
        }
        Shape::Record(fields) => {
            let len = fields.len() as u64;
            let name = |field: &Field| over(chunk(field.name.len() as u64), VAL + field.name.len() as u64);
            let names: i64 = fields.iter().map(name).sum();
            over(grown(len, VAL + NAME), 0) + names + sum(fields.iter().map(|field| &field.shape), quarters)?
        }
        Shape::Option(inner) => boxed(Some(inner), quarters)?.max(0),
        Shape::Result(ok, err) => boxed(ok.as_deref(), quarters)?.max(boxed(err.as_deref(), quarters)?),
        Shape::Variant(cases) => {
            let mut most = 0;
            for Case { name, payload } in cases {
                let len = name.len() as u64;
                most = most.max(over(chunk(len), len) + boxed(payload.as_ref(), quarters)?);
            }
            most
        }
        Shape::Enum(names) => {
            let name = |name: &String| over(chunk(name.len() as u64), name.len() as u64);
            names.iter().map(name).max().unwrap_or(0)
        }
        Shape::Flags(names) => {
            let mut lens: Vec<u64> = names.iter().map(|name| name.len() as u64).collect();
            lens.sort_unstable();
            let (mut set, mut most) = (0, 0);
            for (count, len) in (1..).zip(lens) {
                set += over(chunk(len), len);
                most = most.max(set + over(grown(count, NAME), 0));
            }
            most
        }
    })
}

/// [`excess`] of a list whose elements each exceed by `element`.
fn list(element: i64, quarters: u64) -> Option<i64> {
    let slot = signed(quarters * VAL);
    // The capacity is at most twice the length.
    if signed(2 * VAL * 4) - slot + element > 0 {
        return None;
    }
    // The excess is largest just after the list has grown.
    let just_grown = [1, 5, 9, 17, 33, 65, 129].map(|len| {
        let all = i64::try_from(len).unwrap_or(i64::MAX);
        signed(grown(len, VAL) * 4) + all * (element - slot)
    });
    Some(just_grown.into_iter().fold(0, i64::max))
}

/// [`excess`] of an optional boxed value.
fn boxed(shape: Option<&Shape>, quarters: u64) -> Option<i64> {
    match shape {
        None => Some(0),
        Some(shape) => Some(signed(chunk(VAL) * 4) - signed(quarters * VAL) + excess(shape, quarters)?),
    }
}

fn sum<'s>(shapes: impl Iterator<Item = &'s Shape>, quarters: u64) -> Option<i64> {
    shapes.map(|shape| excess(shape, quarters)).sum()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Integer;

    fn ratio(result: Shape) -> Ratio {
        Ratio::of(&Function { params: Vec::new(), result: Some(result), deferred: None })
    }

    fn list_of(shape: Shape) -> Shape {
        Shape::List(Box::new(shape))
    }

    #[test]
    fn lists_take_twice_what_is_counted_and_short_ones_in_them_more() {
        let number = Shape::Integer(Integer::S8);
        assert_eq!(ratio(Shape::Bytes), Ratio(8));
        assert_eq!(ratio(list_of(number.clone())), Ratio(8));
        let one = ratio(list_of(Shape::Tuple(vec![number.clone()])));
        assert!(one > 8 && one < 16, "{one:?}");
        assert_eq!(ratio(list_of(list_of(number))), one, "a list of one is a tuple of one");
    }

    #[test]
    fn flags_cost_the_most_for_what_is_counted_of_them() {
        let names = |count: usize| (0..count).map(|n| format!("{}", n % 10)).collect();
        let flags = ratio(list_of(Shape::Flags(names(32))));
        assert!(flags > 80, "{flags:?}: one each is counted, and forty more are allocated");
        assert!(ratio(Shape::Flags(names(32))) < 8, "once");
    }

    #[test]
    fn room_is_divided_by_what_each_unit_can_take() {
        assert_eq!(ratio(Shape::Bytes).fuel(1_000), 500);
        assert_eq!(Ratio::of(&Function { params: Vec::new(), result: None, deferred: None }).fuel(7), 7);
    }

    impl PartialEq<u64> for Ratio {
        fn eq(&self, other: &u64) -> bool {
            self.0 == *other
        }
    }

    impl PartialOrd<u64> for Ratio {
        fn partial_cmp(&self, other: &u64) -> Option<std::cmp::Ordering> {
            self.0.partial_cmp(other)
        }
    }
}
