//! Errors of lifting a function's result.

/// Reason that a result cannot be sent as an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiftError {
    /// Longer than allowed in the form in which it is sent.
    #[error("the answer has more than {0} bytes")]
    Large(u64),
    /// Does not match the function's type.
    #[error("the function gave back a value that is not of its type")]
    Mistyped,
    /// No memory left to build it.
    #[error("there is no memory for the answer")]
    NoMemory,
    /// Matches the type, but breaks the rules for content.
    #[error("the function gave back content {0}")]
    Content(&'static str),
}
