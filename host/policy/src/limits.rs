//! Every bound, with default, ceiling and reason: calls in [`call`], lifted values in [`lift`], HTTP connections in
//! [`http`], credentials in [`auth`], the store in [`keyvalue`], loading in [`load`], access rules in [`rules`], the wire in [`wire`].
//! No other file has a bound.

pub mod auth;
pub mod call;
pub mod http;
pub mod keyvalue;
pub mod lift;
pub mod load;
pub mod rules;
pub mod wire;

/// A number as a size in memory; saturates at `usize::MAX`.
#[expect(clippy::cast_possible_truncation, reason = "compared before")]
pub const fn size(number: u64) -> usize {
    if number > usize::MAX as u64 { usize::MAX } else { number as usize }
}

/// One bound. Quantities carry their unit in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The key in the configuration, and the name by which it is reported when it is hit.
    pub name: &'static str,
    /// Value when the operator writes none.
    pub default: u64,
    /// Largest value an operator can write.
    pub ceiling: u64,
    /// Reason for the limit, for people.
    pub reason: &'static str,
}

impl Limit {
    /// The value, if it is between 1 and the ceiling. An error names the range.
    pub fn check(&self, value: i64) -> Result<u64, String> {
        match u64::try_from(value) {
            Ok(value) if (1..=self.ceiling).contains(&value) => Ok(value),
            _ => Err(format!(
                "{value} is out of range; write 1 to {} (default {})",
                self.ceiling, self.default
            )),
        }
    }
}

/// Shorthand for byte counts below.
pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
