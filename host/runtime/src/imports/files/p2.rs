//! By WASI 0.2: each use is asked for, then done by the engine's library, but for writing, which is the quota's.

use std::sync::Arc;

use toolgate_policy::capability::files::Use;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{self, ErrorCode};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as t};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::threads::Input;
use super::write::{Output, Writer};
use super::{Fd, Files, No, Opening, View, listing, same, view};
use crate::imports::Ctx;

pub(in crate::imports) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Ctx, Files>(linker, view)?;
    types::add_to_linker::<Ctx, Files>(linker, view)
}

impl From<No> for FsError {
    fn from(no: No) -> Self {
        match no {
            No::Descriptor => ErrorCode::BadDescriptor.into(),
            No::Grant => ErrorCode::ReadOnly.into(),
            No::Nothing => ErrorCode::NoEntry.into(),
            No::Special => ErrorCode::NotPermitted.into(),
            No::Across => ErrorCode::CrossDevice.into(),
            No::Long => ErrorCode::NameTooLong.into(),
            No::Full => ErrorCode::Quota.into(),
            No::Io(error) => error.into(),
        }
    }
}

impl View<'_> {
    /// A stream into an open file, from a place on or at its end.
    fn stream(&mut self, fd: &Fd, at: Option<u64>) -> FsResult<Resource<DynOutputStream>> {
        let (growth, file) = self.ask_writer(fd)?;
        let stream: DynOutputStream = Box::new(Output::new(Writer::new(growth, file, at)));
        Ok(self.table.push(stream)?)
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
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        t::Host::convert_error_code(&mut self.inner(), error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        t::Host::filesystem_error_code(&mut self.inner(), error)
    }
}

impl t::HostDescriptor for View<'_> {
    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: t::PathFlags,
        path: String,
        open_flags: t::OpenFlags,
        flags: t::DescriptorFlags,
    ) -> FsResult<Fd> {
        let changes = open_flags
            .intersects(t::OpenFlags::CREATE | t::OpenFlags::TRUNCATE | t::OpenFlags::EXCLUSIVE)
            || flags.contains(t::DescriptorFlags::WRITE);
        let folder = open_flags.contains(t::OpenFlags::DIRECTORY);
        let Opening { place, growth, _coming } = self.ask_open(&fd, &path, changes, folder)?;
        // Opening a pipe would wait for whoever is at its other end.
        let there = self.threads.run(self.inner().stat_at(same(&fd), path_flags, path.clone())).await;
        if there.as_ref().is_ok_and(|there| is_special(there.type_)) {
            return Err(No::Special.into());
        }
        if let (Some(growth), true, Err(_)) = (growth, open_flags.contains(t::OpenFlags::CREATE), there) {
            growth.enter().await.map_err(No::from)?;
        }
        let opened = self.threads.run(self.inner().open_at(fd, path_flags, path, open_flags, flags)).await?;
        self.opened(&opened, place);
        Ok(opened)
    }

    async fn advise(&mut self, fd: Fd, offset: u64, len: u64, advice: t::Advice) -> FsResult<()> {
        self.threads.run(self.inner().advise(fd, offset, len, advice)).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.threads.run(self.inner().sync_data(fd)).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.threads.run(self.inner().sync(fd)).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<t::DescriptorFlags> {
        self.threads.run(self.inner().get_flags(fd)).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<t::DescriptorType> {
        self.threads.run(self.inner().get_type(fd)).await
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        let (growth, file) = self.ask_writer(&fd)?;
        Ok(growth.set_size(file, size).await.map_err(No::from)?)
    }

    async fn set_times(&mut self, fd: Fd, atime: t::NewTimestamp, mtime: t::NewTimestamp) -> FsResult<()> {
        let _pass = self.ask(&fd, Use::Write)?;
        self.threads.run(self.inner().set_times(fd, atime, mtime)).await
    }

    async fn read(&mut self, fd: Fd, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let _pass = self.ask(&fd, Use::Read)?;
        self.threads.run(self.inner().read(fd, len, offset)).await
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        let (growth, file) = self.ask_writer(&fd)?;
        self.meter.charge(bytes.len() as u64);
        Ok(growth.write(file, Some(offset), bytes.into()).await.map_err(No::from)? as u64)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<t::DirectoryEntryStream>> {
        let _pass = self.ask(&fd, Use::Read)?;
        if let Ok(Descriptor::Dir(dir)) = self.table.get(&fd) {
            // The library brings all of it into memory.
            listing::check(Arc::clone(&dir.dir), self.meter, self.threads).await?;
        }
        self.threads.run(self.inner().read_directory(fd)).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.ask_entry(&fd, &path)?.enter().await.map_err(No::from)?;
        self.threads.run(self.inner().create_directory_at(fd, path)).await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<t::DescriptorStat> {
        self.threads.run(self.inner().stat(fd)).await
    }

    async fn stat_at(&mut self, fd: Fd, flags: t::PathFlags, path: String) -> FsResult<t::DescriptorStat> {
        let _pass = self.ask_at(&fd, Some(&path), Use::Read)?;
        self.threads.run(self.inner().stat_at(fd, flags, path)).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: t::PathFlags,
        path: String,
        atime: t::NewTimestamp,
        mtime: t::NewTimestamp,
    ) -> FsResult<()> {
        let _pass = self.ask_at(&fd, Some(&path), Use::Write)?;
        self.threads.run(self.inner().set_times_at(fd, flags, path, atime, mtime)).await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: t::PathFlags,
        old: String,
        to: Fd,
        new: String,
    ) -> FsResult<()> {
        self.ask_across((&fd, &old), (&to, &new))?.enter().await.map_err(No::from)?;
        self.threads.run(self.inner().link_at(fd, flags, old, to, new)).await
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let _pass = self.ask_at(&fd, Some(&path), Use::Read)?;
        self.threads.run(self.inner().readlink_at(fd, path)).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let _pass = self.ask_at(&fd, Some(&path), Use::Write)?;
        self.threads.run(self.inner().remove_directory_at(fd, path)).await
    }

    async fn rename_at(&mut self, fd: Fd, old: String, to: Fd, new: String) -> FsResult<()> {
        self.ask_across((&fd, &old), (&to, &new))?;
        self.threads.run(self.inner().rename_at(fd, old, to, new)).await
    }

    async fn symlink_at(&mut self, fd: Fd, old: String, new: String) -> FsResult<()> {
        self.ask_link(&fd, &old, &new)?.enter().await.map_err(No::from)?;
        self.threads.run(self.inner().symlink_at(fd, old, new)).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let _pass = self.ask_at(&fd, Some(&path), Use::Write)?;
        self.threads.run(self.inner().unlink_file_at(fd, path)).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let _pass = self.ask(&fd, Use::Read)?;
        let stream = self.inner().read_via_stream(fd, offset)?;
        let stream = Input::new(self.table.delete(stream)?, Arc::clone(self.threads));
        let stream: DynInputStream = Box::new(stream);
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        self.stream(&fd, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.stream(&fd, None)
    }

    async fn is_same_object(&mut self, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        self.threads.run(self.inner().is_same_object(fd, other)).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<t::MetadataHashValue> {
        self.threads.run(self.inner().metadata_hash(fd)).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: t::PathFlags,
        path: String,
    ) -> FsResult<t::MetadataHashValue> {
        let _pass = self.ask_at(&fd, Some(&path), Use::Read)?;
        self.threads.run(self.inner().metadata_hash_at(fd, flags, path)).await
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.places.remove(&fd.rep());
        t::HostDescriptor::drop(&mut self.inner(), fd)
    }
}

impl t::HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(
        &mut self,
        entries: Resource<t::DirectoryEntryStream>,
    ) -> FsResult<Option<t::DirectoryEntry>> {
        self.threads.run(self.inner().read_directory_entry(entries)).await
    }

    fn drop(&mut self, entries: Resource<t::DirectoryEntryStream>) -> wasmtime::Result<()> {
        t::HostDirectoryEntryStream::drop(&mut self.inner(), entries)
    }
}

fn is_special(what: t::DescriptorType) -> bool {
    !matches!(
        what,
        t::DescriptorType::RegularFile | t::DescriptorType::Directory | t::DescriptorType::SymbolicLink
    )
}
