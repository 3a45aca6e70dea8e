//! Writes below a granted folder, which the guest sees as `/notes` wherever it is on the host.

use std::fs;
use std::path::PathBuf;

wit_bindgen::generate!({ world: "notes" });

const FOLDER: &str = "/notes";

use exports::toolgate_examples::notes::store::{Guest, Note};

struct Notes;

impl Guest for Notes {
    fn write(name: String, text: String) -> Result<(), String> {
        fs::write(path(&name)?, text).map_err(|error| format!("{name}: {error}"))
    }

    fn read(name: String) -> Result<String, String> {
        fs::read_to_string(path(&name)?).map_err(|error| format!("{name}: {error}"))
    }

    fn list() -> Result<Vec<Note>, String> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(FOLDER).map_err(|error| format!("{FOLDER}: {error}"))? {
            let path = entry.map_err(|error| format!("{FOLDER}: {error}"))?.path();
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.extension().is_some_and(|ending| ending == "txt") {
                notes.push(Note { text: fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?, name });
            }
        }
        notes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(notes)
    }

    fn delete(name: String) -> Result<(), String> {
        fs::remove_file(path(&name)?).map_err(|error| format!("{name}: {error}"))
    }
}

/// Rejects names that are paths: the sandbox confines a path to the folder, but not to the notes in it.
/// it.
fn path(name: &str) -> Result<PathBuf, String> {
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !fits {
        return Err(format!("`{name}` is no name; use 1 to 64 letters, digits, - or _"));
    }
    Ok(PathBuf::from(format!("{FOLDER}/{name}.txt")))
}

export!(Notes);
