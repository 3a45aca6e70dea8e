//! `keyvalue`: wasi:keyvalue over the plugin's store. Each use requires a pass. Buckets are namespaces within the one
//! store; any name opens one.

mod broker;
pub(crate) mod request;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::Ctx;
use super::blob::{BoundedVec, ByteBlob};
use super::host_calls::HostCalls;
use crate::bindings::Bucket;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use request::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};

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
    table: &'a mut ResourceTable,
    outside: &'a HostCalls,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { table: &mut ctx.table, outside: &ctx.outside }
}

type Handle = Resource<Bucket>;
/// Outer errors end the call; inner ones are returned to the guest.
type Told<T> = wasmtime::Result<Result<T, store::Error>>;
type Entries = Vec<Option<(String, Vec<u8>)>>;

impl From<KeyvalueFault> for store::Error {
    fn from(refused: KeyvalueFault) -> Self {
        match refused {
            KeyvalueFault::Denied => Self::AccessDenied,
            KeyvalueFault::Other(why) => Self::Other(why),
        }
    }
}

/// Sends a request and unwraps the expected response.
macro_rules! told {
    ($view:ident, $act:expr, $came:pat => $told:expr) => {
        match $view.outside.act($act).await {
            Ok($came) => Ok(Ok($told)),
            Ok(other) => wasmtime::bail!("a store answered with something else: {other:?}"),
            Err(refused) => Ok(Err(refused.into())),
        }
    };
}

impl View<'_> {
    fn bucket(&self, bucket: &Handle) -> wasmtime::Result<String> {
        let Bucket(bucket) = self.table.get(bucket)?;
        Ok(bucket.clone())
    }

    async fn values(&mut self, bucket: &Handle, keys: Vec<String>) -> Told<Entries> {
        let (bucket, keys) = (self.bucket(bucket)?, BoundedVec(keys));
        let told = |(key, ByteBlob(value))| (key, value);
        told!(self, KeyvalueRequest::Get { bucket, keys },
            KeyvalueResponse::Values(values) => values.into_iter().map(|entry| entry.map(told)).collect())
    }

    async fn put(&mut self, bucket: &Handle, entries: Vec<(String, Vec<u8>)>) -> Told<()> {
        let bucket = self.bucket(bucket)?;
        let entries = BoundedVec(entries.into_iter().map(|(key, value)| (key, ByteBlob(value))).collect());
        told!(self, KeyvalueRequest::Set { bucket, entries }, KeyvalueResponse::Done => ())
    }

    async fn take(&mut self, bucket: &Handle, keys: Vec<String>) -> Told<()> {
        let (bucket, keys) = (self.bucket(bucket)?, BoundedVec(keys));
        told!(self, KeyvalueRequest::Delete { bucket, keys }, KeyvalueResponse::Done => ())
    }
}

impl store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Told<Handle> {
        let opened: Told<()> =
            told!(self, KeyvalueRequest::Open { bucket: identifier.clone() }, KeyvalueResponse::Done => ());
        Ok(match opened? {
            Ok(()) => Ok(self.table.push(Bucket(identifier))?),
            Err(error) => Err(error),
        })
    }
}

impl store::HostBucket for View<'_> {
    async fn get(&mut self, bucket: Handle, key: String) -> Told<Option<Vec<u8>>> {
        let found = self.values(&bucket, vec![key]).await?;
        Ok(found.map(|found| found.into_iter().next().flatten().map(|(_, value)| value)))
    }

    async fn set(&mut self, bucket: Handle, key: String, value: Vec<u8>) -> Told<()> {
        self.put(&bucket, vec![(key, value)]).await
    }

    async fn delete(&mut self, bucket: Handle, key: String) -> Told<()> {
        self.take(&bucket, vec![key]).await
    }

    async fn exists(&mut self, bucket: Handle, key: String) -> Told<bool> {
        let bucket = self.bucket(&bucket)?;
        told!(self, KeyvalueRequest::Exists { bucket, key }, KeyvalueResponse::There(there) => there)
    }

    async fn list_keys(&mut self, bucket: Handle, cursor: Option<u64>) -> Told<store::KeyResponse> {
        let bucket = self.bucket(&bucket)?;
        told!(self, KeyvalueRequest::Keys { bucket, cursor },
            KeyvalueResponse::Page { keys, cursor } => store::KeyResponse { keys, cursor })
    }

    async fn drop(&mut self, bucket: Handle) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    async fn increment(&mut self, bucket: Handle, key: String, by: u64) -> Told<u64> {
        let bucket = self.bucket(&bucket)?;
        told!(self, KeyvalueRequest::Increment { bucket, key, by }, KeyvalueResponse::Number(sum) => sum)
    }
}

impl batch::Host for View<'_> {
    async fn get_many(&mut self, bucket: Handle, keys: Vec<String>) -> Told<Entries> {
        self.values(&bucket, keys).await
    }

    async fn set_many(&mut self, bucket: Handle, values: Vec<(String, Vec<u8>)>) -> Told<()> {
        self.put(&bucket, values).await
    }

    async fn delete_many(&mut self, bucket: Handle, keys: Vec<String>) -> Told<()> {
        self.take(&bucket, keys).await
    }
}
