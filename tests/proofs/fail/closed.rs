//! An answer is that of a call whose record is closed.
use toolgate_base::outcome::Outcome;
use toolgate_state::audit::record::Closed;

fn made() -> Closed<Outcome> {
    Closed { ..todo!() }
}

fn main() {}
