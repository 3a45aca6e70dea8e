//! What is done, use by use, by the engine's library but for what makes a folder grow.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as Turn;
use toolgate_policy::capability::files::Use;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self as t, HostDescriptor as _, HostDirectoryEntryStream as _,
};

use super::{Listing, Opening, Reader, Thing, View, Writer};
use crate::imports::files::act::{Act, At, Between, Came, Code, Kind, Make, Of, Stream};
use crate::imports::files::listing;
use crate::imports::outside::words::Blob;

type Fd = Resource<Descriptor>;

/// The same descriptor once more: it is lent, and the library takes it.
fn same(fd: &Fd) -> Fd {
    Resource::new_borrow(fd.rep())
}

impl View<'_> {
    pub(super) async fn act(self, act: Act) -> Result<Came, Code> {
        match act {
            Act::Make(make) => Ok(Came::Made(self.make(make).await?)),
            Act::Of(fd, of) => self.of(fd, of).await,
            Act::At(folder, path, at) => self.at(folder, path, at).await,
            Act::Between { from, old, to, new, how } => self.between((from, old), (to, new), how).await,
            Act::Stream(stream, go) => self.go_on(stream, go).await,
            Act::Same(one, other) => {
                let (mut desk, one) = self.desk(one)?;
                let other = desk.lay(self.descriptor(other)?.0)?;
                let same = self.folders.threads.run(desk.view().is_same_object(one, other)).await;
                Ok(Came::Same(same.map_err(|_| Code::Io)?))
            }
        }
    }

    async fn make(self, make: Make) -> Result<u32, Code> {
        match make {
            Make::Open { folder, path, follow, open, flags } => {
                self.open(folder, path, follow.into(), open.into(), flags.into()).await
            }
            Make::Input { file, at } => {
                let _pass = self.ask(file, Use::Read)?;
                match self.descriptor(file)?.0 {
                    Descriptor::File(file) => {
                        self.made(Thing::Input(Arc::new(Turn::new(Reader::new(file.file, at)))))
                    }
                    Descriptor::Dir(_) => Err(Code::IsDirectory),
                }
            }
            Make::Output { file, at } => {
                let (growth, file) = self.ask_writer(file)?;
                self.made(Thing::Output(Arc::new(Turn::new(Writer::new(growth, file, at)))))
            }
            Make::Listing { folder } => self.list(folder).await,
        }
    }

    async fn open(
        self,
        folder: u32,
        path: String,
        follow: t::PathFlags,
        open: t::OpenFlags,
        flags: t::DescriptorFlags,
    ) -> Result<u32, Code> {
        let changes = open
            .intersects(t::OpenFlags::CREATE | t::OpenFlags::TRUNCATE | t::OpenFlags::EXCLUSIVE)
            || flags.contains(t::DescriptorFlags::WRITE);
        let is_folder = open.contains(t::OpenFlags::DIRECTORY);
        let Opening { place, growth, _coming } = self.ask_open(folder, &path, changes, is_folder)?;
        let (mut desk, fd) = self.desk(folder)?;
        // Opening a pipe would wait for whoever is at its other end.
        let there = self.run(desk.view().stat_at(same(&fd), follow, path.clone())).await;
        if there.as_ref().is_ok_and(|there| Kind::from(there.type_).is_special()) {
            return Err(Code::NotPermitted);
        }
        let mut entry = None;
        if let (Some(growth), true, Err(_)) = (growth, open.contains(t::OpenFlags::CREATE), there) {
            entry = growth.enter().await?;
        }
        let account = self.account(place.mount)?;
        // A count in between would neither find it by its name, if that is taken away, nor among what is open.
        let _moving = account.moving().await;
        let opened = self.run(desk.view().open_at(fd, follow, path, open, flags)).await?;
        drop(entry);
        let opened = desk.take(opened)?;
        if let Descriptor::File(file) = &opened {
            account.opened(&file.file);
        }
        // Until here it counts as one that is on its way.
        self.made(Thing::Descriptor(opened, place))
    }

    async fn list(self, folder: u32) -> Result<u32, Code> {
        let _pass = self.ask(folder, Use::Read)?;
        let (descriptor, _) = self.descriptor(folder)?;
        let bytes = match &descriptor {
            // The library brings all of it into memory.
            Descriptor::Dir(dir) => {
                listing::memory(Arc::clone(&dir.dir), self.meter, &self.folders.threads).await?
            }
            Descriptor::File(_) => 0,
        };
        let mut held = self.meter.hold(bytes).map_err(|_| Code::InsufficientMemory)?;
        let (mut desk, fd) = self.desk(folder)?;
        let entries = self.run(desk.view().read_directory(fd)).await?;
        let mut names = super::Names::new();
        loop {
            let entries = Resource::new_borrow(entries.rep());
            match self.run(desk.view().read_directory_entry(entries)).await {
                Ok(None) => break,
                Ok(Some(entry)) => names.push_back(Ok((entry.type_.into(), entry.name))),
                Err(code) => names.push_back(Err(code)),
            }
        }
        // The folder may have grown since it was counted.
        let bytes_of = |entry: &Result<(Kind, String), Code>| {
            listing::entry_bytes(entry.as_ref().map_or(0, |(_, name)| name.len()))
        };
        let grown_by = names.iter().map(bytes_of).sum::<u64>().saturating_sub(bytes);
        self.meter.hold_more(&mut held, grown_by).map_err(|_| Code::InsufficientMemory)?;
        self.made(Thing::Listing(Arc::new(Mutex::new(Listing { names, _hold: held }))))
    }

    async fn go_on(self, stream: u32, go: Stream) -> Result<Came, Code> {
        match (self.thing(stream)?, go) {
            (Thing::Input(reader), Stream::Next(bytes)) => {
                Ok(Came::Bytes(Blob(reader.lock().await.next(bytes, self.folders).await?)))
            }
            (Thing::Output(writer), Stream::Put(Blob(bytes))) => {
                Ok(Came::Written(writer.lock().await.put(bytes.into()).await?))
            }
            (Thing::Listing(listing), Stream::Names) => {
                let names = &mut listing.lock().unwrap_or_else(PoisonError::into_inner).names;
                if let Some(Err(_)) = names.front() {
                    names.pop_front().unwrap_or(Err(Code::Io))?;
                }
                Ok(Came::Names(page(names)))
            }
            (Thing::Descriptor(..) | Thing::Input(_) | Thing::Output(_) | Thing::Listing(_), _) => {
                Err(Code::BadDescriptor)
            }
        }
    }

    async fn of(self, number: u32, of: Of) -> Result<Came, Code> {
        let (mut desk, fd) = self.desk(number)?;
        Ok(match of {
            Of::Stat => Came::Stat(self.run(desk.view().stat(fd)).await?.into()),
            Of::Flags => Came::Flags(self.run(desk.view().get_flags(fd)).await?.into()),
            Of::Kind => Came::Kind(self.run(desk.view().get_type(fd)).await?.into()),
            Of::Hash => hash(self.run(desk.view().metadata_hash(fd)).await?),
            Of::Sync => done(self.run(desk.view().sync(fd)).await?),
            Of::SyncData => done(self.run(desk.view().sync_data(fd)).await?),
            Of::Advise { at, bytes, advice } => {
                done(self.run(desk.view().advise(fd, at, bytes, advice.into())).await?)
            }
            Of::SetSize(size) => {
                let (growth, file) = self.ask_writer(number)?;
                done(growth.set_size(file, size).await?)
            }
            Of::SetTimes { accessed, modified } => {
                let _pass = self.ask(number, Use::Write)?;
                done(self.run(desk.view().set_times(fd, accessed.into(), modified.into())).await?)
            }
            Of::Read { at, bytes } => {
                let _pass = self.ask(number, Use::Read)?;
                let (read, _) = self.run(desk.view().read(fd, bytes, at)).await?;
                Came::Bytes(Blob(read))
            }
            Of::Write { at, bytes: Blob(bytes) } => {
                let (growth, file) = self.ask_writer(number)?;
                Came::Written(growth.write(file, Some(at), bytes.into()).await? as u64)
            }
        })
    }

    async fn at(self, folder: u32, path: String, at: At) -> Result<Came, Code> {
        let (mut desk, fd) = self.desk(folder)?;
        let ask = |wanted| self.ask_at(folder, Some(&path), wanted).map(drop);
        Ok(match at {
            At::Stat(follow) => {
                ask(Use::Read)?;
                Came::Stat(self.run(desk.view().stat_at(fd, follow.into(), path)).await?.into())
            }
            At::Hash(follow) => {
                ask(Use::Read)?;
                hash(self.run(desk.view().metadata_hash_at(fd, follow.into(), path)).await?)
            }
            At::ReadLink => {
                ask(Use::Read)?;
                Came::Target(self.run(desk.view().readlink_at(fd, path)).await?)
            }
            At::MakeFolder => {
                let _entry = self.ask_entry(folder, &path)?.enter().await?;
                done(self.run(desk.view().create_directory_at(fd, path)).await?)
            }
            At::RemoveFolder => {
                ask(Use::Write)?;
                done(self.run(desk.view().remove_directory_at(fd, path)).await?)
            }
            At::Unlink => {
                ask(Use::Write)?;
                done(self.run(desk.view().unlink_file_at(fd, path)).await?)
            }
            At::Link(target) => {
                let _entry = self.ask_entry(folder, &path)?.enter().await?;
                done(self.run(desk.view().symlink_at(fd, target, path)).await?)
            }
            At::SetTimes { follow, accessed, modified } => {
                ask(Use::Write)?;
                let (accessed, modified) = (accessed.into(), modified.into());
                done(self.run(desk.view().set_times_at(fd, follow.into(), path, accessed, modified)).await?)
            }
        })
    }

    async fn between(
        self,
        (from, old): (u32, String),
        (to, new): (u32, String),
        how: Between,
    ) -> Result<Came, Code> {
        let growth = self.ask_across((from, &old), (to, &new))?;
        let (mut desk, from) = self.desk(from)?;
        let to = desk.lay(self.descriptor(to)?.0)?;
        let account = Arc::clone(&growth.account);
        let _entry = match how {
            Between::Move => None,
            Between::Link(_) => growth.enter().await?,
        };
        // A count in between would miss what moves from where it was not yet to where it has been.
        let _moving = account.moving().await;
        match how {
            Between::Move => self.run(desk.view().rename_at(from, old, to, new)).await?,
            Between::Link(follow) => {
                self.run(desk.view().link_at(from, follow.into(), old, to, new)).await?;
            }
        }
        Ok(Came::Done)
    }
}

fn done((): ()) -> Came {
    Came::Done
}

fn hash(hash: t::MetadataHashValue) -> Came {
    Came::Hash { lower: hash.lower, upper: hash.upper }
}

/// As many names as are told at once: until one that cannot be.
fn page(names: &mut super::Names) -> Vec<(Kind, String)> {
    /// What a name takes beside its bytes.
    const EACH_BYTES: u64 = 64;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let (Some(Ok(_)), true) = (names.front(), bytes < STREAM_BYTES_MAX) {
        let Some(Ok((kind, name))) = names.pop_front() else { break };
        bytes += name.len() as u64 + EACH_BYTES;
        page.push((kind, name));
    }
    page
}
