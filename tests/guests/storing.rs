//! Performs one operation on one bucket of the key-value store.
wit_bindgen::generate!({
    inline: "package test:guest; world guest {
        import wasi:keyvalue/store@0.2.0-draft;
        import wasi:keyvalue/atomics@0.2.0-draft;
        import wasi:keyvalue/batch@0.2.0-draft;
        export open: func(name: string) -> result<string, string>;
        export get: func(bucket: string, key: string) -> result<option<list<u8>>, string>;
        export set: func(bucket: string, key: string, value: list<u8>) -> result<string, string>;
        export set-long: func(key-bytes: u32, value-bytes: u32) -> result<string, string>;
        export delete: func(bucket: string, key: string) -> result<string, string>;
        export exists: func(bucket: string, key: string) -> result<bool, string>;
        export count: func(bucket: string) -> result<list<u32>, string>;
        export names: func(bucket: string) -> result<list<string>, string>;
        export add: func(bucket: string, key: string, by: u64) -> result<u64, string>;
        export fill: func(bucket: string, entries: u32, bytes: u32) -> result<string, string>;
        export fill-at-once: func(bucket: string, entries: u32, bytes: u32) -> result<string, string>;
        export get-often: func(bucket: string, key: string, times: u32) -> result<u32, string>;
        export empty: func(bucket: string) -> result<string, string>;
        export for-ever: func();
    }",
    path: "../../wit/deps/keyvalue",
    generate_all,
});

use wasi::keyvalue::store::{Bucket, Error, open};
use wasi::keyvalue::{atomics, batch};

struct Storing;

fn told(error: Error) -> String {
    format!("{error:?}")
}

fn bucket(name: &str) -> Result<Bucket, String> {
    open(name).map_err(told)
}

/// Keys by page.
fn pages(bucket: &Bucket) -> Result<Vec<Vec<String>>, String> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket.list_keys(cursor).map_err(told)?;
        pages.push(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(pages);
        }
    }
}

impl Guest for Storing {
    fn open(name: String) -> Result<String, String> {
        bucket(&name).map(|_| "opened".to_owned())
    }

    fn get(name: String, key: String) -> Result<Option<Vec<u8>>, String> {
        bucket(&name)?.get(&key).map_err(told)
    }

    fn set(name: String, key: String, value: Vec<u8>) -> Result<String, String> {
        bucket(&name)?.set(&key, &value).map(|()| "set".to_owned()).map_err(told)
    }

    fn set_long(key_bytes: u32, value_bytes: u32) -> Result<String, String> {
        Self::set("long".to_owned(), "k".repeat(key_bytes as usize), vec![7; value_bytes as usize])
    }

    fn delete(name: String, key: String) -> Result<String, String> {
        bucket(&name)?.delete(&key).map(|()| "deleted".to_owned()).map_err(told)
    }

    fn exists(name: String, key: String) -> Result<bool, String> {
        bucket(&name)?.exists(&key).map_err(told)
    }

    fn count(name: String) -> Result<Vec<u32>, String> {
        Ok(pages(&bucket(&name)?)?.iter().map(|page| page.len() as u32).collect())
    }

    fn names(name: String) -> Result<Vec<String>, String> {
        Ok(pages(&bucket(&name)?)?.concat())
    }

    fn add(name: String, key: String, by: u64) -> Result<u64, String> {
        atomics::increment(&bucket(&name)?, &key, by).map_err(told)
    }

    fn fill(name: String, entries: u32, bytes: u32) -> Result<String, String> {
        let bucket = bucket(&name)?;
        for n in 0..entries {
            bucket.set(&format!("key-{n}"), &vec![7; bytes as usize]).map_err(|e| format!("{n}: {}", told(e)))?;
        }
        Ok("filled".to_owned())
    }

    fn fill_at_once(name: String, entries: u32, bytes: u32) -> Result<String, String> {
        let values: Vec<(String, Vec<u8>)> =
            (0..entries).map(|n| (format!("key-{n}"), vec![7; bytes as usize])).collect();
        batch::set_many(&bucket(&name)?, &values).map(|()| "filled".to_owned()).map_err(told)
    }

    fn get_often(name: String, key: String, times: u32) -> Result<u32, String> {
        let keys = vec![key; times as usize];
        let found = batch::get_many(&bucket(&name)?, &keys).map_err(told)?;
        Ok(found.into_iter().flatten().map(|(_, value)| value.len() as u32).sum())
    }

    fn empty(name: String) -> Result<String, String> {
        let bucket = bucket(&name)?;
        let keys = pages(&bucket)?.concat();
        batch::delete_many(&bucket, &keys).map(|()| "emptied".to_owned()).map_err(told)
    }

    fn for_ever() {
        let bucket = open("for-ever").expect("opens");
        for n in 0_u64.. {
            bucket.set("n", n.to_string().as_bytes()).expect("sets");
        }
    }
}

export!(Storing);
