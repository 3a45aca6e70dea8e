//! The command line: arguments, output streams and exit codes.

mod auth;
mod commands;
mod configuration;
mod explain;
mod first;
mod keys;
mod learn;
mod policy;
mod remedies;
mod terminal;
mod unapproved;
