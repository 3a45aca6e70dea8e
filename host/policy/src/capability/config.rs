//! `config`: values that a plugin reads by key (wasi:config). Each is written in the configuration.

use std::collections::BTreeMap;

use crate::redact::inline_table;

/// The values. Empty: every key is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(BTreeMap<String, String>);

/// Proof that the guest may read these values, now.
#[must_use]
#[derive(Debug)]
pub struct Pass<'a>(&'a BTreeMap<String, String>);

impl Grant {
    /// A grant of what the operator wrote: any key may have any text.
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }

    /// The table that grants it, as an operator would write it.
    pub fn written(&self) -> String {
        inline_table(&self.0)
    }

    /// Allows a guest to read every granted value.
    pub fn allow(&self) -> Pass<'_> {
        Pass(&self.0)
    }
}

impl Pass<'_> {
    /// The values, by key.
    pub fn values(&self) -> &BTreeMap<String, String> {
        self.0
    }
}
