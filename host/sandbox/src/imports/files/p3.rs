//! Files for WASI 0.3.

mod streams;

use wasmtime::component::{Access, Accessor, FutureReader, Linker, Resource, StreamReader};
use wasmtime_wasi::p3::bindings::filesystem::types::{self as t, ErrorCode};
use wasmtime_wasi::p3::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

use super::client::FileClient;
use super::{Fd, Files, View, view};
use crate::imports::Ctx;
use crate::protocol::files::{Code, DescriptorOp, FileRequest, OpenOp, PathOp, TwoPathOp};

pub(in crate::imports) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Ctx, Files>(linker, view)?;
    types::add_to_linker::<Ctx, Files>(linker, view)
}

impl From<Code> for FilesystemError {
    fn from(code: Code) -> Self {
        ErrorCode::from(code).into()
    }
}

type Store = Accessor<Ctx, Files>;
type Ended = FutureReader<Result<(), ErrorCode>>;

fn client(store: &Store) -> FileClient {
    store.with(|mut access| access.get().files.client.clone())
}

async fn done(store: &Store, request: FileRequest) -> FilesystemResult<()> {
    Ok(client(store).done(request).await?)
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        Ok(self.folders())
    }
}

impl t::Host for View<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl t::HostDescriptor for View<'_> {
    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.files.open.remove(&fd.rep());
        Ok(())
    }
}

impl t::HostDescriptorWithStore<Ctx> for Files {
    fn read_via_stream(
        store: Access<'_, Ctx, Self>,
        fd: Fd,
        at: u64,
    ) -> wasmtime::Result<(StreamReader<u8>, Ended)> {
        streams::out(store, &fd, OpenOp::Input { file: fd.rep(), at }, streams::bytes)
    }

    fn write_via_stream(
        store: Access<'_, Ctx, Self>,
        fd: Fd,
        data: StreamReader<u8>,
        at: u64,
    ) -> wasmtime::Result<Ended> {
        streams::into(store, &fd, data, Some(at))
    }

    fn append_via_stream(
        store: Access<'_, Ctx, Self>,
        fd: Fd,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Ended> {
        streams::into(store, &fd, data, None)
    }

    fn read_directory(
        store: Access<'_, Ctx, Self>,
        fd: Fd,
    ) -> wasmtime::Result<(StreamReader<t::DirectoryEntry>, Ended)> {
        streams::out(store, &fd, OpenOp::Listing { folder: fd.rep() }, streams::entries)
    }

    async fn advise(store: &Store, fd: Fd, at: u64, bytes: u64, advice: t::Advice) -> FilesystemResult<()> {
        done(store, FileRequest::Of(fd.rep(), DescriptorOp::Advise { at, bytes, advice: advice.into() }))
            .await
    }

    async fn sync_data(store: &Store, fd: Fd) -> FilesystemResult<()> {
        done(store, FileRequest::Of(fd.rep(), DescriptorOp::SyncData)).await
    }

    async fn sync(store: &Store, fd: Fd) -> FilesystemResult<()> {
        done(store, FileRequest::Of(fd.rep(), DescriptorOp::Sync)).await
    }

    async fn get_flags(store: &Store, fd: Fd) -> FilesystemResult<t::DescriptorFlags> {
        Ok(client(store).flags(fd.rep()).await?.into())
    }

    async fn get_type(store: &Store, fd: Fd) -> FilesystemResult<t::DescriptorType> {
        Ok(client(store).kind(fd.rep()).await?.into())
    }

    async fn set_size(store: &Store, fd: Fd, size: u64) -> FilesystemResult<()> {
        done(store, FileRequest::Of(fd.rep(), DescriptorOp::SetSize(size))).await
    }

    async fn set_times(
        store: &Store,
        fd: Fd,
        accessed: t::NewTimestamp,
        modified: t::NewTimestamp,
    ) -> FilesystemResult<()> {
        let (accessed, modified) = (accessed.try_into()?, modified.try_into()?);
        done(store, FileRequest::Of(fd.rep(), DescriptorOp::SetTimes { accessed, modified })).await
    }

    async fn create_directory_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<()> {
        done(store, FileRequest::At(fd.rep(), path, PathOp::MakeFolder)).await
    }

    async fn stat(store: &Store, fd: Fd) -> FilesystemResult<t::DescriptorStat> {
        Ok(client(store).stat(FileRequest::Of(fd.rep(), DescriptorOp::Stat)).await?.into())
    }

    async fn stat_at(
        store: &Store,
        fd: Fd,
        follow: t::PathFlags,
        path: String,
    ) -> FilesystemResult<t::DescriptorStat> {
        Ok(client(store).stat(FileRequest::At(fd.rep(), path, PathOp::Stat(follow.into()))).await?.into())
    }

    async fn set_times_at(
        store: &Store,
        fd: Fd,
        follow: t::PathFlags,
        path: String,
        accessed: t::NewTimestamp,
        modified: t::NewTimestamp,
    ) -> FilesystemResult<()> {
        let (accessed, modified) = (accessed.try_into()?, modified.try_into()?);
        let how = PathOp::SetTimes { follow: follow.into(), accessed, modified };
        done(store, FileRequest::At(fd.rep(), path, how)).await
    }

    async fn link_at(
        store: &Store,
        fd: Fd,
        follow: t::PathFlags,
        old: String,
        to: Fd,
        new: String,
    ) -> FilesystemResult<()> {
        let how = TwoPathOp::Link(follow.into());
        done(store, FileRequest::Between { from: fd.rep(), old, to: to.rep(), new, how }).await
    }

    async fn open_at(
        store: &Store,
        fd: Fd,
        follow: t::PathFlags,
        path: String,
        open: t::OpenFlags,
        flags: t::DescriptorFlags,
    ) -> FilesystemResult<Fd> {
        let (follow, open, flags) = (follow.into(), open.into(), flags.into());
        let made = client(store).open(OpenOp::Path { folder: fd.rep(), path, follow, open, flags }).await?;
        Ok(store.with(|mut access| Resource::new_own(access.get().files.opened(made))))
    }

    async fn readlink_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<String> {
        Ok(client(store).target(FileRequest::At(fd.rep(), path, PathOp::ReadLink)).await?)
    }

    async fn remove_directory_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<()> {
        done(store, FileRequest::At(fd.rep(), path, PathOp::RemoveFolder)).await
    }

    async fn rename_at(store: &Store, fd: Fd, old: String, to: Fd, new: String) -> FilesystemResult<()> {
        done(store, FileRequest::Between { from: fd.rep(), old, to: to.rep(), new, how: TwoPathOp::Move })
            .await
    }

    async fn symlink_at(store: &Store, fd: Fd, old: String, new: String) -> FilesystemResult<()> {
        done(store, FileRequest::At(fd.rep(), new, PathOp::Link(old))).await
    }

    async fn unlink_file_at(store: &Store, fd: Fd, path: String) -> FilesystemResult<()> {
        done(store, FileRequest::At(fd.rep(), path, PathOp::Unlink)).await
    }

    async fn is_same_object(store: &Store, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        Ok(client(store).same(fd.rep(), other.rep()).await.map_err(ErrorCode::from)?)
    }

    async fn metadata_hash(store: &Store, fd: Fd) -> FilesystemResult<t::MetadataHashValue> {
        let (lower, upper) = client(store).hash(FileRequest::Of(fd.rep(), DescriptorOp::Hash)).await?;
        Ok(t::MetadataHashValue { lower, upper })
    }

    async fn metadata_hash_at(
        store: &Store,
        fd: Fd,
        follow: t::PathFlags,
        path: String,
    ) -> FilesystemResult<t::MetadataHashValue> {
        let request = FileRequest::At(fd.rep(), path, PathOp::Hash(follow.into()));
        let (lower, upper) = client(store).hash(request).await?;
        Ok(t::MetadataHashValue { lower, upper })
    }
}
