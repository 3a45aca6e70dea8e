//! Tools that a principal may call, decided by the same `judge` that decides about calls.

use std::sync::Arc;

use toolgate_policy::Principal;
use toolgate_policy::call::judge;

use crate::snapshot::Snapshot;
use crate::snapshot::tool::Tool;

/// The tools, sorted by name.
pub(crate) fn run(snapshot: &Snapshot, principal: &Principal) -> Vec<Arc<Tool>> {
    let may = |tool: &&Arc<Tool>| {
        judge(principal, Some(&tool.target)).is_ok_and(|permit| snapshot.resolve(&permit).is_some())
    };
    snapshot.tools().filter(may).cloned().collect()
}

/// The tool of this name, if the principal may call it.
pub(crate) fn one(snapshot: &Snapshot, principal: &Principal, name: &str) -> Option<Arc<Tool>> {
    let permit = judge(principal, snapshot.find(name)).ok()?;
    snapshot.resolve(&permit)
}
