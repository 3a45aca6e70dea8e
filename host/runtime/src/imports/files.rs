//! `files`: the granted folders. Opened once a plugin; every path is resolved beneath them by the kernel (the engine's
//! library uses `openat2` with `RESOLVE_BENEATH`). Here each use is asked for, noted in the record, then done; what makes a
//! folder grow is first admitted by its quota.

mod listing;
mod p2;
mod p3;
mod quota;
mod threads;
mod write;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};

use toolgate_policy::capability::attempt::{Attempt, Judged};
use toolgate_policy::capability::files::{Access, Grant, Pass, Refused, Use};
use toolgate_policy::limits::call::{FILES_OPEN_MAX, FILES_PATH_BYTES_MAX, OPEN_FUEL};
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::filesystem::OpenMode;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::Ctx;
use crate::audit::record::Notes;
use crate::meter::Meter;
use quota::{Growth, NotGrown, Quota};
use threads::Threads;

/// The granted folders, open, and what those hold that may grow.
pub(crate) struct Prototype {
    folders: WasiFilesystemCtx,
    quotas: Vec<Option<Arc<Quota>>>,
    threads: Arc<Threads>,
}

/// What one call holds open, and where each descriptor leads.
pub(crate) struct State {
    folders: WasiFilesystemCtx,
    places: HashMap<u32, Place>,
    /// What the guest opened, each with the mount it is below. Some may be closed by now.
    open: Vec<(usize, Open)>,
}

/// Where a descriptor leads: below which mount, and there to what.
struct Place {
    mount: usize,
    path: String,
}

/// What counts as open for as long as anything holds it: a descriptor, or a stream that was made of one.
enum Open {
    Coming(Weak<()>),
    There(Weak<std::fs::File>),
}

impl Open {
    fn is_held(&self) -> bool {
        match self {
            Self::Coming(opening) => opening.strong_count() > 0,
            Self::There(file) => file.strong_count() > 0,
        }
    }
}

/// What may be opened, and counts as open from now on until this is dropped.
struct Opening {
    place: Place,
    /// What making it needs if it is not there.
    growth: Option<Growth>,
    _coming: Arc<()>,
}

impl Prototype {
    /// Opens the granted folders.
    ///
    /// # Errors
    /// The folder that could not be opened, or holds more than it may, and why.
    pub(crate) fn open(grant: &Grant) -> Result<Self, (String, String)> {
        let threads = Threads::new().map_err(|error| ("its folders".to_owned(), error.to_string()))?;
        let threads = Arc::new(threads);
        let mut builder = WasiCtxBuilder::new();
        let mut quotas = Vec::new();
        for mount in grant.mounts() {
            let (access, quota) = match mount.access {
                Access::Nothing | Access::Read => (FsPerms::ReadOnly, None),
                Access::ReadWrite => {
                    let quota = Quota::open(&mount.host, &mount.room, &threads);
                    let quota = quota.map_err(|error| (mount.host.clone(), too_full(&error)))?;
                    (FsPerms::ReadWrite, Some(Arc::new(quota)))
                }
            };
            quotas.push(quota);
            builder
                .preopened_dir(&mount.host, &mount.guest, access)
                .map_err(|error| (mount.host.clone(), error.root_cause().to_string()))?;
        }
        Ok(Self { folders: builder.build().filesystem().clone(), quotas, threads })
    }
}

fn too_full(error: &NotGrown) -> String {
    match error {
        NotGrown::Full(full) => {
            format!("it holds more than that already: {full}; raise it, or take something out")
        }
        NotGrown::Io(error) => error.to_string(),
    }
}

impl State {
    pub(crate) fn new(prototype: &Prototype) -> Self {
        Self { folders: prototype.folders.clone(), places: HashMap::new(), open: Vec::new() }
    }
}

pub(super) use p2::link;
pub(super) use p3::link as link_p3;

struct Files;

impl HasData for Files {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: &'a Grant,
    folders: &'a mut WasiFilesystemCtx,
    places: &'a mut HashMap<u32, Place>,
    open: &'a mut Vec<(usize, Open)>,
    quotas: &'a [Option<Arc<Quota>>],
    threads: &'a Arc<Threads>,
    table: &'a mut ResourceTable,
    notes: &'a Notes,
    meter: &'a Meter,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View {
        grant: &ctx.prototype.effective.files,
        folders: &mut ctx.files.folders,
        places: &mut ctx.files.places,
        open: &mut ctx.files.open,
        quotas: &ctx.prototype.files.quotas,
        threads: &ctx.prototype.files.threads,
        table: &mut ctx.table,
        notes: &ctx.notes,
        meter: &ctx.meter,
    }
}

type Fd = Resource<Descriptor>;

/// Why a use is refused, before anything is done.
enum No {
    /// The descriptor leads nowhere.
    Descriptor,
    /// The grant is for reading.
    Grant,
    /// Nothing is granted there.
    Nothing,
    /// It is neither file nor folder: a pipe, a device, a socket.
    Special,
    /// From one granted folder into another.
    Across,
    /// No path is so long.
    Long,
    /// There is no room for it, or too much is open.
    Full,
    /// The file system says no.
    Io(io::Error),
}

impl From<Refused> for No {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::ReadOnly => Self::Grant,
            Refused::NotGranted | Refused::Outside => Self::Nothing,
        }
    }
}

impl From<NotGrown> for No {
    fn from(error: NotGrown) -> Self {
        match error {
            NotGrown::Full(_) => Self::Full,
            NotGrown::Io(error) => Self::Io(error),
        }
    }
}

impl View<'_> {
    fn inner(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: self.folders, table: self.table }
    }

    /// Asks for a use of what a descriptor leads to, and notes it.
    fn ask(&mut self, fd: &Fd, wanted: Use) -> Result<Pass, No> {
        self.ask_at(fd, None, wanted)
    }

    /// Asks for a use of `path` below a descriptor, and notes it.
    fn ask_at(&mut self, fd: &Fd, path: Option<&str>, wanted: Use) -> Result<Pass, No> {
        let place = self.places.get(&fd.rep()).ok_or(No::Descriptor)?;
        check_path(path.unwrap_or_default())?;
        let allowed = self.grant.allow(place.mount, wanted);
        let judged = if allowed.is_ok() { Judged::Allowed } else { Judged::Refused };
        self.notes.attempt(Attempt::File { path: self.told(place, path), wanted }, judged);
        Ok(allowed?)
    }

    /// The same for what is opened as a folder: noted with a slash at its end when it is refused.
    fn ask_folder(&mut self, fd: &Fd, path: &str, wanted: Use) -> Result<Pass, No> {
        let place = self.places.get(&fd.rep()).ok_or(No::Descriptor)?;
        match self.grant.allow(place.mount, wanted) {
            Ok(_) => self.ask_at(fd, Some(path), wanted),
            Err(_) => self.ask_at(fd, Some(&format!("{}/", path.trim_end_matches('/'))), wanted),
        }
    }

    /// A place as the guest sees it.
    fn told(&self, place: &Place, path: Option<&str>) -> String {
        let guest = self.grant.mounts().get(place.mount).map_or("", |mount| mount.guest.as_str());
        join(&join(guest, &place.path), path.unwrap_or_default())
    }

    /// What a pass to change something needs to make its folder grow.
    fn growth(&self, pass: &Pass, fd: &Fd, path: Option<&str>) -> Result<Growth, No> {
        let place = self.places.get(&fd.rep()).ok_or(No::Descriptor)?;
        let quota = self.quotas.get(pass.mount()).and_then(Option::as_ref).ok_or(No::Grant)?;
        Ok(Growth {
            quota: Arc::clone(quota),
            room: pass.room(),
            meter: self.meter.clone(),
            notes: self.notes.clone(),
            place: self.told(place, path),
        })
    }

    /// Asks to make an entry below a descriptor.
    fn ask_entry(&mut self, fd: &Fd, path: &str) -> Result<Growth, No> {
        let pass = self.ask_at(fd, Some(path), Use::Write)?;
        self.growth(&pass, fd, Some(path))
    }

    /// Asks to make a link below a descriptor, which leads to `old`.
    fn ask_link(&mut self, fd: &Fd, old: &str, new: &str) -> Result<Growth, No> {
        check_path(old)?;
        self.ask_entry(fd, new)
    }

    /// Asks to write into an open file.
    fn ask_writer(&mut self, fd: &Fd) -> Result<(Growth, Arc<std::fs::File>), No> {
        let pass = self.ask(fd, Use::Write)?;
        let growth = self.growth(&pass, fd, None)?;
        match self.table.get(fd) {
            Ok(Descriptor::File(file)) if file.open_mode.contains(OpenMode::WRITE) => {
                Ok((growth, Arc::clone(&file.file)))
            }
            Ok(Descriptor::File(_) | Descriptor::Dir(_)) | Err(_) => Err(No::Descriptor),
        }
    }

    /// Asks to move or link something from one place to another.
    fn ask_across(&mut self, (fd, old): (&Fd, &str), (to, new): (&Fd, &str)) -> Result<Growth, No> {
        let from = self.ask_at(fd, Some(old), Use::Write)?;
        let into = self.ask_at(to, Some(new), Use::Write)?;
        if from.mount() != into.mount() {
            return Err(No::Across);
        }
        self.growth(&into, to, Some(new))
    }
}

impl View<'_> {
    /// Asks to open `path` below a descriptor, and says where that will lead. It counts as open from here on: by WASI 0.3
    /// several are on their way at once.
    fn ask_open(&mut self, fd: &Fd, path: &str, changes: bool, folder: bool) -> Result<Opening, No> {
        self.meter.charge(OPEN_FUEL);
        let wanted = if changes { Use::Write } else { Use::Read };
        let pass =
            if folder { self.ask_folder(fd, path, wanted) } else { self.ask_at(fd, Some(path), wanted) }?;
        let from = self.places.get(&fd.rep()).ok_or(No::Descriptor)?;
        let place = Place { mount: from.mount, path: join(&from.path, path) };
        self.open.retain(|(_, open)| open.is_held());
        let open = self.open.iter().filter(|(mount, _)| *mount == place.mount).count();
        let open_max = self.grant.mounts().get(place.mount).map_or(0, |mount| mount.open_max);
        if open as u64 >= open_max {
            self.notes.full(&self.told(&place, None), FILES_OPEN_MAX.name);
            return Err(No::Full);
        }
        let growth = if changes { Some(self.growth(&pass, fd, Some(path))?) } else { None };
        let coming = Arc::new(());
        self.open.push((place.mount, Open::Coming(Arc::downgrade(&coming))));
        Ok(Opening { place, growth, _coming: coming })
    }

    /// Remembers where a descriptor leads that was opened.
    fn opened(&mut self, fd: &Fd, place: Place) {
        let file = match self.table.get(fd) {
            Ok(Descriptor::File(file)) => Arc::downgrade(&file.file),
            Ok(Descriptor::Dir(folder)) => Arc::downgrade(&folder.dir),
            Err(_) => return,
        };
        self.open.push((place.mount, Open::There(file)));
        self.places.insert(fd.rep(), place);
    }

    /// Remembers to which mount each of the granted folders leads: they come in its order.
    fn place(&mut self, directories: &[(Fd, String)]) {
        for (mount, (fd, _)) in directories.iter().enumerate() {
            self.places.insert(fd.rep(), Place { mount, path: String::new() });
        }
    }
}

/// The same descriptor once more: it is lent, and the library takes it.
fn same(fd: &Fd) -> Fd {
    Resource::new_borrow(fd.rep())
}

/// Refuses a path that is too long before anything waits and holds it: many uses are under way at once by WASI 0.3.
fn check_path(path: &str) -> Result<(), No> {
    if path.len() > FILES_PATH_BYTES_MAX { Err(No::Long) } else { Ok(()) }
}

/// A path below another, for the record.
fn join(base: &str, path: &str) -> String {
    match (base, path) {
        (base, "" | ".") => base.to_owned(),
        ("", path) => path.to_owned(),
        (base, path) => format!("{}/{path}", base.trim_end_matches('/')),
    }
}
