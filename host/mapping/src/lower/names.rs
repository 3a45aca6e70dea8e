//! Lookup of names: linear where there are few, hashed where there are many, since a list can have a million values of one
//! type.

use super::Lowering;
use crate::shape::Case;

/// Up to this many names are compared one by one.
const FEW: usize = 16;

impl<'j> Lowering<'j> {
    /// Index of a name.
    pub(super) fn which(&mut self, name: &str, names: &'j [String]) -> Option<usize> {
        if names.len() <= FEW {
            return names.iter().position(|known| known == name);
        }
        let known = self.known.entry(names.as_ptr()).or_insert_with(|| {
            names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect()
        });
        known.get(name).copied()
    }

    /// Case with this name.
    pub(super) fn case(&mut self, tag: &str, cases: &'j [Case]) -> Option<&'j Case> {
        let first = cases.first()?;
        if cases.len() <= FEW {
            return cases.iter().find(|case| case.name == tag);
        }
        let known = self.known.entry(&raw const first.name).or_insert_with(|| {
            cases.iter().enumerate().map(|(index, case)| (case.name.as_str(), index)).collect()
        });
        cases.get(*known.get(tag)?)
    }
}
