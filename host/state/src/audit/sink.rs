//! File of the audit log: `audit.jsonl` in the state directory. Each record is appended with one write, so that
//! processes can share it; a large file is rotated. Only the last byte is read back: a line left unfinished by a full
//! disk, a crash or another process is ended first.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use cap_std::fs::{Dir, File, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use rustix::io::pread;
use serde_json::Value;

use crate::file_lock::DirLock;
use crate::unless;

const NAME: &str = "audit.jsonl";
const LOCK: &str = "audit.lock";
const FILE_BYTES_MAX: u64 = 64 << 20;
const FILES_KEPT: u32 = 16;

/// Names of all possible files, oldest first.
pub(super) fn names_oldest_first() -> impl Iterator<Item = String> {
    (1..=FILES_KEPT).rev().map(numbered).chain([NAME.to_owned()])
}

fn numbered(number: u32) -> String {
    format!("audit.{number}.jsonl")
}

/// File that records are appended to.
pub struct Sink {
    dir: Dir,
    inner: Mutex<Inner>,
    bytes_max: u64,
}

struct Inner {
    file: File,
    /// Number of records lost since the last one written. The next write reports it first.
    lost: u64,
}

impl Sink {
    pub(super) fn open(dir: Dir) -> io::Result<Self> {
        Self::open_bounded(dir, FILE_BYTES_MAX)
    }

    fn open_bounded(dir: Dir, bytes_max: u64) -> io::Result<Self> {
        let file = open(&dir)?;
        Ok(Self { dir, inner: Mutex::new(Inner { file, lost: 0 }), bytes_max })
    }

    /// Checks that a record could be written now. After a failure this writes a report of lost records.
    pub(super) fn check(&self) -> io::Result<()> {
        self.resume(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends one record.
    pub(super) fn write(&self, record: &Value) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.resume(&mut inner).and_then(|()| self.append(&mut inner, record));
        inner.lost += u64::from(written.is_err());
        written
    }

    /// Reports the number of lost records, if any.
    fn resume(&self, inner: &mut Inner) -> io::Result<()> {
        if inner.lost > 0 {
            let line =
                serde_json::json!({ "time": super::now(), "event": "audit-resumed", "lost": inner.lost });
            self.append(inner, &line)?;
            inner.lost = 0;
        }
        Ok(())
    }

    fn append(&self, inner: &mut Inner, record: &Value) -> io::Result<()> {
        self.current(inner).and_then(|bytes| write_line(&mut inner.file, bytes, record))
    }

    /// Makes `inner.file` the current `audit.jsonl`, rotating a full one, and returns its length.
    fn current(&self, inner: &mut Inner) -> io::Result<u64> {
        let ours = inner.file.metadata()?;
        let named = self.dir.symlink_metadata(NAME).ok();
        let same = named.is_some_and(|named| named.ino() == ours.ino() && named.dev() == ours.dev());
        if !same {
            inner.file = open(&self.dir)?;
        }
        let bytes = inner.file.metadata()?.len();
        if bytes < self.bytes_max {
            return Ok(bytes);
        }
        self.rotate()?;
        inner.file = open(&self.dir)?;
        Ok(inner.file.metadata()?.len())
    }

    /// Renames each file to the next number; the last is overwritten. Locked, and skipped if another process did it.
    fn rotate(&self) -> io::Result<()> {
        let _one = DirLock::take(&self.dir, LOCK)?;
        // Another process may have rotated during the wait.
        match self.dir.metadata(NAME) {
            Ok(metadata) if metadata.len() >= self.bytes_max => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => return Ok(()),
        }
        for number in (1..FILES_KEPT).rev() {
            let renamed = self.dir.rename(numbered(number), &self.dir, numbered(number + 1));
            unless(renamed, io::ErrorKind::NotFound)?;
        }
        self.dir.rename(NAME, &self.dir, numbered(1))
    }
}

fn open(dir: &Dir) -> io::Result<File> {
    let mut options = OpenOptions::new();
    dir.open_with(NAME, options.read(true).append(true).create(true).mode(0o600))
}

/// Appends a line to a file of `bytes` bytes. An unfinished line is ended first.
fn write_line(file: &mut File, bytes: u64, record: &Value) -> io::Result<()> {
    let begun = if ends_within_a_line(file, bytes)? { "\n" } else { "" };
    let line = format!("{begun}{record}\n");
    // After a partial write the rest is not written: another process may have written in between.
    if file.write(line.as_bytes())? == line.len() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::StorageFull, "the file system took only a part of the record"))
}

fn ends_within_a_line(file: &File, bytes: u64) -> io::Result<bool> {
    let Some(last) = bytes.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    Ok(pread(file, &mut byte, last)? == 1 && byte != *b"\n")
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn dir() -> (tempfile::TempDir, Dir) {
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        (base, dir)
    }

    fn lines(base: &tempfile::TempDir) -> Vec<Value> {
        let mut names: Vec<_> = std::fs::read_dir(base.path()).unwrap().map(|e| e.unwrap().path()).collect();
        names.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
        let text: String = names.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn writers_that_share_a_file_lose_no_record_over_rotations() {
        let (base, dir) = dir();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let sink = Sink::open_bounded(dir.try_clone().unwrap(), 2_000).unwrap();
                std::thread::spawn(move || {
                    for number in 0..100 {
                        sink.write(&serde_json::json!({ "writer": writer, "number": number })).unwrap();
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(lines(&base).len(), 400);
        assert!(base.path().join("audit.2.jsonl").exists(), "it was rotated");
    }

    #[test]
    fn what_another_process_left_unfinished_is_a_line_of_its_own() {
        let (base, dir) = dir();
        let path = base.path().join(NAME);
        std::fs::write(&path, r#"{"time":"#).unwrap();
        let sink = Sink::open(dir).unwrap();
        sink.write(&Value::from(1)).unwrap();
        let mut other = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        other.write_all(br#"{"event":"ca"#).unwrap();
        sink.write(&Value::from(2)).unwrap();
        sink.write(&Value::from(3)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"time\":\n1\n{\"event\":\"ca\n2\n3\n");
    }

    #[test]
    fn only_so_many_files_are_kept() {
        let (base, dir) = dir();
        let sink = Sink::open_bounded(dir, 1).unwrap();
        for number in 0..40 {
            sink.write(&Value::from(number)).unwrap();
        }
        let kept = lines(&base);
        assert_eq!(kept.len(), FILES_KEPT as usize + 1);
        assert!(kept.contains(&Value::from(39)) && !kept.contains(&Value::from(0)));
    }

    #[test]
    fn a_file_moved_away_by_somebody_else_is_begun_anew() {
        let (base, dir) = dir();
        let sink = Sink::open(dir).unwrap();
        sink.write(&Value::from(1)).unwrap();
        std::fs::rename(base.path().join(NAME), base.path().join("elsewhere")).unwrap();
        sink.write(&Value::from(2)).unwrap();
        assert_eq!(lines(&base), [Value::from(2)]);
    }

    #[test]
    fn a_failure_is_told_and_remembered_until_a_write_succeeds() {
        let (base, dir) = dir();
        let sink = Sink::open(dir).unwrap();
        std::fs::remove_file(base.path().join(NAME)).unwrap();
        std::fs::create_dir(base.path().join(NAME)).unwrap();
        assert!(sink.check().is_ok(), "nothing has failed yet");
        assert!(sink.write(&Value::from(1)).is_err());
        assert!(sink.check().is_err());
        assert!(sink.write(&Value::from(2)).is_err());
        std::fs::remove_dir(base.path().join(NAME)).unwrap();
        assert!(sink.write(&Value::from(3)).is_ok());
        assert!(sink.check().is_ok());
        let lines = lines(&base);
        assert_eq!(lines.len(), 2, "it says once that it resumed");
        assert_eq!((&lines[0]["lost"], &lines[1]), (&Value::from(2), &Value::from(3)));
    }
}
