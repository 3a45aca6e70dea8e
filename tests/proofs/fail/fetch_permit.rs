//! Only the operator's configuration makes a `FetchPermit`.
#![allow(unused, unreachable_code)]

use toolgate_policy::load::fetch::FetchPermit;

fn made() -> FetchPermit {
    FetchPermit { ..todo!() }
}

fn main() {}
