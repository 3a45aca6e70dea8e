//! Why what a function gave back is not an answer.

/// Why a result is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiftError {
    /// Larger than allowed, as it would go out.
    #[error("the answer has more than {0} bytes")]
    Large(u64),
    /// Not what the function's type says.
    #[error("the function gave back a value that is not of its type")]
    Mistyped,
    /// There is no memory to make it.
    #[error("there is no memory for the answer")]
    NoMemory,
    /// Of its type, and not what content is made of.
    #[error("the function gave back content {0}")]
    Content(&'static str),
}
