//! The tests of the whole, in one binary: the real program, real components, real clients. What is asked about rooms by
//! themselves is asked beside their code.

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
