//! `files`: the granted folders. Opened once a plugin; every path is resolved beneath them by the kernel (the engine's
//! library uses `openat2` with `RESOLVE_BENEATH`). Here each use is asked for, noted in the record, then done.

mod p3;

use std::collections::HashMap;

use toolgate_policy::capability::files::{Access, Grant, Use};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{self, ErrorCode};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as t};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::Ctx;
use crate::audit::record::Notes;

/// The granted folders, open.
#[derive(Clone, Default)]
pub(crate) struct Prototype(WasiFilesystemCtx);

/// What one call holds open, and where each descriptor leads.
pub(crate) struct State {
    folders: WasiFilesystemCtx,
    places: HashMap<u32, Place>,
}

/// Where a descriptor leads: below which mount, and there to what.
#[derive(Clone)]
struct Place {
    mount: usize,
    path: String,
}

impl Prototype {
    /// Opens the granted folders.
    ///
    /// # Errors
    /// The folder that could not be opened, and why.
    pub(crate) fn open(grant: &Grant) -> Result<Self, (String, wasmtime::Error)> {
        let mut builder = WasiCtxBuilder::new();
        for mount in grant.mounts() {
            let access = match mount.access {
                Access::Read => FsPerms::ReadOnly,
                Access::ReadWrite => FsPerms::ReadWrite,
            };
            builder
                .preopened_dir(&mount.host, &mount.guest, access)
                .map_err(|error| (mount.host.clone(), error))?;
        }
        Ok(Self(builder.build().filesystem().clone()))
    }
}

impl State {
    pub(crate) fn new(prototype: &Prototype) -> Self {
        Self { folders: prototype.0.clone(), places: HashMap::new() }
    }
}

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<Ctx, Files>(linker, view)?;
    types::add_to_linker::<Ctx, Files>(linker, view)
}

pub(super) use p3::link as link_p3;

struct Files;

impl HasData for Files {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: &'a Grant,
    folders: &'a mut WasiFilesystemCtx,
    places: &'a mut HashMap<u32, Place>,
    table: &'a mut ResourceTable,
    notes: &'a Notes,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View {
        grant: &ctx.prototype.effective.files,
        folders: &mut ctx.files.folders,
        places: &mut ctx.files.places,
        table: &mut ctx.table,
        notes: &ctx.notes,
    }
}

type Fd = Resource<Descriptor>;

/// Why a use is refused, before anything is done.
enum No {
    /// The descriptor leads nowhere.
    Descriptor,
    /// The grant is for reading.
    Grant,
}

impl From<No> for FsError {
    fn from(no: No) -> Self {
        match no {
            No::Descriptor => ErrorCode::BadDescriptor.into(),
            No::Grant => ErrorCode::ReadOnly.into(),
        }
    }
}

impl View<'_> {
    fn inner(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: self.folders, table: self.table }
    }

    /// Asks for a use of what a descriptor leads to, and notes it.
    fn ask(&mut self, fd: &Fd, wanted: Use) -> Result<(), No> {
        self.ask_at(fd, None, wanted)
    }

    /// Asks for a use of `path` below a descriptor, and notes it.
    fn ask_at(&mut self, fd: &Fd, path: Option<&str>, wanted: Use) -> Result<(), No> {
        let place = self.places.get(&fd.rep()).cloned().ok_or(No::Descriptor)?;
        let pass = self.grant.allow(place.mount, wanted).map_err(|_| No::Grant)?;
        let guest = self.grant.mounts().get(pass.mount()).map_or("", |mount| mount.guest.as_str());
        let access = match wanted {
            Use::Read => "read",
            Use::Write => "write",
        };
        self.notes.file(&join(&join(guest, &place.path), path.unwrap_or_default()), access);
        Ok(())
    }
}

impl View<'_> {
    /// Asks to open `path` below a descriptor, and says where that will lead.
    fn ask_open(&mut self, fd: &Fd, path: &str, changes: bool) -> Result<Place, No> {
        self.ask_at(fd, Some(path), if changes { Use::Write } else { Use::Read })?;
        let from = self.places.get(&fd.rep()).ok_or(No::Descriptor)?;
        Ok(Place { mount: from.mount, path: join(&from.path, path) })
    }

    /// Remembers to which mount each of the granted folders leads: they come in its order.
    fn place(&mut self, directories: &[(Fd, String)]) {
        for (mount, (fd, _)) in directories.iter().enumerate() {
            self.places.insert(fd.rep(), Place { mount, path: String::new() });
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
        let place = self.ask_open(&fd, &path, changes)?;
        let opened = self.inner().open_at(fd, path_flags, path, open_flags, flags).await?;
        self.places.insert(opened.rep(), place);
        Ok(opened)
    }

    async fn advise(&mut self, fd: Fd, offset: u64, len: u64, advice: t::Advice) -> FsResult<()> {
        self.inner().advise(fd, offset, len, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.inner().sync_data(fd).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.inner().sync(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<t::DescriptorFlags> {
        self.inner().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<t::DescriptorType> {
        self.inner().get_type(fd).await
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.ask(&fd, Use::Write)?;
        self.inner().set_size(fd, size).await
    }

    async fn set_times(&mut self, fd: Fd, atime: t::NewTimestamp, mtime: t::NewTimestamp) -> FsResult<()> {
        self.ask(&fd, Use::Write)?;
        self.inner().set_times(fd, atime, mtime).await
    }

    async fn read(&mut self, fd: Fd, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.ask(&fd, Use::Read)?;
        self.inner().read(fd, len, offset).await
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        self.ask(&fd, Use::Write)?;
        self.inner().write(fd, bytes, offset).await
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<t::DirectoryEntryStream>> {
        self.ask(&fd, Use::Read)?;
        self.inner().read_directory(fd).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.ask_at(&fd, Some(&path), Use::Write)?;
        self.inner().create_directory_at(fd, path).await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<t::DescriptorStat> {
        self.inner().stat(fd).await
    }

    async fn stat_at(&mut self, fd: Fd, flags: t::PathFlags, path: String) -> FsResult<t::DescriptorStat> {
        self.ask_at(&fd, Some(&path), Use::Read)?;
        self.inner().stat_at(fd, flags, path).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: t::PathFlags,
        path: String,
        atime: t::NewTimestamp,
        mtime: t::NewTimestamp,
    ) -> FsResult<()> {
        self.ask_at(&fd, Some(&path), Use::Write)?;
        self.inner().set_times_at(fd, flags, path, atime, mtime).await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: t::PathFlags,
        old: String,
        to: Fd,
        new: String,
    ) -> FsResult<()> {
        self.ask_at(&fd, Some(&old), Use::Write)?;
        self.ask_at(&to, Some(&new), Use::Write)?;
        self.inner().link_at(fd, flags, old, to, new).await
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.ask_at(&fd, Some(&path), Use::Read)?;
        self.inner().readlink_at(fd, path).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.ask_at(&fd, Some(&path), Use::Write)?;
        self.inner().remove_directory_at(fd, path).await
    }

    async fn rename_at(&mut self, fd: Fd, old: String, to: Fd, new: String) -> FsResult<()> {
        self.ask_at(&fd, Some(&old), Use::Write)?;
        self.ask_at(&to, Some(&new), Use::Write)?;
        self.inner().rename_at(fd, old, to, new).await
    }

    async fn symlink_at(&mut self, fd: Fd, old: String, new: String) -> FsResult<()> {
        self.ask_at(&fd, Some(&new), Use::Write)?;
        self.inner().symlink_at(fd, old, new).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.ask_at(&fd, Some(&path), Use::Write)?;
        self.inner().unlink_file_at(fd, path).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        self.ask(&fd, Use::Read)?;
        self.inner().read_via_stream(fd, offset)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        self.ask(&fd, Use::Write)?;
        self.inner().write_via_stream(fd, offset)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.ask(&fd, Use::Write)?;
        self.inner().append_via_stream(fd)
    }

    async fn is_same_object(&mut self, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        self.inner().is_same_object(fd, other).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<t::MetadataHashValue> {
        self.inner().metadata_hash(fd).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: t::PathFlags,
        path: String,
    ) -> FsResult<t::MetadataHashValue> {
        self.ask_at(&fd, Some(&path), Use::Read)?;
        self.inner().metadata_hash_at(fd, flags, path).await
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
        self.inner().read_directory_entry(entries).await
    }

    fn drop(&mut self, entries: Resource<t::DirectoryEntryStream>) -> wasmtime::Result<()> {
        t::HostDirectoryEntryStream::drop(&mut self.inner(), entries)
    }
}

/// A path below another, for the record.
fn join(base: &str, path: &str) -> String {
    match (base, path) {
        (base, "" | ".") => base.to_owned(),
        ("", path) => path.to_owned(),
        (base, path) => format!("{}/{path}", base.trim_end_matches('/')),
    }
}
