//! Where plugins come from. Bytes and the signatures found beside them; nothing is believed about either.

mod file;

use crate::artifact::Artifact;
use crate::signature::SignatureFile;
use crate::spec::Source;

pub use file::{NotFetched, signature_names};

/// What was found.
pub struct Found {
    /// The plugin's bytes.
    pub artifact: Artifact,
    /// The signature files beside them.
    pub signatures: Vec<SignatureFile>,
}

/// Fetches a plugin.
///
/// # Errors
/// [`NotFetched`].
pub fn fetch(source: &Source) -> Result<Found, NotFetched> {
    match source {
        Source::File(path) => file::fetch(path),
    }
}
