//! A component on this machine as an argument of a command.

use std::path::{Path, PathBuf};

use toolgate_policy::redact;

use super::exit::Exit;

/// The absolute path of a component. A URL is refused and shown redacted, as it may have a password.
///
/// # Errors
/// Exit 2 for a URL, 4 where the current folder is gone.
pub(super) fn path(written: &Path) -> Result<PathBuf, Exit> {
    let text = written.to_string_lossy();
    let is_url = |scheme: &&str| text.starts_with(*scheme);
    if text.contains("://") || ["oci:", "https:", "http:"].iter().any(is_url) {
        let shown = redact::url(&text, 300);
        return Err(Exit::usage(format!("`{shown}` is a URL; write the name of a file on this machine")));
    }
    std::path::absolute(written).map_err(|error| Exit::host(&error))
}
