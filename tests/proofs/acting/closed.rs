//! Only closing a call's record makes its outcome available as `Closed`.
#![allow(unused, unreachable_code)]

use toolgate_base::outcome::Outcome;
use toolgate_state::audit::record::Closed;

fn made() -> Closed<Outcome> {
    Closed { ..todo!() }
}

fn main() {}
