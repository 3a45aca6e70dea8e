//! Attacks that have an answer, each by a component that is signed, granted and malicious. `docs/ATTACKS.md` is the ledger;
//! `coverage.rs` sees to it that ledger and tests agree.

mod addresses;
mod bombs;
mod callers;
mod canary;
mod clients;
mod ends;
mod folders;
mod forged;
mod framing;
mod gallery;
mod headers;
mod held;
mod isolation;
mod large;
mod lists;
mod names;
mod outside;
mod pool;
mod recorded;
mod secrets;
mod servers;
mod sockets;
mod surroundings;
mod waiting;
mod wire;
mod worker;
