//! `keyvalue`: wasi:keyvalue over the plugin's store. Each use asks for its pass first; buckets are names within the one
//! store, any name opens one.

use std::sync::Arc;

use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::keyvalue::{Denied, Grant, Pass};
use toolgate_policy::limits::call::{KEYVALUE_READ_FUEL, KEYVALUE_WRITE_FUEL};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::Ctx;
use crate::audit::record::Notes;
use crate::bindings::Bucket;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::meter::Meter;
use crate::state::keyvalue::{NotDone, Store};

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    store::add_to_linker::<Ctx, Keyvalue>(linker, view)?;
    atomics::add_to_linker::<Ctx, Keyvalue>(linker, view)?;
    batch::add_to_linker::<Ctx, Keyvalue>(linker, view)
}

struct Keyvalue;

impl HasData for Keyvalue {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: &'a Grant,
    store: Option<&'a Arc<Store>>,
    table: &'a mut ResourceTable,
    meter: &'a Meter,
    notes: &'a Notes,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View {
        grant: &ctx.prototype.effective.keyvalue,
        store: ctx.prototype.keyvalue.as_ref(),
        table: &mut ctx.table,
        meter: &ctx.meter,
        notes: &ctx.notes,
    }
}

type Handle = Resource<Bucket>;
/// Outside, what ends the call; inside, what the guest is told.
type Told<T> = wasmtime::Result<Result<T, store::Error>>;

/// What a use needs: that it is allowed, where, in which bucket.
struct Ready<'a> {
    pass: Pass,
    store: &'a Arc<Store>,
    bucket: &'a str,
}

impl View<'_> {
    /// Asks for a use of the store, and notes it.
    fn ask(&self) -> Result<Pass, Denied> {
        let allowed = self.grant.allow();
        let judged = if allowed.is_ok() { Judged::Allowed } else { Judged::Refused };
        self.notes.attempt(Attempt::Keyvalue, judged);
        allowed
    }

    fn ready(&self, bucket: &Handle, fuel: u64) -> Told<Ready<'_>> {
        self.meter.charge(fuel);
        let Bucket(bucket) = self.table.get(bucket)?;
        let (Ok(pass), Some(store)) = (self.ask(), self.store) else {
            return Ok(Err(store::Error::AccessDenied));
        };
        Ok(Ok(Ready { pass, store, bucket }))
    }

    /// Whether these entries may be at all.
    fn fits<'e>(
        &self,
        pass: Pass,
        entries: impl Iterator<Item = (&'e str, usize)>,
    ) -> Result<(), store::Error> {
        for (key, value) in entries {
            self.meter.charge((key.len() + value) as u64);
            pass.entry(key.len(), value).map_err(|large| told(large.into()))?;
        }
        Ok(())
    }
}

/// What a guest learns.
fn told(error: NotDone) -> store::Error {
    if let NotDone::Database(error) = &error {
        tracing::warn!(%error, "a store could not be used");
    }
    store::Error::Other(error.to_string())
}

/// Goes on with what is ready, or tells the guest why not.
macro_rules! ready {
    ($view:ident, $bucket:expr, $fuel:expr) => {
        match $view.ready(&$bucket, $fuel)? {
            Ok(ready) => ready,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Told<Handle> {
        self.meter.charge(KEYVALUE_READ_FUEL);
        let (Ok(pass), Some(_)) = (self.ask(), self.store) else {
            return Ok(Err(store::Error::AccessDenied));
        };
        if let Err(error) = self.fits(pass, std::iter::once((identifier.as_str(), 0))) {
            return Ok(Err(error));
        }
        Ok(Ok(self.table.push(Bucket(identifier))?))
    }
}

impl store::HostBucket for View<'_> {
    async fn get(&mut self, bucket: Handle, key: String) -> Told<Option<Vec<u8>>> {
        let ready = ready!(self, bucket, KEYVALUE_READ_FUEL);
        let found = ready.store.get(ready.bucket, vec![key]).await.map_err(told);
        Ok(found.map(|found| {
            let value = found.into_iter().next().flatten().map(|(_, value)| value);
            self.meter.charge(value.as_ref().map_or(0, Vec::len) as u64);
            value
        }))
    }

    async fn set(&mut self, bucket: Handle, key: String, value: Vec<u8>) -> Told<()> {
        let ready = ready!(self, bucket, KEYVALUE_WRITE_FUEL);
        if let Err(error) = self.fits(ready.pass, std::iter::once((key.as_str(), value.len()))) {
            return Ok(Err(error));
        }
        Ok(ready.store.set(ready.pass, ready.bucket, vec![(key, value)]).await.map_err(told))
    }

    async fn delete(&mut self, bucket: Handle, key: String) -> Told<()> {
        let ready = ready!(self, bucket, KEYVALUE_WRITE_FUEL);
        Ok(ready.store.delete(ready.pass, ready.bucket, vec![key]).await.map_err(told))
    }

    async fn exists(&mut self, bucket: Handle, key: String) -> Told<bool> {
        let ready = ready!(self, bucket, KEYVALUE_READ_FUEL);
        Ok(ready.store.exists(ready.bucket, key).await.map_err(told))
    }

    async fn list_keys(&mut self, bucket: Handle, cursor: Option<u64>) -> Told<store::KeyResponse> {
        let ready = ready!(self, bucket, KEYVALUE_READ_FUEL);
        let page = ready.store.keys(ready.bucket, cursor).await.map_err(told);
        Ok(page.map(|page| {
            self.meter.charge(page.keys.iter().map(|key| key.len() as u64).sum());
            store::KeyResponse { keys: page.keys, cursor: page.cursor }
        }))
    }

    async fn drop(&mut self, bucket: Handle) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    async fn increment(&mut self, bucket: Handle, key: String, by: u64) -> Told<u64> {
        let ready = ready!(self, bucket, KEYVALUE_WRITE_FUEL);
        if let Err(error) = self.fits(ready.pass, std::iter::once((key.as_str(), 0))) {
            return Ok(Err(error));
        }
        Ok(ready.store.increment(ready.pass, ready.bucket, key, by).await.map_err(told))
    }
}

impl batch::Host for View<'_> {
    async fn get_many(&mut self, bucket: Handle, keys: Vec<String>) -> Told<Vec<Option<(String, Vec<u8>)>>> {
        let ready = ready!(self, bucket, KEYVALUE_READ_FUEL.saturating_mul(keys.len() as u64));
        let found = ready.store.get(ready.bucket, keys).await.map_err(told);
        Ok(found.inspect(|found| {
            let bytes = found.iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64);
            self.meter.charge(bytes.sum());
        }))
    }

    async fn set_many(&mut self, bucket: Handle, values: Vec<(String, Vec<u8>)>) -> Told<()> {
        let ready = ready!(
            self,
            bucket,
            KEYVALUE_WRITE_FUEL + KEYVALUE_READ_FUEL.saturating_mul(values.len() as u64)
        );
        let entries = values.iter().map(|(key, value)| (key.as_str(), value.len()));
        if let Err(error) = self.fits(ready.pass, entries) {
            return Ok(Err(error));
        }
        Ok(ready.store.set(ready.pass, ready.bucket, values).await.map_err(told))
    }

    async fn delete_many(&mut self, bucket: Handle, keys: Vec<String>) -> Told<()> {
        let ready =
            ready!(self, bucket, KEYVALUE_WRITE_FUEL + KEYVALUE_READ_FUEL.saturating_mul(keys.len() as u64));
        Ok(ready.store.delete(ready.pass, ready.bucket, keys).await.map_err(told))
    }
}
