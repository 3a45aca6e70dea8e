//! Performs one file operation and reports the result. (A function named `remove` would replace the C library's.)
use std::collections::BTreeSet;
use std::fs;

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export look: func(path: string) -> result<string, string>;
    /// Reads so often; everything that it saw.
    export look-often: func(path: string, times: u32) -> result<list<string>, string>;
    export put-often: func(path: string, text: string, times: u32) -> result<string, string>;
    export put: func(path: string, text: string) -> result<string, string>;
    export names: func(path: string) -> result<list<string>, string>;
    export erase: func(path: string) -> result<string, string>;
    export make: func(path: string) -> result<string, string>;
    export move-to: func(path: string, to: string) -> result<string, string>;
    export link-to: func(path: string, to: string) -> result<string, string>;
    export cut: func(path: string) -> result<string, string>;
    export append: func(path: string, text: string) -> result<string, string>;
    export resize: func(path: string, bytes: u64) -> result<string, string>;
    export write-at: func(path: string, bytes: u64, text: string) -> result<string, string>;
    export make-many: func(path: string, count: u32) -> result<string, string>;
    export open-many: func(path: string, count: u32) -> result<string, string>;
    /// Opens so many one after the other, and keeps of each a stream only; or that neither.
    export stream-many: func(path: string, count: u32, keeps: bool) -> result<string, string>;
    /// Reads so often from a file, and takes nothing of what was read.
    export read-many: func(path: string, count: u32) -> result<string, string>;
    /// Begins so many listings of a folder, and keeps them.
    export list-many: func(path: string, count: u32) -> result<string, string>;
    export overwrite: func(path: string, text: string, times: u32) -> result<string, string>;
    /// Makes so many files, takes their names away (by unlink, or replaced by another file), and writes into each so often,
    /// keeping all open. The bytes that were written until something was refused.
    export write-unnamed: func(path: string, how: string, files: u32, times: u32, bytes: u32) -> result<u64, string>;
}" });

use std::io::{Seek, SeekFrom, Write};

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

struct Filing;

/// Opens a path below the last granted folder.
fn open(path: &str) -> Result<Descriptor, String> {
    let (folder, guest) = get_directories().pop().ok_or("no folder")?;
    let name = path.strip_prefix(guest.as_str()).ok_or("no such folder")?.trim_start_matches('/');
    let name = if name.is_empty() { "." } else { name };
    let opened = folder.open_at(PathFlags::empty(), name, OpenFlags::empty(), DescriptorFlags::READ);
    opened.map_err(|error| format!("{error:?}"))
}

fn told<T>(result: std::io::Result<T>) -> Result<String, String> {
    result.map(|_| "done".to_owned()).map_err(|error| error.kind().to_string())
}

impl Guest for Filing {
    fn look(path: String) -> Result<String, String> {
        fs::read_to_string(path).map_err(|error| error.kind().to_string())
    }

    fn look_often(path: String, times: u32) -> Result<Vec<String>, String> {
        let seen: BTreeSet<String> = (0..times).filter_map(|_| fs::read_to_string(&path).ok()).collect();
        Ok(seen.into_iter().collect())
    }

    fn put_often(path: String, text: String, times: u32) -> Result<String, String> {
        for _ in 0..times {
            // Sometimes the file does not exist.
            drop(fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes())));
        }
        Ok("done".to_owned())
    }

    fn put(path: String, text: String) -> Result<String, String> {
        told(fs::write(path, text))
    }

    fn names(path: String) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(path).map_err(|error| error.kind().to_string())?;
        let mut names: Vec<String> =
            entries.map_while(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    fn erase(path: String) -> Result<String, String> {
        told(fs::remove_file(path))
    }

    fn make(path: String) -> Result<String, String> {
        told(fs::create_dir(path))
    }

    fn move_to(path: String, to: String) -> Result<String, String> {
        told(fs::rename(path, to))
    }

    fn link_to(path: String, to: String) -> Result<String, String> {
        told(fs::hard_link(path, to))
    }

    fn cut(path: String) -> Result<String, String> {
        told(fs::OpenOptions::new().write(true).truncate(true).open(path))
    }

    fn append(path: String, text: String) -> Result<String, String> {
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        told(file.and_then(|mut file| file.write_all(text.as_bytes())))
    }

    fn resize(path: String, bytes: u64) -> Result<String, String> {
        told(fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(bytes)))
    }

    fn write_at(path: String, bytes: u64, text: String) -> Result<String, String> {
        let file = fs::OpenOptions::new().write(true).open(path);
        told(file.and_then(|mut file| {
            file.seek(SeekFrom::Start(bytes))?;
            file.write_all(text.as_bytes())
        }))
    }

    fn make_many(path: String, count: u32) -> Result<String, String> {
        for n in 0..count {
            fs::File::create(format!("{path}/{n}")).map_err(|error| format!("{n}: {}", error.kind()))?;
        }
        Ok("done".to_owned())
    }

    fn open_many(path: String, count: u32) -> Result<String, String> {
        let mut open = Vec::new();
        for n in 0..count {
            open.push(fs::File::open(&path).map_err(|error| format!("{n}: {error}"))?);
        }
        Ok("done".to_owned())
    }

    fn stream_many(path: String, count: u32, keeps: bool) -> Result<String, String> {
        let (folder, guest) = get_directories().pop().ok_or("no folder")?;
        let name = path.strip_prefix(guest.as_str()).ok_or("no such folder")?.trim_start_matches('/');
        let mut streams = Vec::new();
        for n in 0..count {
            let file =
                folder.open_at(PathFlags::empty(), name, OpenFlags::empty(), DescriptorFlags::READ);
            let file = file.map_err(|error| format!("{n}: {error:?}"))?;
            streams.push(file.read_via_stream(0).map_err(|error| format!("{n}: {error:?}"))?);
            if !keeps {
                streams.clear();
            }
        }
        Ok("done".to_owned())
    }

    fn read_many(path: String, count: u32) -> Result<String, String> {
        let file = open(&path)?;
        let mut streams = Vec::new();
        for n in 0..count {
            let stream = file.read_via_stream(0).map_err(|error| format!("{n}: {error:?}"))?;
            let read = stream.read(65_536).map_err(|error| format!("{n}: {error:?}"))?;
            assert!(read.is_empty(), "it has only begun");
            stream.subscribe().block();
            streams.push(stream);
        }
        Ok("done".to_owned())
    }

    fn list_many(path: String, count: u32) -> Result<String, String> {
        let folder = open(&path)?;
        let mut listings = Vec::new();
        for n in 0..count {
            listings.push(folder.read_directory().map_err(|error| format!("{n}: {error:?}"))?);
        }
        Ok("done".to_owned())
    }

    fn overwrite(path: String, text: String, times: u32) -> Result<String, String> {
        for _ in 0..times {
            let mut file = fs::OpenOptions::new().write(true).open(&path).map_err(|error| error.to_string())?;
            file.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        }
        Ok("done".to_owned())
    }

    fn write_unnamed(
        path: String,
        how: String,
        files: u32,
        times: u32,
        bytes: u32,
    ) -> Result<u64, String> {
        let mut open = Vec::new();
        for n in 0..files {
            let path = format!("{path}/{n}");
            let file = fs::File::create(&path).map_err(|error| error.to_string())?;
            if how == "replace" {
                let other = format!("{path}.other");
                fs::File::create(&other).and_then(|_| fs::rename(&other, &path)).map_err(|error| error.to_string())?;
            } else {
                fs::remove_file(&path).map_err(|error| error.to_string())?;
            }
            open.push(file);
        }
        let (chunk, mut written) = (vec![b'x'; bytes as usize], 0);
        for _ in 0..times {
            for file in &mut open {
                if file.write_all(&chunk).is_err() {
                    return Ok(written);
                }
                written += chunk.len() as u64;
            }
        }
        Ok(written)
    }
}

export!(Filing);
