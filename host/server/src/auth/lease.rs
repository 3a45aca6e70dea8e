//! The time for which a stream may stay open: until its credential expires or is revoked, or settings change so that it
//! counts no more.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use toolgate_auth::Authenticated;

use super::Auth;

/// A credential that a stream depends on. Clones share nothing that changes.
#[derive(Clone)]
pub(crate) struct Lease {
    auth: Arc<Auth>,
    holder: Authenticated,
}

/// Longest wait between two looks, so that a clock that is set ends a stream late by no more.
const LOOK: Duration = Duration::from_secs(5);

impl Lease {
    /// A lease on what `holder` may keep open.
    pub(crate) fn new(auth: Arc<Auth>, holder: Authenticated) -> Self {
        Self { auth, holder }
    }

    /// Waits until the credential counts no more.
    pub(crate) async fn ended(&self) {
        let mut changes = self.auth.authenticator.changes();
        while self.auth.authenticator.is_current(&self.holder).is_ok() {
            let left = self.holder.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK)) => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
