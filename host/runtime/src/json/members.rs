//! The members of an object, looked up by key: one by one where there are few, in a table where there are many.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::Json;

/// So many keys are compared one by one.
const FEW: usize = 16;

/// The members of an object, to be looked up by key.
pub(crate) struct Members<'j> {
    pub(crate) list: &'j [(String, Json)],
    /// Made when it is first needed.
    by_key: OnceCell<HashMap<&'j str, &'j Json>>,
}

impl<'j> Members<'j> {
    pub(crate) fn of(list: &'j [(String, Json)]) -> Self {
        Self { list, by_key: OnceCell::new() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'j Json> {
        let pairs = || self.list.iter().map(|(key, json)| (key.as_str(), json));
        if self.list.len() <= FEW {
            return pairs().find(|(name, _)| *name == key).map(|(_, json)| json);
        }
        self.by_key.get_or_init(|| pairs().collect()).get(key).copied()
    }
}
