//! Uses WASI 0.3: clocks, random numbers, output, environment variables and files.
use std::task::Poll;

use toolgate_test_guests::{Waiting, all};
use wasip3::cli::{environment, exit, stderr, stdin, stdout, terminal_stdout};
use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip3::random::{insecure, insecure_seed, random};
use wasip3::wit_stream;

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export wall-ns: func() -> u64;
    export monotonic-ns: func() -> u64;
    export sleep: async func(ns: u64) -> u64;
    /// Whether a wait until what the monotonic clock has just shown is over before one of half a minute.
    export is-over: async func() -> bool;
    export sleep-until: async func(ns: u64) -> u64;
    /// Begins so many waits at once, and waits for none of them.
    export sleep-many: async func(count: u32) -> u32;
    export dice: func(count: u64) -> list<u8>;
    export numbers: func() -> list<u64>;
    export say: async func(text: string, to-stderr: bool);
    export flood: async func(bytes: u64);
    export hear: async func() -> u64;
    export variables: func() -> list<tuple<string, string>>;
    export surroundings: func() -> string;
    export leave: func(code: u8);
    export folders: func() -> list<string>;
    export look: async func(path: string) -> result<string, string>;
    export put: async func(path: string, text: string) -> result<string, string>;
    export append: async func(path: string, text: string) -> result<string, string>;
    export names: async func(path: string) -> result<list<string>, string>;
    export erase: async func(path: string) -> result<string, string>;
    export link-to: async func(path: string, to: string) -> result<string, string>;
    export point-to: async func(path: string, to: string) -> result<string, string>;
    export move-to: async func(path: string, to: string) -> result<string, string>;
    export make: async func(path: string) -> result<string, string>;
    export cut: async func(path: string) -> result<string, string>;
    export resize: async func(path: string, bytes: u64) -> result<string, string>;
    export write-at: async func(path: string, bytes: u64, text: string) -> result<string, string>;
    export open-many: async func(path: string, count: u32) -> result<string, string>;
    /// Opens so many one after the other, and keeps of each a stream only; or that neither.
    export stream-many: async func(path: string, count: u32, keeps: bool) -> result<string, string>;
    /// Begins so many times to read from a file, takes nothing of what was read, and keeps the streams.
    export read-many: async func(path: string, count: u32) -> result<string, string>;
    /// The same with listings of a folder.
    export list-many: async func(path: string, count: u32) -> result<string, string>;
    /// Begins so many at once, keeping the host waiting for a while each time that it could look at them; keeps them open
    /// for so long; and says how many are and why others are not.
    export open-at-once: async func(path: string, count: u32, wait-ns: u64) -> tuple<u32, list<string>>;
    /// Opens so many at once by a name of so many bytes, and says how many were opened.
    export open-long: async func(path: string, bytes: u32, count: u32) -> result<u32, string>;
    /// Makes so many files, takes their names away (by unlink, or replaced by another file), and writes into each so often,
    /// keeping all open. The bytes that were written until something was refused.
    export write-unnamed: async func(path: string, how: string, files: u32, times: u32, bytes: u32)
        -> result<u64, string>;
}" });

struct Awaiting;

/// Polls a future once and drops it.
async fn begin(something: impl Future) {
    let mut something = std::pin::pin!(something);
    std::future::poll_fn(|cx| {
        let _begun = something.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn told(error: ErrorCode) -> String {
    format!("{error:?}")
}

/// The granted folder that a path begins with, and the path relative to it.
fn folder(path: &str) -> Result<(Descriptor, String), String> {
    let found = get_directories().into_iter().find_map(|(folder, guest)| {
        let rest = path.strip_prefix(guest.as_str())?.trim_start_matches('/');
        Some((folder, if rest.is_empty() { "." } else { rest }.to_owned()))
    });
    found.ok_or_else(|| "no such folder".to_owned())
}

async fn open(path: &str, open: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, String> {
    let (folder, rest) = folder(path)?;
    folder.open_at(PathFlags::SYMLINK_FOLLOW, rest, open, flags).await.map_err(told)
}

impl Guest for Awaiting {
    async fn write_unnamed(
        path: String,
        how: String,
        files: u32,
        times: u32,
        bytes: u32,
    ) -> Result<u64, String> {
        let mut opened = Vec::new();
        for n in 0..files {
            let path = format!("{path}/{n}");
            opened.push(open(&path, OpenFlags::CREATE, DescriptorFlags::WRITE).await?);
            if how == "replace" {
                let other = format!("{path}.other");
                drop(open(&other, OpenFlags::CREATE, DescriptorFlags::WRITE).await?);
                Self::move_to(other, path).await?;
            } else {
                Self::erase(path).await?;
            }
        }
        let mut written = 0;
        for round in 0..u64::from(times) {
            for file in &opened {
                let (mut writer, reader) = wit_stream::new();
                let end = file.write_via_stream(reader, round * u64::from(bytes));
                writer.write_all(vec![b'x'; bytes as usize]).await;
                drop(writer);
                if end.await.is_err() {
                    return Ok(written);
                }
                written += u64::from(bytes);
            }
        }
        Ok(written)
    }

    fn wall_ns() -> u64 {
        let now = system_clock::now();
        now.seconds as u64 * 1_000_000_000 + u64::from(now.nanoseconds)
    }

    fn monotonic_ns() -> u64 {
        monotonic_clock::now()
    }

    async fn sleep(ns: u64) -> u64 {
        let before = monotonic_clock::now();
        monotonic_clock::wait_for(ns).await;
        monotonic_clock::now() - before
    }

    async fn is_over() -> bool {
        let mut shown = std::pin::pin!(monotonic_clock::wait_until(monotonic_clock::now()));
        let mut later = std::pin::pin!(monotonic_clock::wait_for(30_000_000_000));
        std::future::poll_fn(|cx| match (shown.as_mut().poll(cx), later.as_mut().poll(cx)) {
            (Poll::Ready(()), _) => Poll::Ready(true),
            (Poll::Pending, Poll::Ready(())) => Poll::Ready(false),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        })
        .await
    }

    async fn sleep_until(ns: u64) -> u64 {
        monotonic_clock::wait_until(ns).await;
        monotonic_clock::now()
    }

    async fn sleep_many(count: u32) -> u32 {
        let mut waits: Vec<_> = (0..count).map(|_| Box::pin(monotonic_clock::wait_for(1 << 60))).collect();
        std::future::poll_fn(|cx| {
            let waiting = waits.iter_mut().filter_map(|wait| wait.as_mut().poll(cx).is_pending().then_some(()));
            Poll::Ready(waiting.count() as u32)
        })
        .await
    }

    fn dice(count: u64) -> Vec<u8> {
        random::get_random_bytes(count)
    }

    fn numbers() -> Vec<u64> {
        let (low, high) = insecure_seed::get_insecure_seed();
        let bytes = insecure::get_insecure_random_bytes(1);
        vec![random::get_random_u64(), insecure::get_insecure_random_u64(), low, high, bytes.len() as u64]
    }

    async fn say(text: String, to_stderr: bool) {
        let (mut writer, reader) = wit_stream::new();
        let end = if to_stderr { stderr::write_via_stream(reader) } else { stdout::write_via_stream(reader) };
        writer.write_all(text.into_bytes()).await;
        drop(writer);
        end.await.expect("said");
    }

    async fn flood(bytes: u64) {
        let (mut writer, reader) = wit_stream::new();
        let end = stdout::write_via_stream(reader);
        let mut left = bytes;
        while left > 0 {
            let chunk = left.min(1 << 20);
            writer.write_all(vec![b'x'; chunk as usize]).await;
            left -= chunk;
        }
        drop(writer);
        end.await.expect("said");
    }

    async fn hear() -> u64 {
        let (reader, end) = stdin::read_via_stream();
        let heard = reader.collect().await.len();
        end.await.expect("heard");
        heard as u64
    }

    fn variables() -> Vec<(String, String)> {
        environment::get_environment()
    }

    fn surroundings() -> String {
        let (arguments, folder) = (environment::get_arguments(), environment::get_initial_cwd());
        format!("{arguments:?} {folder:?} {}", terminal_stdout::get_terminal_stdout().is_some())
    }

    fn leave(code: u8) {
        exit::exit_with_code(code);
    }

    fn folders() -> Vec<String> {
        get_directories().into_iter().map(|(_, guest)| guest).collect()
    }

    async fn look(path: String) -> Result<String, String> {
        let file = open(&path, OpenFlags::empty(), DescriptorFlags::READ).await?;
        let (reader, end) = file.read_via_stream(0);
        let bytes = reader.collect().await;
        end.await.map_err(told)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn put(path: String, text: String) -> Result<String, String> {
        let file = open(&path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE).await?;
        let (mut writer, reader) = wit_stream::new();
        let end = file.write_via_stream(reader, 0);
        writer.write_all(text.into_bytes()).await;
        drop(writer);
        end.await.map_err(told)?;
        Ok("done".to_owned())
    }

    async fn append(path: String, text: String) -> Result<String, String> {
        let file = open(&path, OpenFlags::empty(), DescriptorFlags::WRITE).await?;
        let (mut writer, reader) = wit_stream::new();
        let end = file.append_via_stream(reader);
        writer.write_all(text.into_bytes()).await;
        drop(writer);
        end.await.map_err(told)?;
        Ok("done".to_owned())
    }

    async fn names(path: String) -> Result<Vec<String>, String> {
        let folder = open(&path, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
        let (reader, end) = folder.read_directory();
        let mut names: Vec<String> = reader.collect().await.into_iter().map(|entry| entry.name).collect();
        end.await.map_err(told)?;
        names.sort();
        Ok(names)
    }

    async fn erase(path: String) -> Result<String, String> {
        let (folder, rest) = folder(&path)?;
        folder.unlink_file_at(rest).await.map(|()| "done".to_owned()).map_err(told)
    }

    async fn link_to(path: String, to: String) -> Result<String, String> {
        let ((from, old), (into, new)) = (folder(&path)?, folder(&to)?);
        from.link_at(PathFlags::empty(), old, &into, new).await.map(|()| "done".to_owned()).map_err(told)
    }

    async fn point_to(path: String, to: String) -> Result<String, String> {
        let (folder, rest) = folder(&path)?;
        folder.symlink_at(to, rest).await.map(|()| "done".to_owned()).map_err(told)
    }

    async fn move_to(path: String, to: String) -> Result<String, String> {
        let ((from, old), (into, new)) = (folder(&path)?, folder(&to)?);
        from.rename_at(old, &into, new).await.map(|()| "done".to_owned()).map_err(told)
    }

    async fn make(path: String) -> Result<String, String> {
        let (folder, rest) = folder(&path)?;
        folder.create_directory_at(rest).await.map(|()| "done".to_owned()).map_err(told)
    }

    async fn cut(path: String) -> Result<String, String> {
        let file = open(&path, OpenFlags::empty(), DescriptorFlags::WRITE).await?;
        file.set_size(0).await.map(|()| "done".to_owned()).map_err(told)
    }

    async fn resize(path: String, bytes: u64) -> Result<String, String> {
        let file = open(&path, OpenFlags::empty(), DescriptorFlags::WRITE).await?;
        file.set_size(bytes).await.map(|()| "done".to_owned()).map_err(told)
    }

    async fn write_at(path: String, bytes: u64, text: String) -> Result<String, String> {
        let file = open(&path, OpenFlags::empty(), DescriptorFlags::WRITE).await?;
        let (mut writer, reader) = wit_stream::new();
        let end = file.write_via_stream(reader, bytes);
        writer.write_all(text.into_bytes()).await;
        drop(writer);
        end.await.map_err(told)?;
        Ok("done".to_owned())
    }

    async fn open_many(path: String, count: u32) -> Result<String, String> {
        let mut opened = Vec::new();
        for n in 0..count {
            let file = open(&path, OpenFlags::empty(), DescriptorFlags::READ).await;
            opened.push(file.map_err(|error| format!("{n}: {error}"))?);
        }
        Ok("done".to_owned())
    }

    async fn stream_many(path: String, count: u32, keeps: bool) -> Result<String, String> {
        let mut streams = Vec::new();
        for n in 0..count {
            let file = open(&path, OpenFlags::empty(), DescriptorFlags::READ).await;
            streams.push(file.map_err(|error| format!("{n}: {error}"))?.read_via_stream(0));
            if !keeps {
                streams.clear();
            }
        }
        Ok("done".to_owned())
    }

    async fn read_many(path: String, count: u32) -> Result<String, String> {
        let file = open(&path, OpenFlags::empty(), DescriptorFlags::READ).await?;
        let mut streams = Vec::new();
        for _ in 0..count {
            let (mut reader, end) = file.read_via_stream(0);
            // The stream is open once data has arrived.
            reader.next().await;
            begin(reader.read(Vec::with_capacity(65_536))).await;
            streams.push((reader, end));
        }
        Ok("done".to_owned())
    }

    async fn list_many(path: String, count: u32) -> Result<String, String> {
        let folder = open(&path, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
        let mut listings = Vec::new();
        for _ in 0..count {
            let (mut reader, end) = folder.read_directory();
            // Reads the first entry; by then the whole listing has arrived.
            reader.next().await;
            listings.push((reader, end));
        }
        Ok("done".to_owned())
    }

    async fn open_at_once(path: String, count: u32, wait_ns: u64) -> (u32, Vec<String>) {
        let begin = |_| -> Waiting<_> {
            let path = path.clone();
            Box::pin(async move { open(&path, OpenFlags::empty(), DescriptorFlags::READ).await })
        };
        let ends = all((0..count).map(begin).collect(), || {
            let begun = monotonic_clock::now();
            while monotonic_clock::now() - begun < 20_000_000 {}
        });
        let (open, refused): (Vec<_>, Vec<_>) = ends.await.into_iter().partition(Result::is_ok);
        monotonic_clock::wait_for(wait_ns).await;
        (open.len() as u32, refused.into_iter().filter_map(Result::err).collect())
    }

    async fn open_long(path: String, bytes: u32, count: u32) -> Result<u32, String> {
        let (folder, _) = folder(&path)?;
        let name = "x".repeat(bytes as usize);
        let open = |_| folder.open_at(PathFlags::empty(), name.clone(), OpenFlags::empty(), DescriptorFlags::READ);
        let mut opening: Vec<_> = (0..count).map(|n| Box::pin(open(n))).collect();
        let mut opened = 0;
        // Begins all of them before it waits for any.
        std::future::poll_fn(|cx| {
            opening.retain_mut(|one| match one.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(how) => {
                    opened += u32::from(how.is_ok());
                    false
                }
            });
            if opening.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok(opened)
    }
}

export!(Awaiting);
