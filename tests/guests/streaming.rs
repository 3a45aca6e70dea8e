//! Returns asynchronous results: an async function, a stream of bytes, a future; also streams without an end and
//! futures that never resolve.
wit_bindgen::generate!({
    inline: "
        package test:guest;
        world guest {
            export later: async func(text: string) -> string;
            export failing: async func() -> result<u32, string>;
            export bytes: async func(count: u32) -> stream<u8>;
            export fallible: async func(fine: bool) -> result<stream<u8>, string>;
            export endless: async func() -> stream<u8>;
            export soon: async func() -> future<u32>;
            export never: async func() -> future<u32>;
            export looping: async func();
            /// So many bytes at once, that come later.
            export large: async func(count: u32) -> future<list<u8>>;
            export large-text: async func(count: u32) -> future<string>;
            export taking: func(bytes: stream<u8>) -> u32;
        }",
});

use wit_bindgen::{FutureReader, StreamReader, spawn_local};

struct Streaming;

fn counted(count: u32) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        let mut sent = 0;
        while sent < count {
            let chunk: Vec<u8> = (sent..count.min(sent + 1000)).map(|n| n as u8).collect();
            sent += chunk.len() as u32;
            if !writer.write_all(chunk).await.is_empty() {
                return;
            }
        }
    });
    reader
}

impl Guest for Streaming {
    async fn later(text: String) -> String {
        wit_bindgen::yield_async().await;
        text.to_uppercase()
    }

    async fn failing() -> Result<u32, String> {
        Err("not today".to_owned())
    }

    async fn bytes(count: u32) -> StreamReader<u8> {
        counted(count)
    }

    async fn fallible(fine: bool) -> Result<StreamReader<u8>, String> {
        if fine { Ok(counted(3)) } else { Err("no stream".to_owned()) }
    }

    async fn endless() -> StreamReader<u8> {
        counted(u32::MAX)
    }

    async fn soon() -> FutureReader<u32> {
        let (writer, reader) = wit_future::new(|| 0);
        spawn_local(async move {
            drop(writer.write(7).await);
        });
        reader
    }

    async fn never() -> FutureReader<u32> {
        let (writer, reader) = wit_future::new(|| 0);
        spawn_local(async move {
            let _kept = writer;
            std::future::pending::<()>().await;
        });
        reader
    }

    async fn large(count: u32) -> FutureReader<Vec<u8>> {
        let (writer, reader) = wit_future::new(Vec::new);
        spawn_local(async move {
            drop(writer.write(vec![1; count as usize]).await);
        });
        reader
    }

    async fn large_text(count: u32) -> FutureReader<String> {
        let (writer, reader) = wit_future::new(String::new);
        spawn_local(async move {
            drop(writer.write("x".repeat(count as usize)).await);
        });
        reader
    }

    async fn looping() {
        loop {
            wit_bindgen::yield_async().await;
        }
    }

    fn taking(_bytes: StreamReader<u8>) -> u32 {
        0
    }
}

export!(Streaming);
