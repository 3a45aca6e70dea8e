//! End-to-end tests in one binary: the real program, real components, real clients. Unit tests of modules are beside
//! their code.

mod attack;
mod capability;
mod cli;
mod coverage;
mod faults;
mod fuzz;
mod interop;
mod languages;
mod limits;
mod load;
mod mapping;
mod mcp;
mod plugin;
mod sources;
