//! A call is judged and permitted by the judge alone, who asks by whom and what for.
#![allow(unused, unreachable_code)]

use toolgate_policy::Principal;
use toolgate_policy::call::{Judged, Permit, Target};

fn made() -> Permit {
    Permit { ..todo!() }
}

fn judged() -> Judged {
    Judged { ..todo!() }
}

fn caller() -> Principal {
    Principal { ..todo!() }
}

fn target() -> Target {
    Target { ..todo!() }
}

fn main() {}
