//! `files`: the granted folders. Opened once a plugin; every path is resolved beneath them by the kernel (the engine's
//! library uses `openat2` with `RESOLVE_BENEATH`). Guests hold descriptor numbers. Calls of WASI 0.2 and 0.3 are both translated
//! into `FileRequest`, and performed by the process that has the folders open.

mod account;
pub(crate) mod broker;
mod client;
mod count;
mod listing;
pub(crate) mod open_files;
mod p2;
mod p3;
mod quota;
mod threads;
mod wasi_convert;

use std::path::Path;
use std::sync::Arc;

use toolgate_base::meter::Meter;
use toolgate_policy::capability::files::{Access, Grant};
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::Ctx;
use account::FolderAccount;
use broker::ScratchTable;
pub(crate) use client::FilesCtx;
use threads::Threads;

/// Granted folders, open, with the accounts of those that can be opened into.
pub(crate) struct FilesPrototype {
    grant: Grant,
    /// Descriptors, in the grant's order.
    roots: Vec<Descriptor>,
    /// Accounts, in the same order; `None` if nothing below the folder may be opened.
    accounts: Vec<Option<Arc<FolderAccount>>>,
    threads: Arc<Threads>,
}

impl FilesPrototype {
    /// Opens the granted folders. A folder over its quota, or one that cannot be counted, is opened but cannot grow:
    /// files that a plugin wrote must not stop it, or other plugins, from loading.
    ///
    /// # Errors
    /// The folder that could not be opened, and the reason.
    pub(crate) fn open(grant: &Grant) -> Result<Self, (String, String)> {
        let threads = Threads::new().map_err(|error| ("its folders".to_owned(), error.to_string()))?;
        let threads = Arc::new(threads);
        let mut builder = WasiCtxBuilder::new();
        let mut accounts = Vec::new();
        for mount in grant.mounts() {
            let host = Path::new(&mount.host);
            let account =
                || FolderAccount::open(host).map_err(|error| (mount.host.clone(), error.to_string()));
            let (access, account) = match mount.access {
                Access::Nothing => (FsPerms::ReadOnly, None),
                // Read-only folders need an account too: an open file takes room after it is unlinked.
                Access::Read => (FsPerms::ReadOnly, Some(account()?)),
                Access::ReadWrite => (FsPerms::ReadWrite, Some(account()?)),
            };
            if let (Access::ReadWrite, Some(account)) = (mount.access, &account)
                && let Err(error) = quota::check(account, &mount.room)
            {
                quota::warn(host, &error);
            }
            accounts.push(account);
            builder
                .preopened_dir(&mount.host, &mount.guest, access)
                .map_err(|error| (mount.host.clone(), error.root_cause().to_string()))?;
        }
        let mut scratch = ScratchTable::of(builder.build().filesystem().clone());
        let failed = |why: &dyn std::fmt::Debug| ("its folders".to_owned(), format!("{why:?}"));
        let opened = scratch.view().get_directories().map_err(|error| failed(&error))?;
        let roots: Result<_, _> = opened.into_iter().map(|(root, _)| scratch.take(root)).collect();
        Ok(Self { grant: grant.clone(), roots: roots.map_err(|error| failed(&error))?, accounts, threads })
    }
}

pub(super) use p2::link;
pub(super) use p3::link as link_p3;

struct Files;

impl HasData for Files {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    /// Guest paths of the granted folders, which have the first descriptor numbers.
    folders: &'a [String],
    files: &'a mut FilesCtx,
    table: &'a mut ResourceTable,
    meter: &'a Meter,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { folders: &ctx.prototype.folders, files: &mut ctx.files, table: &mut ctx.table, meter: &ctx.meter }
}

/// Descriptor number; the resource table has no entry for it.
type Fd = Resource<Descriptor>;

impl View<'_> {
    fn folders(&self) -> Vec<(Fd, String)> {
        (0..).zip(self.folders).map(|(number, guest)| (Resource::new_own(number), guest.clone())).collect()
    }
}
