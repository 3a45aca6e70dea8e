//! Random bytes of the system's generator, for credentials that this host makes.

use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// The system's generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's generator of random numbers failed")]
pub struct RandomError;

/// `N` random bytes, wiped when they are dropped.
///
/// # Errors
/// [`RandomError`] if the system gives none.
pub fn bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, RandomError> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    rand::fill(&mut *bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_answers_are_alike() {
        assert_ne!(*bytes::<32>().unwrap(), *bytes::<32>().unwrap());
    }
}
