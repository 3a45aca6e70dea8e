//! Executes file requests: through the engine's library, except for changes that make a folder grow.

use std::sync::{Arc, Mutex, PoisonError};

use toolgate_policy::capability::files::Use;
use toolgate_policy::limits::call::STREAM_BYTES_MAX;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self as t, HostDescriptor as _, HostDirectoryEntryStream as _,
};

use super::{DirListing, FileReader, FileWriter, PendingOpen, Thing, View};
use crate::imports::files::listing;
use crate::protocol::blob::ByteBlob;
use crate::protocol::files::{
    Code, DescriptorOp, FileKind, FileRequest, FileResponse, OpenOp, PathOp, StreamOp, TwoPathOp,
};

type Fd = Resource<Descriptor>;

/// Borrows the same descriptor again, since the library takes its handle by value.
fn same(fd: &Fd) -> Fd {
    Resource::new_borrow(fd.rep())
}

impl View<'_> {
    pub(super) async fn perform(self, request: FileRequest) -> Result<FileResponse, Code> {
        match request {
            FileRequest::Open(op) => Ok(FileResponse::Opened(self.open(op).await?)),
            FileRequest::Of(fd, of) => self.of(fd, of).await,
            FileRequest::At(folder, path, at) => self.at(folder, path, at).await,
            FileRequest::Between { from, old, to, new, how } => {
                self.between((from, old), (to, new), how).await
            }
            FileRequest::Stream(stream, go) => self.go_on(stream, go).await,
            FileRequest::Same(one, other) => {
                let (pass, of_other) = (self.ask_look(one)?, self.ask_look(other)?);
                let (mut scratch, one) = self.scratch(one, &pass, None)?;
                let other = self.lend(&mut scratch, other, &of_other, None)?;
                let same = self.folders.threads.run(scratch.view().is_same_object(one, other)).await;
                Ok(FileResponse::Same(same.map_err(|_| Code::Io)?))
            }
        }
    }

    async fn open(self, op: OpenOp) -> Result<u32, Code> {
        match op {
            OpenOp::Path { folder, path, follow, open, flags } => {
                self.open_path(folder, path, follow.into(), open.into(), flags.into()).await
            }
            OpenOp::Input { file, at } => {
                let pass = self.ask(file, Use::Read)?;
                match self.descriptor(file)? {
                    (Descriptor::File(file), place) => {
                        let reader = FileReader::new(&pass, place.mount, file.file, at)?;
                        self.insert(Thing::Input(Arc::new(tokio::sync::Mutex::new(reader))))
                    }
                    (Descriptor::Dir(_), _) => Err(Code::IsDirectory),
                }
            }
            OpenOp::Output { file, at } => {
                let (growth, file) = self.ask_writer(file)?;
                self.insert(Thing::Output(Arc::new(tokio::sync::Mutex::new(FileWriter::new(
                    growth, file, at,
                )))))
            }
            OpenOp::Listing { folder } => self.list(folder).await,
        }
    }

    async fn open_path(
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
        let PendingOpen { place, growth, pass, _coming } =
            self.ask_open(folder, &path, changes, is_folder)?;
        let wanted = if changes { Use::Write } else { Use::Read };
        let (mut scratch, fd) = self.scratch(folder, &pass, Some(wanted))?;
        // Opening a FIFO would block until its other end is opened.
        let existing = self.run(scratch.view().stat_at(same(&fd), follow, path.clone())).await;
        if existing.as_ref().is_ok_and(|stat| FileKind::from(stat.type_).is_special()) {
            return Err(Code::NotPermitted);
        }
        let mut entry = None;
        if let (Some(growth), true, Err(_)) = (growth, open.contains(t::OpenFlags::CREATE), existing) {
            entry = growth.enter().await?;
        }
        let account = self.account(place.mount)?;
        // Otherwise a count could miss the file: unlinked by then, and not yet registered as open.
        let _moving = account.moving().await;
        let opened = self.run(scratch.view().open_at(fd, follow, path, open, flags)).await?;
        drop(entry);
        let opened = scratch.take(opened)?;
        if let Descriptor::File(file) = &opened {
            account.opened(&file.file);
        }
        // `_coming` has counted it as pending until here.
        self.insert(Thing::Descriptor(opened, place))
    }

    async fn list(self, folder: u32) -> Result<u32, Code> {
        let pass = self.ask(folder, Use::Read)?;
        let (descriptor, _) = self.descriptor(folder)?;
        let bytes = match &descriptor {
            // The library reads the whole listing into memory.
            Descriptor::Dir(dir) => {
                listing::memory(Arc::clone(&dir.dir), self.meter, &self.folders.threads).await?
            }
            Descriptor::File(_) => 0,
        };
        let mut hold = self.meter.hold(bytes).map_err(|_| Code::InsufficientMemory)?;
        let (mut scratch, fd) = self.scratch(folder, &pass, Some(Use::Read))?;
        let entries = self.run(scratch.view().read_directory(fd)).await?;
        let mut names = super::Names::new();
        loop {
            let entries = Resource::new_borrow(entries.rep());
            match self.run(scratch.view().read_directory_entry(entries)).await {
                Ok(None) => break,
                Ok(Some(entry)) => names.push_back(Ok((entry.type_.into(), entry.name))),
                Err(code) => names.push_back(Err(code)),
            }
        }
        // The folder may have grown since it was counted.
        let bytes_of = |entry: &Result<(FileKind, String), Code>| {
            listing::entry_bytes(entry.as_ref().map_or(0, |(_, name)| name.len()))
        };
        let grown_by = names.iter().map(bytes_of).sum::<u64>().saturating_sub(bytes);
        self.meter.hold_more(&mut hold, grown_by).map_err(|_| Code::InsufficientMemory)?;
        self.insert(Thing::Listing(Arc::new(Mutex::new(DirListing { names, _hold: hold }))))
    }

    async fn go_on(self, stream: u32, go: StreamOp) -> Result<FileResponse, Code> {
        match (self.thing(stream)?, go) {
            (Thing::Input(reader), StreamOp::Next(bytes)) => {
                Ok(FileResponse::Bytes(ByteBlob(reader.lock().await.next(bytes, self.folders).await?)))
            }
            (Thing::Output(writer), StreamOp::Put(ByteBlob(bytes))) => {
                Ok(FileResponse::Written(writer.lock().await.put(bytes.into()).await?))
            }
            (Thing::Listing(listing), StreamOp::Names) => {
                let names = &mut listing.lock().unwrap_or_else(PoisonError::into_inner).names;
                if let Some(Err(_)) = names.front() {
                    names.pop_front().unwrap_or(Err(Code::Io))?;
                }
                Ok(FileResponse::Names(page(names)))
            }
            (Thing::Descriptor(..) | Thing::Input(_) | Thing::Output(_) | Thing::Listing(_), _) => {
                Err(Code::BadDescriptor)
            }
        }
    }

    async fn of(self, number: u32, of: DescriptorOp) -> Result<FileResponse, Code> {
        let look = || self.scratch(number, &self.ask_look(number)?, None);
        let asked = |wanted| self.scratch(number, &self.ask(number, wanted)?, Some(wanted));
        Ok(match of {
            DescriptorOp::Stat => {
                let (mut scratch, fd) = look()?;
                FileResponse::Stat(self.run(scratch.view().stat(fd)).await?.into())
            }
            DescriptorOp::Flags => {
                let (mut scratch, fd) = look()?;
                FileResponse::Flags(self.run(scratch.view().get_flags(fd)).await?.into())
            }
            DescriptorOp::Kind => {
                let (mut scratch, fd) = look()?;
                FileResponse::Kind(self.run(scratch.view().get_type(fd)).await?.into())
            }
            DescriptorOp::Hash => {
                let (mut scratch, fd) = look()?;
                hash(self.run(scratch.view().metadata_hash(fd)).await?)
            }
            DescriptorOp::Sync => {
                let (mut scratch, fd) = look()?;
                done(self.run(scratch.view().sync(fd)).await?)
            }
            DescriptorOp::SyncData => {
                let (mut scratch, fd) = look()?;
                done(self.run(scratch.view().sync_data(fd)).await?)
            }
            DescriptorOp::Advise { at, bytes, advice } => {
                let (mut scratch, fd) = look()?;
                done(self.run(scratch.view().advise(fd, at, bytes, advice.into())).await?)
            }
            DescriptorOp::SetSize(size) => {
                let (growth, file) = self.ask_writer(number)?;
                done(growth.set_size(file, size).await?)
            }
            DescriptorOp::SetTimes { accessed, modified } => {
                let (mut scratch, fd) = asked(Use::Write)?;
                done(self.run(scratch.view().set_times(fd, accessed.into(), modified.into())).await?)
            }
            DescriptorOp::Read { at, bytes } => {
                let (mut scratch, fd) = asked(Use::Read)?;
                let (read, _) = self.run(scratch.view().read(fd, bytes, at)).await?;
                FileResponse::Bytes(ByteBlob(read))
            }
            DescriptorOp::Write { at, bytes: ByteBlob(bytes) } => {
                let (growth, file) = self.ask_writer(number)?;
                FileResponse::Written(growth.write(file, Some(at), bytes.into()).await? as u64)
            }
        })
    }

    async fn at(self, folder: u32, path: String, at: PathOp) -> Result<FileResponse, Code> {
        let asked = |wanted| self.scratch(folder, &self.ask_at(folder, Some(&path), wanted)?, Some(wanted));
        // A new entry: its quota is reserved until it exists.
        let entered = async || -> Result<_, Code> {
            let growth = self.ask_entry(folder, &path)?;
            let scratch = self.scratch(folder, &growth.pass, Some(Use::Write))?;
            Ok((growth.enter().await?, scratch))
        };
        Ok(match at {
            PathOp::Stat(follow) => {
                let (mut scratch, fd) = asked(Use::Read)?;
                FileResponse::Stat(self.run(scratch.view().stat_at(fd, follow.into(), path)).await?.into())
            }
            PathOp::Hash(follow) => {
                let (mut scratch, fd) = asked(Use::Read)?;
                hash(self.run(scratch.view().metadata_hash_at(fd, follow.into(), path)).await?)
            }
            PathOp::ReadLink => {
                let (mut scratch, fd) = asked(Use::Read)?;
                FileResponse::Target(self.run(scratch.view().readlink_at(fd, path)).await?)
            }
            PathOp::MakeFolder => {
                let (_entry, (mut scratch, fd)) = entered().await?;
                done(self.run(scratch.view().create_directory_at(fd, path)).await?)
            }
            PathOp::RemoveFolder => {
                let (mut scratch, fd) = asked(Use::Write)?;
                done(self.run(scratch.view().remove_directory_at(fd, path)).await?)
            }
            PathOp::Unlink => {
                let (mut scratch, fd) = asked(Use::Write)?;
                done(self.run(scratch.view().unlink_file_at(fd, path)).await?)
            }
            PathOp::Link(target) => {
                let (_entry, (mut scratch, fd)) = entered().await?;
                done(self.run(scratch.view().symlink_at(fd, target, path)).await?)
            }
            PathOp::SetTimes { follow, accessed, modified } => {
                let (mut scratch, fd) = asked(Use::Write)?;
                let (accessed, modified) = (accessed.into(), modified.into());
                done(
                    self.run(scratch.view().set_times_at(fd, follow.into(), path, accessed, modified))
                        .await?,
                )
            }
        })
    }

    async fn between(
        self,
        (from, old): (u32, String),
        (to, new): (u32, String),
        how: TwoPathOp,
    ) -> Result<FileResponse, Code> {
        let growth = self.ask_across((from, &old), (to, &new))?;
        let (mut scratch, from) = self.scratch(from, &growth.pass, Some(Use::Write))?;
        let to = self.lend(&mut scratch, to, &growth.pass, Some(Use::Write))?;
        let account = Arc::clone(&growth.account);
        let _entry = match how {
            TwoPathOp::Move => None,
            TwoPathOp::Link(_) => growth.enter().await?,
        };
        // Otherwise a count could miss a file moved from a part not yet visited to one already visited.
        let _moving = account.moving().await;
        match how {
            TwoPathOp::Move => self.run(scratch.view().rename_at(from, old, to, new)).await?,
            TwoPathOp::Link(follow) => {
                self.run(scratch.view().link_at(from, follow.into(), old, to, new)).await?;
            }
        }
        Ok(FileResponse::Done)
    }
}

fn done((): ()) -> FileResponse {
    FileResponse::Done
}

fn hash(hash: t::MetadataHashValue) -> FileResponse {
    FileResponse::Hash { lower: hash.lower, upper: hash.upper }
}

/// As many names as are told at once: until one that cannot be.
fn page(names: &mut super::Names) -> Vec<(FileKind, String)> {
    /// Bytes of a name in memory beside its text.
    const EACH_BYTES: u64 = 64;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let (Some(Ok(_)), true) = (names.front(), bytes < STREAM_BYTES_MAX) {
        let Some(Ok((kind, name))) = names.pop_front() else { break };
        bytes += name.len() as u64 + EACH_BYTES;
        page.push((kind, name));
    }
    page
}
