//! Rollback protection for commands that change the trust policy. They refuse one older than the newest known, and
//! record the written version at once, so that a restored old file is noticed.

use std::path::Path;

use toolgate_base::outcome::with_causes;
use toolgate_policy::redact::printable;
use toolgate_runtime::load::now;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::StateDir;
use toolgate_state::audit::{Event, Recorder};
use toolgate_state::rollback::{RollbackError, RollbackGuard};

use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Roots;

/// Rollback guard, or the error. An unusable state directory must not prevent a revocation.
pub(super) struct Memory(Result<(StateDir, RollbackGuard), String>);

impl Memory {
    /// Opens the guard of a configuration.
    pub(super) fn open(roots: &Roots) -> Self {
        let open = |path: &Path| {
            let state = StateDir::open(path).map_err(|error| format!("failed to {}", with_causes(&error)))?;
            let seen = RollbackGuard::open(&state).map_err(|error| error.to_string())?;
            Ok((state, seen))
        };
        let nowhere = || Err("[state] of the configuration cannot be read".to_owned());
        Self(roots.state.as_deref().map_or_else(nowhere, open))
    }

    /// Checks that the policy about to be changed may be in force. Otherwise a restored old policy would come into
    /// force under a new version.
    ///
    /// # Errors
    /// [`Exit`] with a remedy. An unreadable guard is no error here.
    pub(super) fn judge(&self, roots: &Roots) -> Result<(), Exit> {
        let Ok((_, seen)) = &self.0 else { return Ok(()) };
        let remedy = match seen.judge(&roots.trust, now()) {
            Err(error @ RollbackError::Older { .. }) => error.to_string(),
            Err(error @ RollbackError::Changed(_)) => {
                format!("{error} (look first at what was changed)")
            }
            // Reported after the policy is written.
            Err(RollbackError::Io(_)) | Ok(_) => return Ok(()),
        };
        Err(Exit::refused(format!(
            "{}: {remedy}, and run the command again; nothing was written",
            printable(&roots.policy.display().to_string(), 500)
        )))
    }

    /// Records a written policy. Warns if that fails.
    pub(super) fn remember(&self, trust: &TrustSpec) {
        let remembered = self.0.as_ref().map_err(Clone::clone).and_then(|(state, seen)| {
            let admitted = seen.admit(trust, now()).map_err(|error| with_causes(&error))?;
            Ok((state, admitted))
        });
        let version = trust.policy.version();
        match remembered {
            Ok((state, admitted)) if admitted.upgraded => record_upgrade(state, version),
            Ok(_) => {}
            Err(why) => output::complain(&format!(
                "warning: that version {version} of trust.toml is in force was not remembered: {}; until a server has taken it, nobody \
                 notices if the old file is put back",
                printable(&why, 2_000)
            )),
        }
    }
}

/// Records that the guard's file was upgraded, as a server does.
fn record_upgrade(state: &StateDir, version: u64) {
    let recorder = state.root().try_clone().and_then(|root| Recorder::open(root, &state.dir("keys")?));
    match recorder {
        Ok(recorder) => recorder.event(&Event::SeenUpgraded { version }),
        Err(error) => output::complain(&format!(
            "warning: trust.seen had its former form until now, and that was not recorded: {}",
            printable(&error.to_string(), 2_000)
        )),
    }
}
