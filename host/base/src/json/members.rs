//! Lookup of an object's members by key: linear where there are few, hashed where there are many.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::Json;

/// Up to this many keys are compared one by one.
const FEW: usize = 16;

/// Members of an object, looked up by key.
pub struct Members<'j> {
    /// All of them, in their order.
    pub list: &'j [(String, Json)],
    /// Built by the first lookup.
    by_key: OnceCell<HashMap<&'j str, &'j Json>>,
}

impl<'j> Members<'j> {
    /// Members in the order in which they were written.
    pub fn of(list: &'j [(String, Json)]) -> Self {
        Self { list, by_key: OnceCell::new() }
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&'j Json> {
        let pairs = || self.list.iter().map(|(key, json)| (key.as_str(), json));
        if self.list.len() <= FEW {
            return pairs().find(|(name, _)| *name == key).map(|(_, json)| json);
        }
        self.by_key.get_or_init(|| pairs().collect()).get(key).copied()
    }
}
