//! WIT values and JSON: for types and values by chance, what goes in comes back, and the schema accepts what lowers.

mod echo;
mod judge;
mod law;
mod mutate;
mod table;
mod value;
