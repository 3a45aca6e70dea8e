//! x
use crate::shell::Outcome;
pub(crate) fn run() -> Outcome {
    Ok("tidy".into())
}
