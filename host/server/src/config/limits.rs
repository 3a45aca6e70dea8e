//! `[defaults.limits]` and `[plugin.limits]`: the same keys, the second over the first.

use toolgate_policy::limits::call::{CallLimit, CallLimits};

use super::reader::Section;

/// Reads limits over `defaults`.
pub(super) fn read(section: Option<Section<'_>>, defaults: &CallLimits) -> CallLimits {
    let mut limits = defaults.clone();
    if let Some(section) = section {
        for limit in CallLimit::ALL {
            if let Some(value) = section.integer(limit.name())
                && let Err(why) = limits.set(limit, value)
            {
                section.wrong(limit.name(), why);
            }
        }
        section.finish();
    }
    limits
}
