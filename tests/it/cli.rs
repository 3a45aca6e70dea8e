//! The command line: what is typed, what is printed where, and the exit codes.

mod commands;
mod configuration;
mod explain;
mod first;
mod keys;
mod learn;
mod remedies;
mod terminal;
mod unapproved;
