//! Every bound there is, in one place: default, ceiling, reason. What a call may use is in [`call`], what the host holds
//! of its values in [`lift`], what its connections may use beside that in [`http`], what its store may in [`keyvalue`], what
//! may be loaded in [`load`], what may come over the wire in [`wire`]. No other file holds a number that bounds something.

pub mod call;
pub mod http;
pub mod keyvalue;
pub mod lift;
pub mod load;
pub mod wire;

/// A number of bytes, or of things, for what lies in memory; of what does not fit there the most that does.
#[expect(clippy::cast_possible_truncation, reason = "compared before")]
pub const fn size(number: u64) -> usize {
    if number > usize::MAX as u64 { usize::MAX } else { number as usize }
}

/// One bound. Quantities carry their unit in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The key in the configuration, and the name by which it is reported when it is hit.
    pub name: &'static str,
    /// What holds when the operator says nothing.
    pub default: u64,
    /// What the operator cannot go beyond.
    pub ceiling: u64,
    /// Why it exists, for people.
    pub reason: &'static str,
}

impl Limit {
    /// The value, if it lies between 1 and the ceiling.
    ///
    /// # Errors
    /// A sentence that names the range.
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
