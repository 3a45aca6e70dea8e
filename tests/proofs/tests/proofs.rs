//! Proofs of docs/ARCHITECTURE.md: code that makes one outside its one maker, or acts without it, does not compile. The files in
//! `fail` and `acting` try; beside each is the compiler's answer. `TRYBUILD=overwrite` writes that anew after a new compiler.

#[test]
fn a_proof_is_made_in_one_place_and_what_demands_it_cannot_be_called_without() {
    let attempts = trybuild::TestCases::new();
    attempts.compile_fail("fail/*.rs");
    if cfg!(feature = "acting") {
        attempts.compile_fail("acting/*.rs");
    }
}
