//! Attacks and their defences, each tried by a component that is signed, granted and malicious. `coverage.rs` compares
//! these tests with `docs/ATTACKS.md`.

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
mod torn;
mod waiting;
mod wire;
mod worker;
