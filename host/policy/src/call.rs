//! Decisions about calls. [`judge`] says whether a principal may use a target in principle, [`settle`] whether it may with
//! these arguments; only [`settle`] makes a [`Permit`].

pub mod facts;
pub mod judge;
pub mod rules;
pub mod target;

pub use facts::{ArgumentFact, ArgumentFacts};
pub use judge::{DeniedError, Judged, Permit, Settled, judge, settle};
pub use rules::{RuleId, Rules};
pub use target::{PluginFacts, Target, TargetKind};
