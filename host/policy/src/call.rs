//! Decisions about calls. [`judge`] says whether a principal may use a target in principle, [`settle`] whether it may with
//! these arguments; only [`settle`] makes a [`Permit`].

mod cedar;
pub mod denied;
pub mod explain;
pub mod facts;
pub mod judge;
mod memo;
pub mod moment;
pub mod row;
pub mod rule_id;
pub mod rules;
pub mod served;
pub mod target;

pub use denied::DeniedError;
pub use explain::{Explanation, RuleMiss, VerdictWord};
pub use facts::{ArgumentFact, ArgumentFacts, ArgumentType};
pub use judge::{Judged, Permit, Settled, judge, settle};
pub use moment::{Moment, Transport};
pub use row::{RowText, ToolsText, WhoText};
pub use rule_id::RuleId;
pub use rules::{RuleSet, RuleSetText, Rules};
pub use served::{DeadRule, RuleMisfit, ServedTool};
pub use target::{PluginFacts, Target, TargetKind};

#[cfg(test)]
mod cedar_tests;
#[cfg(test)]
mod fixtures_tests;
#[cfg(test)]
mod row_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod world_tests;
