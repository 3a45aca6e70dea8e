//! Facts that rules may know of the arguments of a call: plain data, made from the values that the guest will get, so that a
//! rule never reads a text that the guest reads otherwise.

use std::collections::BTreeMap;

/// Arguments by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArgumentFacts(pub BTreeMap<String, ArgumentFact>);

/// A value as rules see it. What is not exactly representable is absent, and a rule that reads it errs, which denies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArgumentFact {
    /// `bool`.
    Bool(bool),
    /// An integer of any WIT type that fits.
    Long(i64),
    /// `string`, `char`, or the case of an enum.
    Text(String),
    /// `flags`, or a list of scalars.
    Set(Vec<ArgumentFact>),
    /// A record or tuple; a variant or result as `tag` and `value`.
    Record(BTreeMap<String, ArgumentFact>),
}
