//! Does one thing to the file system and says how it went. (A function called `remove` would take the C library's place.)
use std::fs;

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export look: func(path: string) -> result<string, string>;
    export put: func(path: string, text: string) -> result<string, string>;
    export names: func(path: string) -> result<list<string>, string>;
    export erase: func(path: string) -> result<string, string>;
    export make: func(path: string) -> result<string, string>;
    export move-to: func(path: string, to: string) -> result<string, string>;
    export link-to: func(path: string, to: string) -> result<string, string>;
    export cut: func(path: string) -> result<string, string>;
}" });

struct Filing;

fn told<T>(result: std::io::Result<T>) -> Result<String, String> {
    result.map(|_| "done".to_owned()).map_err(|error| error.kind().to_string())
}

impl Guest for Filing {
    fn look(path: String) -> Result<String, String> {
        fs::read_to_string(path).map_err(|error| error.kind().to_string())
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
}

export!(Filing);
