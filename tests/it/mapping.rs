//! WIT values and JSON: for types and values by chance, what goes in comes back, and the schema accepts what lowers; for
//! worlds of every make, the tools that come of them or the reason why none do.

mod bounds;
mod clients;
mod echo;
mod judge;
mod law;
mod lenient;
mod mutate;
mod table;
mod texts;
mod value;
mod worlds;
