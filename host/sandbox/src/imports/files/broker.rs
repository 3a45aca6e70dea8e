//! The granted folders for one call: each use is asked for, recorded, then performed. Its quota must first admit what makes a
//! folder grow.

mod execute;

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use toolgate_base::meter::{Meter, StopError};
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::files::{Pass, Use};
use toolgate_policy::limits::call::{
    CallLimit, FILES_OPEN_MAX, FILES_PATH_BYTES_MAX, OPEN_FUEL, STREAM_BYTES_MAX,
};
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, OpenMode, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::FsResult;

use super::FilesPrototype;
use super::account::FolderAccount;
use super::open_files::{DirListing, FileReader, FileWriter, MountPath, Names, Open, OpenFiles, Thing};
use super::quota::Growth;
use crate::imports::host_calls::Broker;
use crate::protocol::files::{Code, FileRequest, FileResponse};

/// Checked open; it counts as open from here on until this is dropped.
pub(super) struct PendingOpen {
    pub(super) place: MountPath,
    /// Needed to create the file if it does not exist.
    pub(super) growth: Option<Growth>,
    pub(super) pass: Pass,
    _coming: Arc<()>,
}

impl Broker {
    /// Performs a use of the granted folders, if there are any.
    ///
    /// # Errors
    /// [`Code`].
    pub(in crate::imports) async fn perform_file(&self, request: FileRequest) -> Result<FileResponse, Code> {
        request.check()?;
        let folders = self.powers.files.as_ref().ok_or(Code::BadDescriptor)?;
        View { folders, state: &self.files, notes: &self.notes, meter: &self.meter }.perform(request).await
    }
}

/// Context of one use.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) folders: &'a FilesPrototype,
    state: &'a OpenFiles,
    notes: &'a CallTrace,
    pub(super) meter: &'a Meter,
}

/// Scratch resource table for one call into the engine's library.
#[derive(Default)]
pub(super) struct ScratchTable {
    ctx: WasiFilesystemCtx,
    table: ResourceTable,
}

impl ScratchTable {
    pub(super) fn of(ctx: WasiFilesystemCtx) -> Self {
        Self { ctx, table: ResourceTable::new() }
    }

    fn push(&mut self, descriptor: Descriptor) -> Result<Resource<Descriptor>, Code> {
        self.table.push(descriptor).map_err(|_| Code::InsufficientMemory)
    }

    pub(super) fn take(&mut self, fd: Resource<Descriptor>) -> Result<Descriptor, Code> {
        self.table.delete(fd).map_err(|_| Code::BadDescriptor)
    }

    pub(super) fn view(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

impl View<'_> {
    /// Runs an operation of the engine's library.
    pub(super) async fn run<T>(self, work: impl Future<Output = FsResult<T>>) -> Result<T, Code> {
        self.folders.threads.run(work).await.map_err(|error| error.downcast().map_or(Code::Io, Code::from))
    }

    /// Puts a descriptor into a fresh table for one use. Without a pass that covers it, the library gets no descriptor.
    pub(super) fn scratch(
        self,
        number: u32,
        pass: &Pass,
        wanted: Option<Use>,
    ) -> Result<(ScratchTable, Resource<Descriptor>), Code> {
        let mut scratch = ScratchTable::default();
        let fd = self.lend(&mut scratch, number, pass, wanted)?;
        Ok((scratch, fd))
    }

    /// Adds a further descriptor of the same use.
    pub(super) fn lend(
        self,
        scratch: &mut ScratchTable,
        number: u32,
        pass: &Pass,
        wanted: Option<Use>,
    ) -> Result<Resource<Descriptor>, Code> {
        let (descriptor, place) = self.descriptor(number)?;
        if !pass.covers(place.mount, wanted) {
            return Err(Code::NotPermitted);
        }
        scratch.push(descriptor)
    }

    /// Descriptor open under a number. The granted folders have the first numbers and are always open.
    pub(super) fn descriptor(self, number: u32) -> Result<(Descriptor, MountPath), Code> {
        let mount = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(root) = self.folders.roots.get(mount) {
            return Ok((root.clone(), MountPath { mount, path: String::new() }));
        }
        match self.thing(number)? {
            Thing::Descriptor(descriptor, place) => Ok((descriptor, place)),
            Thing::Input(_) | Thing::Output(_) | Thing::Listing(_) => Err(Code::BadDescriptor),
        }
    }

    pub(super) fn thing(self, number: u32) -> Result<Thing, Code> {
        self.state.lock().by_number.get(&number).cloned().ok_or(Code::BadDescriptor)
    }

    /// Stores an opened object and returns its number. Numbers are never reused.
    pub(super) fn insert(self, thing: Thing) -> Result<u32, Code> {
        let mut things = self.state.lock();
        if things.by_number.len() as u64 >= self.meter.limit(CallLimit::Handles) {
            self.meter.stop(StopError::Limit(CallLimit::Handles));
            return Err(Code::InsufficientMemory);
        }
        let first = u32::try_from(self.folders.roots.len()).map_err(|_| Code::InsufficientMemory)?;
        let number = things.last.max(first);
        things.last = number.checked_add(1).ok_or(Code::InsufficientMemory)?;
        if let Thing::Descriptor(descriptor, place) = &thing {
            let file = match descriptor {
                Descriptor::File(file) => &file.file,
                Descriptor::Dir(folder) => &folder.dir,
            };
            things.open.push((place.mount, Open::There(Arc::downgrade(file))));
        }
        things.by_number.insert(number, thing);
        Ok(number)
    }
}

impl<'a> View<'a> {
    /// Checks inspection of an open descriptor. Not noted: opening it was.
    pub(super) fn ask_look(self, fd: u32) -> Result<Pass, Code> {
        let (_, place) = self.descriptor(fd)?;
        Ok(self.folders.grant.allow_look(place.mount)?)
    }

    /// Checks and notes a use of the file that a descriptor refers to.
    pub(super) fn ask(self, fd: u32, wanted: Use) -> Result<Pass, Code> {
        self.ask_at(fd, None, wanted)
    }

    /// Checks and notes a use of `path` below a descriptor.
    pub(super) fn ask_at(self, fd: u32, path: Option<&str>, wanted: Use) -> Result<Pass, Code> {
        let (_, place) = self.descriptor(fd)?;
        let allowed = self.folders.grant.allow(place.mount, wanted);
        // A path that leads out of the folder is refused when it is opened; the record shows it as refused.
        let stays = stays_within(&place.path, path.unwrap_or_default());
        let judged = if allowed.is_ok() && stays { AttemptVerdict::Allowed } else { AttemptVerdict::Refused };
        self.notes.attempt(Attempt::File { path: self.guest_path(&place, path), wanted }, judged);
        Ok(allowed?)
    }

    /// Like [`Self::ask_at`] for a directory: a refusal is noted with a trailing slash.
    fn ask_folder(self, fd: u32, path: &str, wanted: Use) -> Result<Pass, Code> {
        let (_, place) = self.descriptor(fd)?;
        match self.folders.grant.allow(place.mount, wanted) {
            Ok(_) => self.ask_at(fd, Some(path), wanted),
            Err(_) => self.ask_at(fd, Some(&format!("{}/", path.trim_end_matches('/'))), wanted),
        }
    }

    /// Guest path of a place.
    fn guest_path(self, place: &MountPath, path: Option<&str>) -> String {
        let guest = self.folders.grant.mounts().get(place.mount).map_or("", |mount| mount.guest.as_str());
        join(&join(guest, &place.path), path.unwrap_or_default())
    }

    /// Account of a granted folder.
    pub(super) fn account(self, mount: usize) -> Result<&'a Arc<FolderAccount>, Code> {
        self.folders.accounts.get(mount).and_then(Option::as_ref).ok_or(Code::ReadOnly)
    }

    /// Permission to make a folder grow, from a pass to change something in it.
    fn growth(self, pass: Pass, fd: u32, path: Option<&str>) -> Result<Growth, Code> {
        let (_, place) = self.descriptor(fd)?;
        Ok(Growth {
            account: Arc::clone(self.account(pass.mount())?),
            threads: Arc::clone(&self.folders.threads),
            pass,
            meter: self.meter.clone(),
            notes: self.notes.clone(),
            place: self.guest_path(&place, path),
        })
    }

    /// Checks creation of an entry below a descriptor.
    pub(super) fn ask_entry(self, fd: u32, path: &str) -> Result<Growth, Code> {
        let pass = self.ask_at(fd, Some(path), Use::Write)?;
        self.growth(pass, fd, Some(path))
    }

    /// Checks writing to an open file.
    pub(super) fn ask_writer(self, fd: u32) -> Result<(Growth, Arc<std::fs::File>), Code> {
        let pass = self.ask(fd, Use::Write)?;
        let growth = self.growth(pass, fd, None)?;
        match self.descriptor(fd)?.0 {
            Descriptor::File(file) if file.open_mode.contains(OpenMode::WRITE) => Ok((growth, file.file)),
            Descriptor::File(_) | Descriptor::Dir(_) => Err(Code::BadDescriptor),
        }
    }

    /// Checks a move or link from one path to another; both must be in one mount.
    pub(super) fn ask_across(self, (fd, old): (u32, &str), (to, new): (u32, &str)) -> Result<Growth, Code> {
        let from = self.ask_at(fd, Some(old), Use::Write)?;
        let into = self.ask_at(to, Some(new), Use::Write)?;
        if from.mount() != into.mount() {
            return Err(Code::CrossDevice);
        }
        self.growth(into, to, Some(new))
    }

    /// Checks opening `path` below a descriptor. It counts as open from here on: in WASI 0.3 several can be pending.
    pub(super) fn ask_open(
        self,
        fd: u32,
        path: &str,
        changes: bool,
        folder: bool,
    ) -> Result<PendingOpen, Code> {
        self.meter.charge(OPEN_FUEL);
        let wanted = if changes { Use::Write } else { Use::Read };
        let pass =
            if folder { self.ask_folder(fd, path, wanted) } else { self.ask_at(fd, Some(path), wanted) }?;
        let (_, from) = self.descriptor(fd)?;
        let mut place = MountPath { mount: from.mount, path: join(&from.path, path) };
        // Used only in the record, which keeps less. Nested opens would otherwise grow it without bound.
        place.path.truncate(place.path.floor_char_boundary(FILES_PATH_BYTES_MAX));
        let growth = if changes { Some(self.growth(pass.clone(), fd, Some(path))?) } else { None };
        let open_max = self.folders.grant.mounts().get(place.mount).map_or(0, |mount| mount.open_max);
        let mut things = self.state.lock();
        let open = &mut things.open;
        open.retain(|(_, open)| open.is_open());
        if open.iter().filter(|(mount, _)| *mount == place.mount).count() as u64 >= open_max {
            self.notes.full(&self.guest_path(&place, None), FILES_OPEN_MAX.name);
            return Err(Code::Quota);
        }
        let coming = Arc::new(());
        open.push((place.mount, Open::Coming(Arc::downgrade(&coming))));
        Ok(PendingOpen { place, growth, pass, _coming: coming })
    }
}

impl FileReader {
    /// A reader for a pass that is for this mount.
    pub(super) fn new(pass: &Pass, mount: usize, file: Arc<std::fs::File>, at: u64) -> Result<Self, Code> {
        if pass.covers(mount, Some(Use::Read)) { Ok(Self { file, at }) } else { Err(Code::NotPermitted) }
    }

    /// Reads at most `bytes` from the current position; empty at the end of the file.
    pub(super) async fn next(&mut self, bytes: u64, folders: &FilesPrototype) -> Result<Vec<u8>, Code> {
        let (file, at) = (Arc::clone(&self.file), self.at);
        let read = folders.threads.spawn(move || {
            let mut read = vec![0; bytes.min(STREAM_BYTES_MAX) as usize];
            let len = loop {
                match file.read_at(&mut read, at) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    len => break len?,
                }
            };
            read.truncate(len);
            read.shrink_to_fit();
            Ok::<_, std::io::Error>(read)
        });
        let read = read.await.map_err(|_| Code::Interrupted)??;
        self.at = self.at.saturating_add(read.len() as u64);
        Ok(read)
    }
}

impl FileWriter {
    pub(super) fn new(growth: Growth, file: Arc<std::fs::File>, at: Option<u64>) -> Self {
        Self { growth, file, at }
    }

    /// Writes bytes and advances the position.
    pub(super) async fn put(&mut self, bytes: Bytes) -> Result<u64, Code> {
        let written = self.growth.clone().write(Arc::clone(&self.file), self.at, bytes).await? as u64;
        self.at = self.at.map(|at| at.saturating_add(written));
        Ok(written)
    }
}

/// Whether a path, taken literally, stays within the granted folder.
fn stays_within(base: &str, path: &str) -> bool {
    let step = |depth: usize, name: &str| match name {
        "" | "." => Some(depth),
        ".." => depth.checked_sub(1),
        _ => Some(depth + 1),
    };
    !path.starts_with('/') && base.split('/').chain(path.split('/')).try_fold(0, step).is_some()
}

/// Joins two paths, for the record.
fn join(base: &str, path: &str) -> String {
    match (base, path) {
        (base, "" | ".") => base.to_owned(),
        ("", path) => path.to_owned(),
        (base, path) => format!("{}/{path}", base.trim_end_matches('/')),
    }
}
