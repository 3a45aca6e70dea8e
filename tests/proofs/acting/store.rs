//! No store is opened without a pass.
#![allow(unused, unreachable_code)]

use toolgate_state::keyvalue::Stores;

fn skipped(stores: &Stores) {
    let _ = stores.open("p", ());
}

fn main() {}
