//! WIT values and JSON: values of random types survive a round trip, and the schema accepts what lowers. For worlds of
//! every kind, the resulting tools or the reason for a refusal.

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
