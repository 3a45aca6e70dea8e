//! Lookup of names and keys: linear where there are few, hashed where there are many, since a list can have a million
//! values of one type.

use std::collections::HashMap;

use toolgate_base::json::Json;

use super::Lowering;
use crate::shape::Case;

/// Up to this many names or keys are compared one by one.
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

/// Members of an object, looked up by key.
pub(super) struct Members<'j> {
    pub(super) list: &'j [(String, Json)],
    by_key: Option<HashMap<&'j str, &'j Json>>,
}

impl<'j> Members<'j> {
    pub(super) fn of(list: &'j [(String, Json)]) -> Self {
        let many = || list.iter().map(|(key, json)| (key.as_str(), json)).collect();
        Self { list, by_key: (list.len() > FEW).then(many) }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'j Json> {
        match &self.by_key {
            Some(by_key) => by_key.get(key).copied(),
            None => self.list.iter().find(|(name, _)| name == key).map(|(_, json)| json),
        }
    }
}
