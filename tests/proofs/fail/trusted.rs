//! Only verified signatures make `Trusted`, and the policy clears no plugin without it.
#![allow(unused, unreachable_code)]

use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::load::clear::{ClearanceInput, clear};
use toolgate_policy::load::trust::Trusted;
use toolgate_policy::load::Grants;

fn made() -> Trusted {
    Trusted { ..todo!() }
}

fn skipped(input: &ClearanceInput<'_>, grants: &Grants, limits: CallLimits) {
    let _ = clear((), input, grants, limits);
}

fn main() {}
