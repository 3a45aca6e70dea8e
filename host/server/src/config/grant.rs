//! `[plugin.grant]`: one key for each capability. The values are parsed here and judged by the policy.

use toolgate_policy::InvalidValueError;
use toolgate_policy::capability::room::QuotaText;
use toolgate_policy::capability::{clock, config, environment, files, http, keyvalue, random, sockets};
use toolgate_policy::limits::load::GRANT_RULES_MAX;
use toolgate_policy::load::Grants;

use super::reader::{Document, Section};

pub(super) fn read(document: &Document<'_>, section: Option<Section<'_>>) -> Grants {
    let Some(section) = section else { return Grants::default() };
    let grants = Grants {
        files: present(&section, "files", |word| read_files(document, &section, word)),
        http: present(&section, "http", |word| read_http(document, &section, word)),
        sockets: present(&section, "sockets", |word| read_sockets(&section, word)),
        environment: present(&section, "environment", |word| {
            valid(&section, word, environment::Grant::new(section.map(word)?))
        }),
        config: present(&section, "config", |word| section.map(word).map(config::Grant::new)),
        keyvalue: present(&section, "keyvalue", |word| {
            let room = section.section(word)?;
            let text = read_room(&room);
            room.finish();
            valid(&section, word, keyvalue::Grant::new(text))
        }),
        clock: present(&section, "clock", |word| read_word(&section, word, clock::Grant::parse)),
        random: present(&section, "random", |word| read_word(&section, word, random::Grant::parse)),
    };
    section.finish();
    grants
}

/// Reads a file that has only `[plugin.grant]`.
pub(super) fn read_file(document: &Document<'_>) -> Grants {
    let root = document.root();
    let plugin = root.section("plugin");
    if plugin.is_none() {
        root.wrong_here("has no [plugin.grant]; write that line above the grants");
    }
    let grants = plugin.map(|plugin| {
        let grants = read(document, plugin.section("grant"));
        plugin.finish();
        grants
    });
    root.finish();
    grants.unwrap_or_default()
}

/// Reads a key if it is present. An unreadable value is noted as a problem, and nothing loads.
fn present<T>(
    section: &Section<'_>,
    word: &'static str,
    read: impl FnOnce(&'static str) -> Option<T>,
) -> Option<T> {
    // Registered in any case, so that it is known and can be suggested.
    section.ask(word);
    if section.has(word) { read(word) } else { None }
}

/// The grant; `None` for an invalid one, whose problems are noted.
fn valid<T>(section: &Section<'_>, word: &str, grant: Result<T, Vec<InvalidValueError>>) -> Option<T> {
    grant.map_err(|problems| problems.iter().for_each(|problem| section.invalid(word, problem))).ok()
}

fn read_word<T>(
    section: &Section<'_>,
    word: &'static str,
    parse: fn(&str) -> Result<T, InvalidValueError>,
) -> Option<T> {
    valid(section, word, parse(&section.string(word)?).map_err(|problem| vec![problem]))
}

fn read_room(section: &Section<'_>) -> QuotaText {
    QuotaText { bytes_max: section.integer("bytes_max"), entries_max: section.integer("entries_max") }
}

fn read_files(document: &Document<'_>, section: &Section<'_>, word: &'static str) -> Option<files::Grant> {
    let mut mounts = Vec::new();
    let mut whole = true;
    for mount in section.sections(word, GRANT_RULES_MAX) {
        let host = mount.required("host", "docs");
        let guest = mount.required("guest", "/docs");
        let access = mount.string("access").unwrap_or_else(|| "read".to_owned());
        let (room, open_max) = (read_room(&mount), mount.integer("open_max"));
        match (host, guest) {
            (Some(host), Some(guest)) => {
                let host = document.relative(&host).to_string_lossy().into_owned();
                mounts.push(files::MountText { host, guest, access, room, open_max });
            }
            _ => whole = false,
        }
        mount.finish();
    }
    valid(section, word, files::Grant::new(mounts)).filter(|_| whole)
}

fn read_http(document: &Document<'_>, section: &Section<'_>, word: &'static str) -> Option<http::Grant> {
    let mut rules = Vec::new();
    let mut whole = true;
    for rule in section.sections(word, GRANT_RULES_MAX) {
        let host = rule.required("host", "api.example.com");
        whole &= host.is_some();
        rules.push(http::RuleText {
            scheme: rule.string("scheme"),
            host: host.unwrap_or_else(|| "unnamed.invalid".to_owned()),
            port: rule.integer("port"),
            methods: rule.strings("methods"),
            paths: rule.strings("paths"),
            headers: rule.strings("headers"),
            secret: rule.string("secret"),
            private: rule.boolean("private").unwrap_or(false),
            ca: rule.string("ca").map(|path| document.relative(&path).to_string_lossy().into_owned()),
        });
        rule.finish();
    }
    valid(section, word, http::Grant::new(rules)).filter(|_| whole)
}

fn read_sockets(section: &Section<'_>, word: &'static str) -> Option<sockets::Grant> {
    let mut rules = Vec::new();
    let mut whole = true;
    for rule in section.sections(word, GRANT_RULES_MAX) {
        let host = rule.required("host", "db.example.com");
        let port = rule.integer("port");
        if !rule.has("port") {
            rule.wrong_here("has no `port`; write port = 5432".to_owned());
        }
        whole &= host.is_some() && port.is_some();
        rules.push(sockets::RuleText {
            host: host.unwrap_or_else(|| "unnamed.invalid".to_owned()),
            port: port.unwrap_or(1),
            protocol: rule.string("protocol"),
            private: rule.boolean("private").unwrap_or(false),
        });
        rule.finish();
    }
    valid(section, word, sockets::Grant::new(rules)).filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::super::problem::ConfigError;
    use super::*;

    fn read_text(text: &str) -> Grants {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let problems = ConfigError::default();
        let document = Document::read(file.path(), &problems).unwrap();
        let grants = read_file(&document);
        assert!(problems.is_empty(), "{text}: {}", problems.take());
        grants
    }

    #[test]
    fn a_grant_that_is_written_out_reads_back_the_same() {
        for lines in [
            "",
            "files = []\nhttp = []\nsockets = []\nenvironment = {}\nconfig = {}\nkeyvalue = {}",
            r#"files = [{ host = "/srv/a \"b\"", guest = "/docs" }, { host = "/srv/c\\d", guest = "/", access = "read-write" }]"#,
            r#"http = [{ host = "a.example" }, { scheme = "http", host = "[::1]", port = 81, methods = ["PUT"], paths = ["/a*b", "/c"], private = true }]"#,
            r#"http = [{ host = "*.a.example", port = 444, ca = "/etc/ca.pem" }, { host = "b.example", headers = ["cookie", "x-forwarded-for"], secret = "token" }]"#,
            "environment = { TZ = \"UTC\", \"a b\" = \"\\u202e\\n\\u007f\" }\nconfig = { \"\" = \"x\", \"\\\"\" = \"\\\\\" }",
            r#"files = [{ host = "/a", guest = "/a", access = "read-write", bytes_max = 5, entries_max = 6, open_max = 7 }, { host = "/b", guest = "/b", open_max = 8 }]"#,
            r#"sockets = [{ host = "db.example.com", port = 5432 }, { host = "[::1]", port = 53, protocol = "udp", private = true }]"#,
            "keyvalue = { bytes_max = 5 }",
            "keyvalue = { entries_max = 6 }",
            "clock = \"precise\"\nrandom = \"seeded:18446744073709551615\"",
            "clock = \"none\"\nrandom = \"none\"",
        ] {
            let grants = read_text(&format!("[plugin.grant]\n{lines}\n"));
            let written = grants.written().join("\n");
            assert_eq!(read_text(&format!("[plugin.grant]\n{written}\n")), grants, "{written}");
        }
    }
}
