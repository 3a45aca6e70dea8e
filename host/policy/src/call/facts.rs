//! Facts that rules may know of the arguments of a call: plain data, made from the values that the guest will get, so that a
//! rule never reads a text that the guest reads otherwise.

use std::collections::BTreeMap;

/// Arguments by name, or nothing where nobody read them: then a rule about them denies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArgumentFacts(Option<BTreeMap<String, ArgumentFact>>);

/// A value as rules see it.
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
    /// A record or tuple; a variant or result as `tag` and `value`. Fields whose option is `none` are absent.
    Record(BTreeMap<String, ArgumentFact>),
    /// A value that is there, but not as any of these, such as a `u64` above `i64::MAX`. Absence would say that it was
    /// not given. A rule that reads the argument it is in errs, which denies.
    Unreadable,
}

/// The type of an argument as rules see it, made from WIT.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArgumentType {
    /// `bool`.
    Bool,
    /// Any integer. A `u64` that does not fit is [`ArgumentFact::Unreadable`].
    Long,
    /// `string`, `char`, enum.
    Text,
    /// `option` of an argument or of a field; anywhere else it is hidden.
    Optional(Box<ArgumentType>),
    /// `flags`, or a list of scalars.
    Set(Box<ArgumentType>),
    /// A record or tuple; a variant or result as `tag` and `value`.
    Record(BTreeMap<String, ArgumentType>),
    /// Not visible to rules: a rule that names it does not load.
    Hidden,
}

impl ArgumentFacts {
    /// The arguments, by name. Those whose option is `none` are absent.
    pub fn new(arguments: BTreeMap<String, ArgumentFact>) -> Self {
        Self(Some(arguments))
    }

    /// The arguments, if they were read.
    pub fn arguments(&self) -> Option<&BTreeMap<String, ArgumentFact>> {
        self.0.as_ref()
    }
}

impl ArgumentFact {
    /// Whether a value of this type looks like this to a rule; what is hidden from rules may look like anything.
    pub fn fits(&self, expected: &ArgumentType) -> bool {
        match (self, expected) {
            (_, ArgumentType::Hidden)
            | (Self::Bool(_), ArgumentType::Bool)
            | (Self::Long(_), ArgumentType::Long)
            | (Self::Text(_), ArgumentType::Text) => true,
            (fact, ArgumentType::Optional(inner)) => fact.fits(inner),
            (Self::Set(items), ArgumentType::Set(inner)) => items.iter().all(|item| item.fits(inner)),
            (Self::Record(fields), ArgumentType::Record(types)) => {
                types.iter().all(|(name, expected)| expected.is_met_by(fields.get(name)))
            }
            _ => false,
        }
    }
}

impl ArgumentType {
    /// Whether an argument or field of this type may be this, or absent.
    pub fn is_met_by(&self, fact: Option<&ArgumentFact>) -> bool {
        match fact {
            Some(fact) => fact.fits(self),
            None => matches!(self, Self::Optional(_) | Self::Hidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_fits_its_type_alone_and_what_is_unreadable_fits_none() {
        let long = || Box::new(ArgumentType::Long);
        let record = ArgumentType::Record(BTreeMap::from([
            ("a".to_owned(), ArgumentType::Long),
            ("b".to_owned(), ArgumentType::Optional(long())),
            ("c".to_owned(), ArgumentType::Hidden),
        ]));
        let fields = |pairs: &[(&str, ArgumentFact)]| {
            ArgumentFact::Record(
                pairs.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())).collect(),
            )
        };
        let one = ArgumentFact::Long(1);
        for (fact, expected, fits) in [
            (ArgumentFact::Bool(true), ArgumentType::Bool, true),
            (one.clone(), ArgumentType::Optional(long()), true),
            (one.clone(), ArgumentType::Text, false),
            (ArgumentFact::Text("1".to_owned()), ArgumentType::Long, false),
            (ArgumentFact::Unreadable, ArgumentType::Long, false),
            (ArgumentFact::Unreadable, ArgumentType::Optional(long()), false),
            (ArgumentFact::Unreadable, ArgumentType::Hidden, true),
            (ArgumentFact::Set(vec![one.clone()]), ArgumentType::Set(long()), true),
            (
                ArgumentFact::Set(vec![one.clone(), ArgumentFact::Unreadable]),
                ArgumentType::Set(long()),
                false,
            ),
            (fields(&[("a", one.clone())]), record.clone(), true),
            (fields(&[("a", one.clone()), ("b", one.clone()), ("x", one.clone())]), record.clone(), true),
            (fields(&[("b", one.clone())]), record.clone(), false),
            (fields(&[("a", one.clone()), ("b", ArgumentFact::Unreadable)]), record, false),
        ] {
            assert_eq!(fact.fits(&expected), fits, "{fact:?} as {expected:?}");
        }
        assert!(!ArgumentType::Long.is_met_by(None));
        assert!(ArgumentType::Optional(long()).is_met_by(None));
    }
}
