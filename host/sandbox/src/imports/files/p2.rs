//! Files for WASI 0.2.

mod streams;

use std::collections::VecDeque;
use toolgate_policy::limits::size;

use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::filesystem::types::{self, ErrorCode};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as t};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::client::GuestListing;
use super::{Fd, Files, View, view};
use crate::imports::Ctx;
use crate::protocol::files::{Code, DescriptorOp, FileRequest, OpenOp, PathOp, TwoPathOp};

pub(in crate::imports) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Ctx, Files>(linker, view)?;
    types::add_to_linker::<Ctx, Files>(linker, view)?;
    streams::link(linker)
}

impl From<Code> for FsError {
    fn from(code: Code) -> Self {
        ErrorCode::from(code).into()
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        Ok(self.folders())
    }
}

impl t::Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<ErrorCode>().copied())
    }
}

impl View<'_> {
    async fn done(&mut self, request: FileRequest) -> FsResult<()> {
        Ok(self.files.client.done(request).await?)
    }
}

impl t::HostDescriptor for View<'_> {
    async fn open_at(
        &mut self,
        fd: Fd,
        follow: t::PathFlags,
        path: String,
        open: t::OpenFlags,
        flags: t::DescriptorFlags,
    ) -> FsResult<Fd> {
        let (follow, open, flags) = (follow.into(), open.into(), flags.into());
        let made =
            self.files.client.open(OpenOp::Path { folder: fd.rep(), path, follow, open, flags }).await?;
        Ok(Resource::new_own(self.files.opened(made)))
    }

    async fn advise(&mut self, fd: Fd, at: u64, bytes: u64, advice: t::Advice) -> FsResult<()> {
        self.done(FileRequest::Of(fd.rep(), DescriptorOp::Advise { at, bytes, advice: advice.into() })).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.done(FileRequest::Of(fd.rep(), DescriptorOp::SyncData)).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.done(FileRequest::Of(fd.rep(), DescriptorOp::Sync)).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<t::DescriptorFlags> {
        Ok(self.files.client.flags(fd.rep()).await?.into())
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<t::DescriptorType> {
        Ok(self.files.client.kind(fd.rep()).await?.into())
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.done(FileRequest::Of(fd.rep(), DescriptorOp::SetSize(size))).await
    }

    async fn set_times(
        &mut self,
        fd: Fd,
        accessed: t::NewTimestamp,
        modified: t::NewTimestamp,
    ) -> FsResult<()> {
        let (accessed, modified) = (accessed.into(), modified.into());
        self.done(FileRequest::Of(fd.rep(), DescriptorOp::SetTimes { accessed, modified })).await
    }

    async fn read(&mut self, fd: Fd, bytes: u64, at: u64) -> FsResult<(Vec<u8>, bool)> {
        let read =
            self.files.client.bytes(FileRequest::Of(fd.rep(), DescriptorOp::Read { at, bytes })).await?;
        let is_end = read.is_empty();
        Ok((read, is_end))
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, at: u64) -> FsResult<u64> {
        self.meter.charge(bytes.len() as u64);
        let mut written = 0;
        let mut pieces = bytes.chunks(size(STREAM_BYTES_MAX));
        // Also without bytes: the write may be denied.
        let mut piece = Some(pieces.next().unwrap_or_default());
        while let Some(bytes) = piece {
            let write = DescriptorOp::Write { at: at.saturating_add(written), bytes: bytes.into() };
            match self.files.client.written(FileRequest::Of(fd.rep(), write)).await {
                Ok(more) => written += more,
                Err(code) if written == 0 => return Err(code.into()),
                Err(_) => break,
            }
            piece = pieces.next();
        }
        Ok(written)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<t::DirectoryEntryStream>> {
        let handle = self.files.client.open(OpenOp::Listing { folder: fd.rep() }).await?;
        let number = handle.number;
        self.files.listings.insert(number, GuestListing { handle, names: VecDeque::new() });
        Ok(Resource::new_own(number))
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.done(FileRequest::At(fd.rep(), path, PathOp::MakeFolder)).await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<t::DescriptorStat> {
        Ok(self.files.client.stat(FileRequest::Of(fd.rep(), DescriptorOp::Stat)).await?.into())
    }

    async fn stat_at(&mut self, fd: Fd, follow: t::PathFlags, path: String) -> FsResult<t::DescriptorStat> {
        Ok(self.files.client.stat(FileRequest::At(fd.rep(), path, PathOp::Stat(follow.into()))).await?.into())
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        follow: t::PathFlags,
        path: String,
        accessed: t::NewTimestamp,
        modified: t::NewTimestamp,
    ) -> FsResult<()> {
        let (follow, accessed, modified) = (follow.into(), accessed.into(), modified.into());
        self.done(FileRequest::At(fd.rep(), path, PathOp::SetTimes { follow, accessed, modified })).await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        follow: t::PathFlags,
        old: String,
        to: Fd,
        new: String,
    ) -> FsResult<()> {
        let how = TwoPathOp::Link(follow.into());
        self.done(FileRequest::Between { from: fd.rep(), old, to: to.rep(), new, how }).await
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        Ok(self.files.client.target(FileRequest::At(fd.rep(), path, PathOp::ReadLink)).await?)
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.done(FileRequest::At(fd.rep(), path, PathOp::RemoveFolder)).await
    }

    async fn rename_at(&mut self, fd: Fd, old: String, to: Fd, new: String) -> FsResult<()> {
        self.done(FileRequest::Between { from: fd.rep(), old, to: to.rep(), new, how: TwoPathOp::Move }).await
    }

    async fn symlink_at(&mut self, fd: Fd, old: String, new: String) -> FsResult<()> {
        self.done(FileRequest::At(fd.rep(), new, PathOp::Link(old))).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.done(FileRequest::At(fd.rep(), path, PathOp::Unlink)).await
    }

    fn read_via_stream(&mut self, _: Fd, _: u64) -> FsResult<Resource<DynInputStream>> {
        Err(streams::elsewhere())
    }

    fn write_via_stream(&mut self, _: Fd, _: u64) -> FsResult<Resource<DynOutputStream>> {
        Err(streams::elsewhere())
    }

    fn append_via_stream(&mut self, _: Fd) -> FsResult<Resource<DynOutputStream>> {
        Err(streams::elsewhere())
    }

    async fn is_same_object(&mut self, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        Ok(self.files.client.same(fd.rep(), other.rep()).await.map_err(ErrorCode::from)?)
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<t::MetadataHashValue> {
        let (lower, upper) = self.files.client.hash(FileRequest::Of(fd.rep(), DescriptorOp::Hash)).await?;
        Ok(t::MetadataHashValue { lower, upper })
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        follow: t::PathFlags,
        path: String,
    ) -> FsResult<t::MetadataHashValue> {
        let request = FileRequest::At(fd.rep(), path, PathOp::Hash(follow.into()));
        let (lower, upper) = self.files.client.hash(request).await?;
        Ok(t::MetadataHashValue { lower, upper })
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.files.open.remove(&fd.rep());
        Ok(())
    }
}

impl t::HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(
        &mut self,
        entries: Resource<t::DirectoryEntryStream>,
    ) -> FsResult<Option<t::DirectoryEntry>> {
        let listing = self.files.listings.get_mut(&entries.rep()).ok_or(Code::BadDescriptor)?;
        if listing.names.is_empty() {
            listing.names.extend(self.files.client.names(listing.handle.number).await?);
        }
        let entry = listing.names.pop_front();
        Ok(entry.map(|(kind, name)| t::DirectoryEntry { type_: kind.into(), name }))
    }

    fn drop(&mut self, entries: Resource<t::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.files.listings.remove(&entries.rep());
        Ok(())
    }
}
