//! `config`: values that a plugin reads by key (wasi:config). Each is written in the configuration.

use std::collections::BTreeMap;

use super::Effects;
use crate::redact::inline_table;

/// The values. Empty: every key is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(BTreeMap<String, String>);

/// The guest may read these values, now.
#[must_use]
#[derive(Debug)]
pub struct Pass<'a>(&'a BTreeMap<String, String>);

impl Grant {
    /// What an operator wrote: any key may hold any text.
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }

    /// The table that grants it, as an operator would write it.
    pub fn written(&self) -> String {
        inline_table(&self.0)
    }

    /// What it amounts to: what the operator wrote is no secret of the outside.
    pub fn effects(&self) -> Effects {
        Effects::default()
    }

    /// A guest may read all of what is granted.
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
