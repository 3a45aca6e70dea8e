//! Reads below a granted folder with the standard library alone. WASI offers only the folders that the operator
//! granted.

use std::fs;
use std::path::Path;

wit_bindgen::generate!({ world: "files" });

/// Maximum file size; no model reads a larger one.
const FILE_BYTES_MAX: u64 = 256 * 1024;

use exports::toolgate_examples::files::folder::{Entry, Finding, Guest};

struct Files;

impl Guest for Files {
    fn list(folder: String) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| told(&folder, &error))? {
            let entry = entry.map_err(|error| told(&folder, &error))?;
            let metadata = entry.metadata().map_err(|error| told(&folder, &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, is_folder: metadata.is_dir(), size: metadata.len() });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn read(path: String) -> Result<String, String> {
        let size = fs::metadata(&path).map_err(|error| told(&path, &error))?.len();
        if size > FILE_BYTES_MAX {
            return Err(format!("{path} has {size} bytes; at most {FILE_BYTES_MAX} are read"));
        }
        fs::read_to_string(&path).map_err(|error| told(&path, &error))
    }

    fn search(folder: String, text: String, most: Option<u32>) -> Result<Vec<Finding>, String> {
        let mut findings = Vec::new();
        walk(Path::new(&folder), &text, most.unwrap_or(50) as usize, &mut findings)?;
        Ok(findings)
    }
}

fn walk(folder: &Path, text: &str, most: usize, findings: &mut Vec<Finding>) -> Result<(), String> {
    let shown = folder.display().to_string();
    let mut entries: Vec<_> =
        fs::read_dir(folder).and_then(|entries| entries.collect()).map_err(|error| told(&shown, &error))?;
    entries.sort_by_key(|entry: &fs::DirEntry| entry.file_name());
    for entry in entries {
        let path = entry.path();
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(&path, text, most, findings)?;
        } else if metadata.len() <= FILE_BYTES_MAX {
            // A file that is not UTF-8 cannot contain the text.
            let Ok(content) = fs::read_to_string(&path) else { continue };
            for (number, line) in content.lines().enumerate().filter(|(_, line)| line.contains(text)) {
                if findings.len() >= most {
                    return Ok(());
                }
                let text = line.chars().take(200).collect();
                findings.push(Finding { path: path.display().to_string(), line: number as u32 + 1, text });
            }
        }
    }
    Ok(())
}

fn told(path: &str, error: &std::io::Error) -> String {
    format!("{path}: {error}")
}

export!(Files);
