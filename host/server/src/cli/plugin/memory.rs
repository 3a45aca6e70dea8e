//! The memory of trust policies in the state directory, for a command that changes the policy: it takes none that is older than what
//! is remembered, and remembers what it wrote at once, so that putting the old file back is noticed.

use std::path::Path;

use toolgate_policy::redact::printable;
use toolgate_runtime::load::now;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::StateDir;
use toolgate_state::audit::{Event, Recorder};
use toolgate_state::rollback::{RollbackError, RollbackGuard};

use crate::cli::exit::{Exit, with_causes};
use crate::cli::output;
use crate::config::Roots;

/// The memory, or why there is none. A state directory that cannot be used must not keep anything from being revoked.
pub(super) struct Memory(Result<(StateDir, RollbackGuard), String>);

impl Memory {
    /// Opens the memory that belongs to a configuration.
    pub(super) fn open(roots: &Roots) -> Self {
        let open = |path: &Path| {
            let state = StateDir::open(path).map_err(|error| format!("failed to {}", with_causes(&error)))?;
            let seen = RollbackGuard::open(&state).map_err(|error| error.to_string())?;
            Ok((state, seen))
        };
        let nowhere = || Err("[state] of the configuration cannot be read".to_owned());
        Self(roots.state.as_deref().map_or_else(nowhere, open))
    }

    /// Whether this policy, which is about to be changed, may be in force: nothing that was put back comes into force again, under
    /// another version, by being changed.
    ///
    /// # Errors
    /// [`Exit`] with what to do. A memory that cannot be read is no reason.
    pub(super) fn judge(&self, roots: &Roots) -> Result<(), Exit> {
        let Ok((_, seen)) = &self.0 else { return Ok(()) };
        let remedy = match seen.judge(&roots.trust, now()) {
            Err(error @ RollbackError::Older { .. }) => error.to_string(),
            Err(error @ RollbackError::Changed(_)) => {
                format!("{error} (look first at what was changed)")
            }
            // It is said once this is written.
            Err(RollbackError::Io(_)) | Ok(_) => return Ok(()),
        };
        Err(Exit::refused(format!(
            "{}: {remedy}, and run the command again; nothing was written",
            printable(&roots.policy.display().to_string(), 500)
        )))
    }

    /// Remembers a policy that is on the disk. Warns if that cannot be done.
    pub(super) fn remember(&self, trust: &TrustSpec) {
        let remembered = match &self.0 {
            Ok((state, seen)) => seen
                .admit(trust, now())
                .map(|admitted| (state, admitted))
                .map_err(|error| with_causes(&error)),
            Err(why) => Err(why.clone()),
        };
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

/// Records that the memory had its former form until now, as a server does.
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
