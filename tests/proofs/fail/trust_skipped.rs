//! Nothing is cleared without trust.
#![allow(unused, unreachable_code)]

use toolgate_policy::limits::call::CallLimits;
use toolgate_policy::load::Grants;
use toolgate_policy::load::clear::{ClearanceInput, clear};

fn skipped(input: &ClearanceInput<'_>, grants: &Grants, limits: CallLimits) {
    let _ = clear((), input, grants, limits);
}

fn main() {}
