//! Proofs of docs/ARCHITECTURE.md: code outside the one maker of a proof that makes it, or that acts without it, does not compile.
//! The files in `fail` try; beside each is what the compiler says. `TRYBUILD=overwrite` writes that anew.

#[test]
fn a_proof_is_made_in_one_place_and_what_demands_it_cannot_be_called_without() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
