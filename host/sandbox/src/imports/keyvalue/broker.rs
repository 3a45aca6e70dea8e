//! Uses of the plugin's store: charged, asked of the grant, recorded, performed.

use std::sync::Arc;

use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::keyvalue::{KeyvalueDeniedError, Pass};
use toolgate_state::keyvalue::{KeyvalueError, Store};

use crate::imports::host_calls::Broker;
use crate::protocol::blob::{BoundedVec, ByteBlob};
use crate::protocol::keyvalue::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};

impl Broker {
    /// Performs a use of the plugin's store, if it has one.
    ///
    /// # Errors
    /// [`KeyvalueFault`].
    pub(in crate::imports) async fn perform_keyvalue(
        &self,
        request: KeyvalueRequest,
    ) -> Result<KeyvalueResponse, KeyvalueFault> {
        request.check()?;
        self.meter.charge(request.fuel());
        let (pass, store) = self.ask_store()?;
        Ok(match request {
            KeyvalueRequest::Open { bucket } => {
                self.fits(pass, [(bucket.as_str(), 0)])?;
                KeyvalueResponse::Done
            }
            KeyvalueRequest::Get { bucket, keys: BoundedVec(keys) } => {
                let found = store.run(pass, move |store| store.get(&bucket, keys)).await?;
                let bytes = found.iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64);
                self.meter.charge(bytes.sum());
                let to_blob = |(key, value)| (key, ByteBlob(value));
                KeyvalueResponse::Values(found.into_iter().map(|entry| entry.map(to_blob)).collect())
            }
            KeyvalueRequest::Set { bucket, entries: BoundedVec(entries) } => {
                self.fits(pass, entries.iter().map(|(key, ByteBlob(value))| (key.as_str(), value.len())))?;
                let entries = entries.into_iter().map(|(key, ByteBlob(value))| (key, value));
                store.run(pass, move |store| store.set(&bucket, entries)).await?;
                KeyvalueResponse::Done
            }
            KeyvalueRequest::Delete { bucket, keys: BoundedVec(keys) } => {
                store.run(pass, move |store| store.delete(&bucket, &keys)).await?;
                KeyvalueResponse::Done
            }
            KeyvalueRequest::Exists { bucket, key } => {
                KeyvalueResponse::There(store.run(pass, move |store| store.exists(&bucket, &key)).await?)
            }
            KeyvalueRequest::Keys { bucket, cursor } => {
                let page = store.run(pass, move |store| store.keys(&bucket, cursor)).await?;
                self.meter.charge(page.keys.iter().map(|key| key.len() as u64).sum());
                KeyvalueResponse::Page { keys: page.keys, cursor: page.cursor }
            }
            KeyvalueRequest::Increment { bucket, key, by } => {
                self.fits(pass, [(key.as_str(), 0)])?;
                let sum = store.run(pass, move |store| store.increment(&bucket, &key, by)).await?;
                KeyvalueResponse::Number(sum)
            }
        })
    }

    /// Checks and notes a use of the store.
    fn ask_store(&self) -> Result<(Pass<'_>, &Arc<Store>), KeyvalueFault> {
        let asked = self.powers.store.as_ref().ok_or(KeyvalueDeniedError);
        let asked = asked.and_then(|granted| Ok((granted.grant.allow(&granted.plugin)?, &granted.store)));
        let judged = if asked.is_ok() { Judged::Allowed } else { Judged::Refused };
        self.notes.attempt(Attempt::Keyvalue, judged);
        asked.map_err(|KeyvalueDeniedError| KeyvalueFault::Denied)
    }

    /// Charges these entries and checks their sizes.
    fn fits<'e>(
        &self,
        pass: Pass<'_>,
        entries: impl IntoIterator<Item = (&'e str, usize)>,
    ) -> Result<(), KeyvalueError> {
        for (key, value) in entries {
            self.meter.charge((key.len() + value) as u64);
            pass.entry(key.len(), value)?;
        }
        Ok(())
    }
}

impl From<KeyvalueError> for KeyvalueFault {
    fn from(error: KeyvalueError) -> Self {
        if let KeyvalueError::Database(error) = &error {
            tracing::warn!(%error, "a store could not be used");
        }
        Self::Other(error.to_string())
    }
}
