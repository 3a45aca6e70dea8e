//! Attempts in audit records: their encoding and its inverse, so that later queries see the same attempts.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use toolgate_policy::Digest;
use toolgate_policy::address::Host;
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::files::Use;
use toolgate_policy::capability::sockets::Protocol;
use toolgate_policy::limits::call::RECORD_PLACE_BYTES_MAX;
use toolgate_policy::redact::printable;
use toolgate_policy::request::RequestTarget;

const LISTS: [&str; 5] = ["files", "requests", "sockets", "config", "other"];

/// A text for the record: escaped, and at most [`RECORD_PLACE_BYTES_MAX`] bytes. A longer text is cut and ends in the
/// digest of the whole, so that different texts stay different. So does a text that looks like the escape of another.
pub(super) fn text(whole: &str) -> String {
    let shown = printable(whole, RECORD_PLACE_BYTES_MAX);
    if shown.len() <= RECORD_PLACE_BYTES_MAX && !whole.contains("\\u{") {
        return shown;
    }
    let digest = Digest::of(whole.as_bytes()).short(DIGITS);
    let tail = format!("… ({} bytes, sha256:{digest}…)", whole.len());
    let end = shown.floor_char_boundary(RECORD_PLACE_BYTES_MAX.saturating_sub(tail.len()).min(shown.len()));
    format!("{}{tail}", shown.get(..end).unwrap_or_default())
}

/// Hexadecimal digits of the digest in a cut text: 128 bits, too many for a collision.
const DIGITS: usize = 32;

/// Bounds and escapes the texts of an attempt.
pub(super) fn bounded(attempt: Attempt) -> Attempt {
    let text = |whole: &str| text(whole);
    match attempt {
        Attempt::File { path, wanted } => Attempt::File { path: text(&path), wanted },
        Attempt::Request(target) if target.url().len() > RECORD_PLACE_BYTES_MAX => Attempt::NoRequest {
            text: text(&format!("{} {}", target.method(), target.url())),
            why: "it is too long for the record".to_owned(),
        },
        Attempt::Request(target) => Attempt::Request(target.without_query()),
        Attempt::Header { request, name } if request.url().len() > RECORD_PLACE_BYTES_MAX => {
            Attempt::NoRequest {
                text: text(&format!("{} {}", request.method(), request.url())),
                why: text(&format!("it has the header {name}, which its rule does not name")),
            }
        }
        Attempt::Header { request, name } => {
            Attempt::Header { request: request.without_query(), name: text(&name) }
        }
        Attempt::NoRequest { text: what, why } => Attempt::NoRequest { text: text(&what), why: text(&why) },
        Attempt::NoSocket { text: what, why } => Attempt::NoSocket { text: text(&what), why: text(&why) },
        Attempt::Config(key) => Attempt::Config(text(&key)),
        // Names of hosts are bounded as such.
        Attempt::Lookup(_)
        | Attempt::Socket { .. }
        | Attempt::Keyvalue
        | Attempt::Clock
        | Attempt::Random => attempt,
    }
}

/// Adds attempts to a line of the record, one list for each kind. Files that hit a quota have the limit in `access`,
/// and are not read back as attempts.
pub(super) fn write(
    attempts: &BTreeSet<(Attempt, AttemptVerdict)>,
    full: &BTreeSet<(String, &'static str)>,
    line: &mut Map<String, Value>,
) {
    let mut lists = LISTS.map(|name| (name, Vec::new()));
    for (attempt, judged) in attempts {
        let (list, mut entry) = match attempt {
            Attempt::File { path, wanted } => ("files", json!({ "path": path, "access": wanted.word() })),
            Attempt::Request(target) => {
                ("requests", json!({ "method": target.method(), "url": target.url() }))
            }
            Attempt::Header { request, name } => {
                ("requests", json!({ "method": request.method(), "url": request.url(), "header": name }))
            }
            Attempt::NoRequest { text, why } => ("requests", json!({ "text": text, "why": why })),
            Attempt::Lookup(host) => ("sockets", json!({ "lookup": host.to_string() })),
            Attempt::Socket { protocol, host, port } => (
                "sockets",
                json!({ "protocol": protocol.to_string(), "host": host.to_string(), "port": port }),
            ),
            Attempt::NoSocket { text, why } => ("sockets", json!({ "text": text, "why": why })),
            Attempt::Config(key) => ("config", json!({ "key": key })),
            Attempt::Keyvalue | Attempt::Clock | Attempt::Random => {
                ("other", json!({ "word": attempt.capability().word() }))
            }
        };
        if let (AttemptVerdict::Refused, Some(entry)) = (judged, entry.as_object_mut()) {
            entry.insert("refused".to_owned(), Value::from(true));
        }
        lists.iter_mut().filter(|(name, _)| *name == list).for_each(|(_, into)| into.push(entry.clone()));
    }
    let full = full.iter().map(|(path, limit)| json!({ "path": path, "access": limit }));
    lists.iter_mut().filter(|(name, _)| *name == "files").for_each(|(_, into)| into.extend(full.clone()));
    for (name, entries) in lists {
        // The list of files is written even if it is empty.
        if name == "files" || !entries.is_empty() {
            line.insert(name.to_owned(), Value::Array(entries));
        }
    }
}

/// Reads the attempts from a line of the record. An entry that cannot be read is left out.
pub(super) fn read(line: &Map<String, Value>) -> BTreeSet<(Attempt, AttemptVerdict)> {
    let mut attempts = BTreeSet::new();
    for list in LISTS {
        for entry in line.get(list).and_then(Value::as_array).into_iter().flatten() {
            let refused = entry.get("refused").and_then(Value::as_bool).unwrap_or(false);
            if let Some(attempt) = read_one(list, entry) {
                attempts.insert((
                    attempt,
                    if refused { AttemptVerdict::Refused } else { AttemptVerdict::Allowed },
                ));
            }
        }
    }
    attempts
}

fn read_one(list: &str, entry: &Value) -> Option<Attempt> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    if let (Some(path), Some(access)) = (text("path"), text("access")) {
        let wanted = [Use::Read, Use::Write].into_iter().find(|wanted| wanted.word() == access)?;
        return Some(Attempt::File { path: path.to_owned(), wanted });
    }
    if let (Some(method), Some(url)) = (text("method"), text("url")) {
        let request = RequestTarget::from_url(method, url).ok()?;
        return Some(match text("header") {
            Some(name) => Attempt::Header { request, name: name.to_owned() },
            None => Attempt::Request(request),
        });
    }
    if let (Some(what), Some(why)) = (text("text"), text("why")) {
        let (text, why) = (what.to_owned(), why.to_owned());
        return Some(match list {
            "sockets" => Attempt::NoSocket { text, why },
            _ => Attempt::NoRequest { text, why },
        });
    }
    if let Some(name) = text("lookup") {
        return Host::parse(name).ok().map(Attempt::Lookup);
    }
    if let (Some(protocol), Some(host)) = (text("protocol"), text("host")) {
        let known = [Protocol::Tcp, Protocol::Udp];
        let protocol = known.into_iter().find(|known| known.to_string() == protocol)?;
        let port = entry.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())?;
        return Host::parse(host).ok().map(|host| Attempt::Socket { protocol, host, port });
    }
    match (text("key"), text("word")) {
        (Some(key), _) => Some(Attempt::Config(key.to_owned())),
        (None, Some("keyvalue")) => Some(Attempt::Keyvalue),
        (None, Some("clock")) => Some(Attempt::Clock),
        (None, Some("random")) => Some(Attempt::Random),
        (None, Some(_) | None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let attempts = BTreeSet::from([
            (Attempt::File { path: "/docs/a".into(), wanted: Use::Read }, AttemptVerdict::Allowed),
            (Attempt::File { path: "/docs/a".into(), wanted: Use::Read }, AttemptVerdict::Refused),
            (Attempt::File { path: "/docs/a".into(), wanted: Use::Write }, AttemptVerdict::Refused),
            (
                Attempt::Request(RequestTarget::from_url("GET", "http://[::1]:81/a").unwrap()),
                AttemptVerdict::Allowed,
            ),
            (
                Attempt::Header {
                    request: RequestTarget::from_url("GET", "http://[::1]:81/a").unwrap(),
                    name: "cookie".into(),
                },
                AttemptVerdict::Refused,
            ),
            (Attempt::NoRequest { text: "GET ftp://x".into(), why: "no".into() }, AttemptVerdict::Refused),
            (Attempt::Lookup(Host::parse("db.example.com").unwrap()), AttemptVerdict::Allowed),
            (
                Attempt::Socket { protocol: Protocol::Udp, host: Host::parse("[::1]").unwrap(), port: 53 },
                AttemptVerdict::Refused,
            ),
            (Attempt::NoSocket { text: "listen".into(), why: "no".into() }, AttemptVerdict::Refused),
            (Attempt::Config("units".into()), AttemptVerdict::Refused),
            (Attempt::Keyvalue, AttemptVerdict::Allowed),
            (Attempt::Clock, AttemptVerdict::Refused),
            (Attempt::Random, AttemptVerdict::Refused),
        ]);
        let mut line = Map::new();
        let full = BTreeSet::from([("/docs/a".to_owned(), "open_max")]);
        write(&attempts, &full, &mut line);
        assert!(line["files"].to_string().contains("open_max"), "{line:?}");
        assert_eq!(read(&line), attempts);
    }

    #[test]
    fn texts_that_differ_after_what_is_listed_of_them_stay_two() {
        for part in ["x", "\u{1b}", "ä", "\u{10ffff}", "\\"] {
            let long = part.repeat(1_000);
            let (one, other) = (text(&format!("{long}a")), text(&format!("{long}b")));
            assert_ne!(one, other);
            assert!(one.len() <= RECORD_PLACE_BYTES_MAX, "{one}");
        }
        assert_ne!(text("/a\u{1b}"), text("/a\\u{1b}"));
        let short = "x".repeat(RECORD_PLACE_BYTES_MAX);
        assert_eq!(text(&short), short);
    }

    #[test]
    fn what_a_guest_names_is_cut_and_made_visible() {
        let path = format!("/\u{1b}[2J{}", "x".repeat(1_000));
        let Attempt::File { path, .. } = bounded(Attempt::File { path, wanted: Use::Read }) else { panic!() };
        assert!(path.len() <= RECORD_PLACE_BYTES_MAX && !path.contains('\u{1b}'), "{path}");
        let query = RequestTarget::from_url("GET", "https://a.example/b?token=x").unwrap();
        assert_eq!(bounded(Attempt::Request(query)).to_string(), "GET https://a.example/b");
    }
}
