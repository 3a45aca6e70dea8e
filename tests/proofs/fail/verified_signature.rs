//! Only verification makes a `VerifiedSignature`.
#![allow(unused, unreachable_code)]

use toolgate_policy::load::signer::VerifiedSignature;

fn made() -> VerifiedSignature {
    VerifiedSignature { ..todo!() }
}

fn main() {}
