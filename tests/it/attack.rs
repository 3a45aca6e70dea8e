//! Attacks that have an answer, each by a component that is signed, granted and malicious. `docs/ATTACKS.md` is the ledger;
//! `coverage.rs` sees to it that ledger and tests agree.

mod addresses;
mod bombs;
mod canary;
mod ends;
mod folders;
mod forged;
mod gallery;
mod held;
mod isolation;
mod names;
mod outside;
mod pool;
mod servers;
mod sockets;
mod surroundings;
mod waiting;
mod worker;
