//! `keyvalue`: a store that outlives the call, one for each plugin and tenant. Decides on its quota; the runtime keeps the data.

use super::Effects;
use super::room::{Quota, QuotaText};
use crate::InvalidValueError;
use crate::PluginName;
use crate::limits::keyvalue::{
    KEYVALUE_BYTES_MAX, KEYVALUE_ENTRIES_MAX, KEYVALUE_KEY_BYTES_MAX, KEYVALUE_VALUE_BYTES_MAX,
};
use crate::principal::Tenant;

/// Quota of the store. Empty: the interface is linked and refuses every use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant(Option<Quota>);

/// Proof that the guest may use the store of this tenant and plugin, now, within its quota.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub struct Pass<'p> {
    tenant: &'p Tenant,
    plugin: &'p PluginName,
    room: Quota,
}

/// No store is granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no room in a store is granted; add to its [plugin.grant]: keyvalue = {{ bytes_max = 1048576 }}")]
pub struct KeyvalueDeniedError;

/// A key or a value over its size limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {limit}")]
pub struct KeyvalueSizeError {
    name: &'static str,
    /// Value of the limit, in bytes.
    limit: u64,
}

impl Grant {
    /// Checks what an operator wrote; without any key no store is granted. Names everything that is wrong, each with
    /// its key.
    pub fn new(room: QuotaText) -> Result<Self, Vec<InvalidValueError>> {
        let granted = room.bytes_max.is_some() || room.entries_max.is_some();
        let room = Quota::new(room, &KEYVALUE_BYTES_MAX, &KEYVALUE_ENTRIES_MAX)?;
        Ok(Self(granted.then_some(room)))
    }

    /// A grant with the default quota.
    pub(crate) fn by_default() -> Self {
        Self(Some(Quota::by_default(&KEYVALUE_BYTES_MAX, &KEYVALUE_ENTRIES_MAX)))
    }

    /// The table that grants it, as an operator would write it.
    pub fn written(&self) -> String {
        let Some(room) = self.0 else { return "{}".to_owned() };
        format!("{{ bytes_max = {}, entries_max = {} }}", room.bytes_max(), room.entries_max())
    }

    /// Effects of the grant: one call reads what another wrote.
    pub fn effects(&self) -> Effects {
        Effects { reads: self.0.is_some(), writes: self.0.is_some(), reaches_out: false }
    }

    /// Quota of the store; none if no store is granted.
    pub fn room(&self) -> Option<Quota> {
        self.0
    }

    /// Checks that a guest of `plugin` that acts for `tenant` may use its store.
    pub fn allow<'p>(
        &self,
        tenant: &'p Tenant,
        plugin: &'p PluginName,
    ) -> Result<Pass<'p>, KeyvalueDeniedError> {
        self.0.map(|room| Pass { tenant, plugin, room }).ok_or(KeyvalueDeniedError)
    }
}

impl Pass<'_> {
    /// The tenant whose store may be used.
    pub fn tenant(&self) -> &Tenant {
        self.tenant
    }

    /// The plugin whose store may be used.
    pub fn plugin(&self) -> &PluginName {
        self.plugin
    }

    /// Quota of the store.
    pub fn room(&self) -> Quota {
        self.room
    }

    /// Checks that a key of `key` bytes and a value of `value` bytes are within the limits. Names the first that is
    /// over.
    pub fn entry(&self, key: usize, value: usize) -> Result<(), KeyvalueSizeError> {
        let over = |name, limit: u64| Err(KeyvalueSizeError { name, limit });
        if key as u64 > KEYVALUE_KEY_BYTES_MAX {
            return over("the most bytes of a key", KEYVALUE_KEY_BYTES_MAX);
        }
        if value as u64 > KEYVALUE_VALUE_BYTES_MAX {
            return over("the most bytes of a value", KEYVALUE_VALUE_BYTES_MAX);
        }
        Ok(())
    }

    /// Bound on the store's file on disk, in bytes: twice the quota, plus the database's overhead.
    pub fn file_bytes_max(&self) -> u64 {
        const EACH: u64 = 256;
        const ITSELF: u64 = 1 << 20;
        let entries = self.room.entries_max().saturating_mul(EACH);
        self.room.bytes_max().saturating_mul(2).saturating_add(entries).saturating_add(ITSELF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::size;

    fn plugin() -> PluginName {
        "a".parse().unwrap()
    }

    #[test]
    fn an_empty_grant_gives_no_store() {
        assert_eq!(Grant::new(QuotaText::default()), Ok(Grant::default()));
        assert_eq!(Grant::default().allow(&Tenant::default(), &plugin()).unwrap_err(), KeyvalueDeniedError);
        assert_eq!(Grant::default().effects(), Effects::default());
    }

    #[test]
    fn one_of_the_two_bounds_is_enough_for_a_grant() {
        for room in [
            QuotaText { bytes_max: Some(1), entries_max: None },
            QuotaText { bytes_max: None, entries_max: Some(1) },
        ] {
            assert!(Grant::new(room).unwrap().room().is_some());
        }
        let both = QuotaText { bytes_max: Some(0), entries_max: Some(-1) };
        assert_eq!(Grant::new(both).unwrap_err().len(), 2);
    }

    #[test]
    fn keys_and_values_have_their_bounds() {
        let (plugin, grant) = (plugin(), Grant::by_default());
        let tenant = Tenant::default();
        let pass = grant.allow(&tenant, &plugin).unwrap();
        let (key, value) = (size(KEYVALUE_KEY_BYTES_MAX), size(KEYVALUE_VALUE_BYTES_MAX));
        assert!(pass.entry(key, value).is_ok());
        assert!(pass.entry(key + 1, 0).is_err());
        assert!(pass.entry(0, value + 1).is_err());
    }
}
