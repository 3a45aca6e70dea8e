//! A signature is verified where it is read.
use toolgate_policy::load::signer::VerifiedSignature;

fn made() -> VerifiedSignature {
    VerifiedSignature { ..todo!() }
}

fn main() {}
