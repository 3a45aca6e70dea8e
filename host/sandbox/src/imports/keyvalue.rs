//! `keyvalue`: wasi:keyvalue over the plugin's store. Each use requires a pass. Buckets are namespaces within the one
//! store; any name opens one.

mod broker;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::Ctx;
use super::host_calls::HostCalls;
use crate::bindings::Bucket;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::protocol::blob::{BoundedVec, ByteBlob};
use crate::protocol::keyvalue::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};

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
/// Outside, what ends the call; inside, the guest's answer.
type Answer<T> = wasmtime::Result<Result<T, store::Error>>;
type Entries = Vec<Option<(String, Vec<u8>)>>;

impl From<KeyvalueFault> for store::Error {
    fn from(refused: KeyvalueFault) -> Self {
        match refused {
            KeyvalueFault::Denied => Self::AccessDenied,
            KeyvalueFault::Other(why) => Self::Other(why),
        }
    }
}

/// Performs a request, and takes the guest's answer out of the response.
macro_rules! perform {
    ($view:ident, $request:expr, $response:pat => $answer:expr) => {
        match $view.outside.keyvalue($request).await {
            Ok($response) => Ok(Ok($answer)),
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

    async fn values(&mut self, bucket: &Handle, keys: Vec<String>) -> Answer<Entries> {
        let (bucket, keys) = (self.bucket(bucket)?, BoundedVec(keys));
        let entry = |(key, ByteBlob(value))| (key, value);
        perform!(self, KeyvalueRequest::Get { bucket, keys },
            KeyvalueResponse::Values(values) => values.into_iter().map(|found| found.map(entry)).collect())
    }

    async fn put(&mut self, bucket: &Handle, entries: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let bucket = self.bucket(bucket)?;
        let entries = BoundedVec(entries.into_iter().map(|(key, value)| (key, ByteBlob(value))).collect());
        perform!(self, KeyvalueRequest::Set { bucket, entries }, KeyvalueResponse::Done => ())
    }

    async fn take(&mut self, bucket: &Handle, keys: Vec<String>) -> Answer<()> {
        let (bucket, keys) = (self.bucket(bucket)?, BoundedVec(keys));
        perform!(self, KeyvalueRequest::Delete { bucket, keys }, KeyvalueResponse::Done => ())
    }
}

impl store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Answer<Handle> {
        let opened: Answer<()> = perform!(self, KeyvalueRequest::Open { bucket: identifier.clone() }, KeyvalueResponse::Done => ());
        Ok(match opened? {
            Ok(()) => Ok(self.table.push(Bucket(identifier))?),
            Err(error) => Err(error),
        })
    }
}

impl store::HostBucket for View<'_> {
    async fn get(&mut self, bucket: Handle, key: String) -> Answer<Option<Vec<u8>>> {
        let found = self.values(&bucket, vec![key]).await?;
        Ok(found.map(|found| found.into_iter().next().flatten().map(|(_, value)| value)))
    }

    async fn set(&mut self, bucket: Handle, key: String, value: Vec<u8>) -> Answer<()> {
        self.put(&bucket, vec![(key, value)]).await
    }

    async fn delete(&mut self, bucket: Handle, key: String) -> Answer<()> {
        self.take(&bucket, vec![key]).await
    }

    async fn exists(&mut self, bucket: Handle, key: String) -> Answer<bool> {
        let bucket = self.bucket(&bucket)?;
        perform!(self, KeyvalueRequest::Exists { bucket, key }, KeyvalueResponse::There(there) => there)
    }

    async fn list_keys(&mut self, bucket: Handle, cursor: Option<u64>) -> Answer<store::KeyResponse> {
        let bucket = self.bucket(&bucket)?;
        perform!(self, KeyvalueRequest::Keys { bucket, cursor },
            KeyvalueResponse::Page { keys, cursor } => store::KeyResponse { keys, cursor })
    }

    async fn drop(&mut self, bucket: Handle) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    async fn increment(&mut self, bucket: Handle, key: String, by: u64) -> Answer<u64> {
        let bucket = self.bucket(&bucket)?;
        perform!(self, KeyvalueRequest::Increment { bucket, key, by }, KeyvalueResponse::Number(sum) => sum)
    }
}

impl batch::Host for View<'_> {
    async fn get_many(&mut self, bucket: Handle, keys: Vec<String>) -> Answer<Entries> {
        self.values(&bucket, keys).await
    }

    async fn set_many(&mut self, bucket: Handle, values: Vec<(String, Vec<u8>)>) -> Answer<()> {
        self.put(&bucket, values).await
    }

    async fn delete_many(&mut self, bucket: Handle, keys: Vec<String>) -> Answer<()> {
        self.take(&bucket, keys).await
    }
}
