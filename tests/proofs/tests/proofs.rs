//! Proof types of docs/ARCHITECTURE.md: code that makes one elsewhere, or acts without one, does not compile. The files
//! in `fail` try, with the expected messages beside them; `TRYBUILD=overwrite` updates those.
//! messages.

#[test]
fn a_proof_is_made_in_one_place_and_what_demands_it_cannot_be_called_without() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
