//! Only verification makes a `VerifiedSignature`.
use toolgate_policy::load::signer::VerifiedSignature;

fn made() -> VerifiedSignature {
    VerifiedSignature { ..todo!() }
}

fn main() {}
