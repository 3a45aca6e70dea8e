//! `keyvalue`: linked without power. No grant gives it any yet, so every bucket is refused.

use wasmtime::component::{HasData, Linker, Resource};

use super::Ctx;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    store::add_to_linker::<Ctx, Keyvalue>(linker, |_| View)?;
    atomics::add_to_linker::<Ctx, Keyvalue>(linker, |_| View)?;
    batch::add_to_linker::<Ctx, Keyvalue>(linker, |_| View)
}

struct Keyvalue;

impl HasData for Keyvalue {
    type Data<'a> = View;
}

struct View;

impl store::Host for View {
    fn open(&mut self, _identifier: String) -> Result<Resource<store::Bucket>, store::Error> {
        Err(store::Error::AccessDenied)
    }
}

/// A bucket is never handed out, so that none of these is reached with one; each refuses all the same.
impl store::HostBucket for View {
    fn get(
        &mut self,
        _bucket: Resource<store::Bucket>,
        _key: String,
    ) -> Result<Option<Vec<u8>>, store::Error> {
        Err(store::Error::AccessDenied)
    }

    fn set(
        &mut self,
        _bucket: Resource<store::Bucket>,
        _key: String,
        _value: Vec<u8>,
    ) -> Result<(), store::Error> {
        Err(store::Error::AccessDenied)
    }

    fn delete(&mut self, _bucket: Resource<store::Bucket>, _key: String) -> Result<(), store::Error> {
        Err(store::Error::AccessDenied)
    }

    fn exists(&mut self, _bucket: Resource<store::Bucket>, _key: String) -> Result<bool, store::Error> {
        Err(store::Error::AccessDenied)
    }

    fn list_keys(
        &mut self,
        _bucket: Resource<store::Bucket>,
        _cursor: Option<u64>,
    ) -> Result<store::KeyResponse, store::Error> {
        Err(store::Error::AccessDenied)
    }

    fn drop(&mut self, _bucket: Resource<store::Bucket>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl atomics::Host for View {
    fn increment(
        &mut self,
        _bucket: Resource<store::Bucket>,
        _key: String,
        _by: u64,
    ) -> Result<u64, store::Error> {
        Err(store::Error::AccessDenied)
    }
}

impl batch::Host for View {
    fn get_many(
        &mut self,
        _bucket: Resource<store::Bucket>,
        _keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, store::Error> {
        Err(store::Error::AccessDenied)
    }

    fn set_many(
        &mut self,
        _bucket: Resource<store::Bucket>,
        _values: Vec<(String, Vec<u8>)>,
    ) -> Result<(), store::Error> {
        Err(store::Error::AccessDenied)
    }

    fn delete_many(
        &mut self,
        _bucket: Resource<store::Bucket>,
        _keys: Vec<String>,
    ) -> Result<(), store::Error> {
        Err(store::Error::AccessDenied)
    }
}
