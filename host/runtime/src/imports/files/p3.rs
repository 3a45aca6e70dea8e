//! The same for WASI 0.3: each use is asked for and noted here, then done by the engine's library.

use std::sync::Arc;

use toolgate_policy::capability::files::Use;
use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, ComponentType, FutureReader, Lift, Linker, Lower, StreamReader};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::p3::bindings::filesystem::types::{self as t, ErrorCode};
use wasmtime_wasi::p3::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

use super::threads::Threads;
use super::write::{Consumer, Writer};
use super::{Fd, Files, No, Opening, View, same, view};
use crate::imports::Ctx;

pub(in crate::imports) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Ctx, Files>(linker, view)?;
    types::add_to_linker::<Ctx, Files>(linker, view)
}

impl From<No> for FilesystemError {
    fn from(no: No) -> Self {
        told(&no).into()
    }
}

fn told(no: &No) -> ErrorCode {
    match no {
        No::Descriptor => ErrorCode::BadDescriptor,
        No::Grant => ErrorCode::ReadOnly,
        No::Nothing => ErrorCode::NoEntry,
        No::Special => ErrorCode::NotPermitted,
        No::Across => ErrorCode::CrossDevice,
        No::Long => ErrorCode::NameTooLong,
        No::Full => ErrorCode::Quota,
        No::Io(error) => error.into(),
    }
}

/// What the engine's library works on.
fn inner(ctx: &mut Ctx) -> WasiFilesystemCtxView<'_> {
    WasiFilesystemCtxView { ctx: &mut ctx.files.folders, table: &mut ctx.table }
}

type Store = Accessor<Ctx, Files>;
type Ended = FutureReader<Result<(), ErrorCode>>;

fn library(store: &Store) -> Accessor<Ctx, WasiFilesystem> {
    store.with_getter::<WasiFilesystem>(inner)
}

fn threads(store: &Store) -> Arc<Threads> {
    store.with(|mut access| Arc::clone(access.get().threads))
}

fn library_in<'a>(store: &'a mut Access<'_, Ctx, Files>) -> Access<'a, Ctx, WasiFilesystem> {
    Access::<Ctx, WasiFilesystem>::new(store.as_context_mut(), inner)
}

fn ask(store: &Store, fd: &Fd, wanted: Use) -> Result<(), No> {
    store.with(|mut access| access.get().ask(fd, wanted).map(drop))
}

fn ask_at(store: &Store, fd: &Fd, path: &str, wanted: Use) -> Result<(), No> {
    store.with(|mut access| access.get().ask_at(fd, Some(path), wanted).map(drop))
}

/// Asks to make an entry below a descriptor, and counts it.
async fn enter(store: &Store, fd: &Fd, path: &str) -> Result<(), No> {
    let growth = store.with(|mut access| access.get().ask_entry(fd, path))?;
    Ok(growth.enter().await?)
}

/// A stream into an open file, from a place on or at its end.
fn stream(
    mut store: Access<'_, Ctx, Files>,
    fd: &Fd,
    mut data: StreamReader<u8>,
    at: Option<u64>,
) -> wasmtime::Result<Ended> {
    match store.get().ask_writer(fd) {
        Ok((growth, file)) => {
            let (consumer, ended) = Consumer::new(Writer::new(growth, file, at));
            data.pipe(&mut store, consumer)?;
            FutureReader::new(&mut store, ended)
        }
        Err(no) => {
            data.close(&mut store)?;
            Ok(refused::<u8>(store, &no)?.1)
        }
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let directories = preopens::Host::get_directories(&mut self.inner())?;
        self.place(&directories);
        Ok(directories)
    }
}

impl t::Host for View<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        t::Host::convert_error_code(&mut self.inner(), error)
    }
}

impl t::HostDescriptor for View<'_> {
    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.places.remove(&fd.rep());
        t::HostDescriptor::drop(&mut self.inner(), fd)
    }
}

/// A stream of nothing, and why.
fn refused<T: ComponentType + Lift + Lower + Send + Sync + Unpin + 'static>(
    mut store: Access<'_, Ctx, Files>,
    no: &No,
) -> wasmtime::Result<(StreamReader<T>, Ended)> {
    let why = told(no);
    let nothing = StreamReader::new(&mut store, Vec::<T>::new())?;
    let ended = FutureReader::new(&mut store, async move { wasmtime::error::Ok(Err(why)) })?;
    Ok((nothing, ended))
}

impl t::HostDescriptorWithStore<Ctx> for Files {
    fn read_via_stream(
        mut store: Access<'_, Ctx, Self>,
        fd: Fd,
        offset: u64,
    ) -> wasmtime::Result<(StreamReader<u8>, Ended)> {
        match store.get().ask(&fd, Use::Read) {
            Ok(_pass) => WasiFilesystem::read_via_stream(library_in(&mut store), fd, offset),
            Err(no) => refused(store, &no),
        }
    }

    fn write_via_stream(
        store: Access<'_, Ctx, Self>,
        fd: Fd,
        data: StreamReader<u8>,
        offset: u64,
    ) -> wasmtime::Result<Ended> {
        stream(store, &fd, data, Some(offset))
    }

    fn append_via_stream(
        store: Access<'_, Ctx, Self>,
        fd: Fd,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Ended> {
        stream(store, &fd, data, None)
    }

    fn read_directory(
        mut store: Access<'_, Ctx, Self>,
        fd: Fd,
    ) -> wasmtime::Result<(StreamReader<t::DirectoryEntry>, Ended)> {
        match store.get().ask(&fd, Use::Read) {
            Ok(_pass) => WasiFilesystem::read_directory(library_in(&mut store), fd),
            Err(no) => refused(store, &no),
        }
    }

    async fn advise(store: &Store, fd: Fd, offset: u64, len: u64, advice: t::Advice) -> FilesystemResult<()> {
        threads(store).run(WasiFilesystem::advise(&library(store), fd, offset, len, advice)).await
    }

    async fn sync_data(store: &Store, fd: Fd) -> FilesystemResult<()> {
        threads(store).run(WasiFilesystem::sync_data(&library(store), fd)).await
    }

    async fn sync(store: &Store, fd: Fd) -> FilesystemResult<()> {
        threads(store).run(WasiFilesystem::sync(&library(store), fd)).await
    }

    async fn get_flags(store: &Store, fd: Fd) -> FilesystemResult<t::DescriptorFlags> {
        threads(store).run(WasiFilesystem::get_flags(&library(store), fd)).await
    }

    async fn get_type(store: &Store, fd: Fd) -> FilesystemResult<t::DescriptorType> {
        threads(store).run(WasiFilesystem::get_type(&library(store), fd)).await
    }

    async fn set_size(store: &Store, fd: Fd, size: u64) -> FilesystemResult<()> {
        let (growth, file) = store.with(|mut access| access.get().ask_writer(&fd))?;
        Ok(growth.set_size(file, size).await.map_err(No::from)?)
    }

    async fn set_times(
        store: &Store,
        fd: Fd,
        atime: t::NewTimestamp,
        mtime: t::NewTimestamp,
    ) -> FilesystemResult<()> {
        ask(store, &fd, Use::Write)?;
        threads(store).run(WasiFilesystem::set_times(&library(store), fd, atime, mtime)).await
    }

    async fn create_directory_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<()> {
        enter(store, &fd, &path).await?;
        threads(store).run(WasiFilesystem::create_directory_at(&library(store), fd, path)).await
    }

    async fn stat(store: &Store, fd: Fd) -> FilesystemResult<t::DescriptorStat> {
        threads(store).run(WasiFilesystem::stat(&library(store), fd)).await
    }

    async fn stat_at(
        store: &Store,
        fd: Fd,
        flags: t::PathFlags,
        path: String,
    ) -> FilesystemResult<t::DescriptorStat> {
        ask_at(store, &fd, &path, Use::Read)?;
        threads(store).run(WasiFilesystem::stat_at(&library(store), fd, flags, path)).await
    }

    async fn set_times_at(
        store: &Store,
        fd: Fd,
        flags: t::PathFlags,
        path: String,
        atime: t::NewTimestamp,
        mtime: t::NewTimestamp,
    ) -> FilesystemResult<()> {
        ask_at(store, &fd, &path, Use::Write)?;
        threads(store).run(WasiFilesystem::set_times_at(&library(store), fd, flags, path, atime, mtime)).await
    }

    async fn link_at(
        store: &Store,
        fd: Fd,
        flags: t::PathFlags,
        old: String,
        to: Fd,
        new: String,
    ) -> FilesystemResult<()> {
        let growth = store.with(|mut access| access.get().ask_across((&fd, &old), (&to, &new)))?;
        growth.enter().await.map_err(No::from)?;
        threads(store).run(WasiFilesystem::link_at(&library(store), fd, flags, old, to, new)).await
    }

    async fn open_at(
        store: &Store,
        fd: Fd,
        path_flags: t::PathFlags,
        path: String,
        open_flags: t::OpenFlags,
        flags: t::DescriptorFlags,
    ) -> FilesystemResult<Fd> {
        let changes = open_flags
            .intersects(t::OpenFlags::CREATE | t::OpenFlags::TRUNCATE | t::OpenFlags::EXCLUSIVE)
            || flags.contains(t::DescriptorFlags::WRITE);
        let folder = open_flags.contains(t::OpenFlags::DIRECTORY);
        let Opening { place, growth, _coming } =
            store.with(|mut access| access.get().ask_open(&fd, &path, changes, folder))?;
        // Opening a pipe would wait for whoever is at its other end.
        let there = threads(store)
            .run(WasiFilesystem::stat_at(&library(store), same(&fd), path_flags, path.clone()))
            .await;
        if there.as_ref().is_ok_and(|there| is_special(&there.type_)) {
            return Err(No::Special.into());
        }
        if let (Some(growth), true, Err(_)) = (growth, open_flags.contains(t::OpenFlags::CREATE), there) {
            growth.enter().await.map_err(No::from)?;
        }
        let opened = threads(store)
            .run(WasiFilesystem::open_at(&library(store), fd, path_flags, path, open_flags, flags))
            .await?;
        store.with(|mut access| access.get().opened(&opened, place));
        Ok(opened)
    }

    async fn readlink_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<String> {
        ask_at(store, &fd, &path, Use::Read)?;
        threads(store).run(WasiFilesystem::readlink_at(&library(store), fd, path)).await
    }

    async fn remove_directory_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<()> {
        ask_at(store, &fd, &path, Use::Write)?;
        threads(store).run(WasiFilesystem::remove_directory_at(&library(store), fd, path)).await
    }

    async fn rename_at(store: &Store, fd: Fd, old: String, to: Fd, new: String) -> FilesystemResult<()> {
        store.with(|mut access| access.get().ask_across((&fd, &old), (&to, &new)).map(drop))?;
        threads(store).run(WasiFilesystem::rename_at(&library(store), fd, old, to, new)).await
    }

    async fn symlink_at(store: &Store, fd: Fd, old: String, new: String) -> FilesystemResult<()> {
        let growth = store.with(|mut access| access.get().ask_link(&fd, &old, &new))?;
        growth.enter().await.map_err(No::from)?;
        threads(store).run(WasiFilesystem::symlink_at(&library(store), fd, old, new)).await
    }

    async fn unlink_file_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<()> {
        ask_at(store, &fd, &path, Use::Write)?;
        threads(store).run(WasiFilesystem::unlink_file_at(&library(store), fd, path)).await
    }

    async fn is_same_object(store: &Store, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        threads(store).run(WasiFilesystem::is_same_object(&library(store), fd, other)).await
    }

    async fn metadata_hash(store: &Store, fd: Fd) -> FilesystemResult<t::MetadataHashValue> {
        threads(store).run(WasiFilesystem::metadata_hash(&library(store), fd)).await
    }

    async fn metadata_hash_at(
        store: &Store,
        fd: Fd,
        flags: t::PathFlags,
        path: String,
    ) -> FilesystemResult<t::MetadataHashValue> {
        ask_at(store, &fd, &path, Use::Read)?;
        threads(store).run(WasiFilesystem::metadata_hash_at(&library(store), fd, flags, path)).await
    }
}

fn is_special(what: &t::DescriptorType) -> bool {
    !matches!(
        what,
        t::DescriptorType::RegularFile | t::DescriptorType::Directory | t::DescriptorType::SymbolicLink
    )
}
