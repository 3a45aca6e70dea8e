//! Rules that do not permit a use, and what they lack.

use super::{Moment, Principal, PrincipalKind, RuleId, Rules, Target};

impl Rules {
    /// Rows and permits that do not permit a use, each with what does not hold: keys of the row, or conditions of the
    /// policy as text.
    pub(in crate::call) fn misses(
        &self,
        principal: &Principal,
        target: &Target,
        moment: &Moment,
    ) -> Vec<(RuleId, Vec<String>)> {
        if principal.kind() == PrincipalKind::Host {
            return Vec::new();
        }
        let rows = self.set.rows.iter().map(|row| {
            let lacks = row.misses(principal, target).into_iter().map(str::to_owned).collect::<Vec<_>>();
            (row.id().clone(), lacks)
        });
        let mut misses: Vec<_> = rows.filter(|(_, lacks)| !lacks.is_empty()).collect();
        if let Some(cedar) = &self.set.cedar
            && let Some(slice) = self.part(target).and_then(|part| part.slice)
            && let Some(caller) = self.caller(cedar, principal)
        {
            misses.extend(cedar.misses(slice, &caller, target, moment));
        }
        misses
    }
}
