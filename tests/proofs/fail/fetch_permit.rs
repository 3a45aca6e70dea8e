//! What the host fetches for itself is allowed by what the operator wrote.
use toolgate_policy::load::fetch::FetchPermit;

fn made() -> FetchPermit {
    FetchPermit { ..todo!() }
}

fn main() {}
