//! Reads audit logs back, one bounded line at a time, to show what plugins used. Unreadable lines are counted and
//! skipped, since a log can be damaged.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _};

use cap_std::fs::Dir;
use serde_json::{Map, Value};
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::limits::call::RECORD_LINE_BYTES_MAX;

use super::{places, sink};

/// One call in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Time of arrival: RFC 3339, UTC.
    pub time: String,
    /// Name of the plugin.
    pub plugin: String,
    /// Whether the call was a probe for the capabilities that the plugin requests.
    pub learning: bool,
    /// Attempts of the guest.
    pub attempts: BTreeSet<(Attempt, AttemptVerdict)>,
    /// Number of attempts beyond the limits of the record.
    pub not_listed: u64,
}

/// Extent of a review.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Time of the first record: RFC 3339, UTC. None if there are no records.
    pub since: Option<String>,
    /// Number of lines read.
    pub lines: u64,
    /// Number of lines that could not be parsed.
    pub unreadable: u64,
}

/// Hands every recorded call that reached a guest to `each`, oldest first.
///
/// # Errors
/// I/O errors, except for files that do not exist.
pub fn calls(folder: &Dir, mut each: impl FnMut(Recorded)) -> io::Result<Reach> {
    let mut reach = Reach::default();
    for name in sink::names_oldest_first() {
        let file = match folder.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while next_line(&mut reader, &mut line)? {
            reach.lines += 1;
            match serde_json::from_slice::<Map<String, Value>>(&line) {
                Ok(fields) if line.len() <= RECORD_LINE_BYTES_MAX => {
                    let time = text(&fields, "time").unwrap_or_default();
                    reach.since.get_or_insert_with(|| time.clone());
                    if let Some(recorded) = call(&fields, time) {
                        each(recorded);
                    }
                }
                Ok(_) | Err(_) => reach.unreadable += 1,
            }
        }
    }
    Ok(reach)
}

/// Reads one line, or only the beginning of one that is too long; `false` at the end.
fn next_line(reader: &mut BufReader<cap_std::fs::File>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let bytes_max = RECORD_LINE_BYTES_MAX as u64 + 1;
    if reader.by_ref().take(bytes_max).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') && line.len() > RECORD_LINE_BYTES_MAX {
        reader.skip_until(b'\n')?;
        // The beginning of a line could still parse as JSON.
        line.push(b'{');
    }
    Ok(true)
}

fn call(fields: &Map<String, Value>, time: String) -> Option<Recorded> {
    if text(fields, "event")? != "call" {
        return None;
    }
    Some(Recorded {
        time,
        plugin: text(fields, "plugin")?,
        learning: fields.get("learning").and_then(Value::as_bool).unwrap_or(false),
        attempts: places::read(fields),
        not_listed: fields.get("places_not_listed").and_then(Value::as_u64).unwrap_or(0),
    })
}

fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    fields.get(key).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn damaged_lines_are_counted_and_the_others_are_read() {
        let base = tempfile::tempdir().unwrap();
        let call = |time: &str| {
            format!(
                r#"{{"time":"{time}","event":"call","plugin":"p","files":[{{"path":"/a","access":"read"}}]}}"#
            )
        };
        let long = format!(r#"{{"time":"x","event":"{}"}}"#, "x".repeat(RECORD_LINE_BYTES_MAX));
        let newer = format!("{}\nhalf a {{\n\n{long}\n[1]\n{}\n{{\"time\":\"5\"", call("3"), call("4"));
        std::fs::write(base.path().join("audit.jsonl"), newer).unwrap();
        std::fs::write(base.path().join("audit.2.jsonl"), format!("{}\n", call("1"))).unwrap();
        std::fs::write(base.path().join("audit.1.jsonl"), format!("\u{fffd}\n{}\n", call("2"))).unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        let mut seen = Vec::new();
        let reach = calls(&dir, |recorded| seen.push(recorded)).unwrap();
        let times: Vec<&str> = seen.iter().map(|recorded| recorded.time.as_str()).collect();
        assert_eq!(times, ["1", "2", "3", "4"]);
        assert!(seen.iter().all(|recorded| recorded.attempts.len() == 1));
        assert_eq!(reach, Reach { since: Some("1".into()), lines: 10, unreadable: 6 });
    }

    #[test]
    fn where_nothing_was_recorded_there_is_nothing_to_say() {
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        assert_eq!(calls(&dir, |_| panic!()).unwrap(), Reach::default());
    }
}
