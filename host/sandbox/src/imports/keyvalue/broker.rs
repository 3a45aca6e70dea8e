//! Uses of the plugin's store: charged, asked of the grant, recorded, performed.

use std::sync::{Arc, PoisonError};

use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::keyvalue::{KeyvalueDeniedError, Pass};
use toolgate_policy::principal::Tenant;
use toolgate_state::keyvalue::{KeyvalueError, Store};

use crate::imports::host_calls::{Broker, GrantedStores};
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
        let (pass, store) = self.ask_store().await?;
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

    /// Checks and notes a use of the store of the call's tenant.
    async fn ask_store(&self) -> Result<(Pass<'_>, Arc<Store>), KeyvalueFault> {
        let asked = self.powers.stores.as_ref().ok_or(KeyvalueDeniedError);
        let asked =
            asked.and_then(|granted| Ok((granted, granted.grant.allow(&self.tenant, &granted.plugin)?)));
        let judged = if asked.is_ok() { AttemptVerdict::Allowed } else { AttemptVerdict::Refused };
        self.notes.attempt(Attempt::Keyvalue, judged);
        let (granted, pass) = asked.map_err(|KeyvalueDeniedError| KeyvalueFault::Denied)?;
        Ok((pass, granted.store_of(&self.tenant).await?))
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

impl GrantedStores {
    /// The store of a tenant. It is opened when the tenant first uses it, on a thread that may block.
    async fn store_of(self: &Arc<Self>, tenant: &Tenant) -> Result<Arc<Store>, KeyvalueFault> {
        let opened = |stores: &Self| {
            let open = stores.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.get(tenant).map(Arc::clone)
        };
        if let Some(store) = opened(self) {
            return Ok(store);
        }
        let (granted, tenant) = (Arc::clone(self), tenant.clone());
        let opening = move || {
            let pass = granted.grant.allow(&tenant, &granted.plugin).map_err(|error| error.to_string())?;
            let store = granted.stores.open(&granted.id, pass).map_err(|error| error.to_string())?;
            let mut open = granted.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.insert(tenant.clone(), Arc::clone(&store));
            Ok(store)
        };
        let opened = tokio::task::spawn_blocking(opening).await;
        opened.unwrap_or_else(|_| Err("opening it panicked".to_owned())).map_err(|error: String| {
            tracing::warn!(plugin = %self.plugin, error, "a store could not be opened");
            KeyvalueFault::from(KeyvalueError::Closed)
        })
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
