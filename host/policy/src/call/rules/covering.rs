//! Rules that are about a target, whoever calls; and whether there are any.

use super::{Policies, Row, RuleId, Rules, Target};

impl Rules {
    /// Rules that can have a say about this target: rows that cover it, then policies.
    pub fn covering(&self, target: &Target) -> Vec<RuleId> {
        let rows = self.set.rows.iter().filter(|row| row.covers_target(target)).map(Row::id);
        let slice = self.part(target).and_then(|part| part.slice);
        let policies = match (&self.set.cedar, slice) {
            (Some(cedar), Some(slice)) => cedar.concerned(slice),
            _ => Vec::new(),
        };
        rows.cloned().chain(policies).collect()
    }

    /// Whether callers need credentials, and nothing that is served is permitted to any of them.
    pub fn permits_nothing(&self) -> bool {
        let tools = &self.bound.tools;
        let has_row = if tools.is_empty() {
            !self.set.rows.is_empty()
        } else {
            tools.iter().any(|tool| !tool.rows.is_empty())
        };
        let has_policy = self.set.cedar.as_ref().is_some_and(Policies::has_permit);
        self.set.authenticated && !has_row && !has_policy
    }
}
