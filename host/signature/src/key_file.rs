//! Files with a public key, recognised by their first bytes: PEM, minisign, or OpenSSH (a public key, or a line of
//! `allowed_signers`, ssh-keygen(1)). Options of `allowed_signers` are enforced; unsupported ones refuse the file.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::redact::printable;

use super::anchor::Anchor;
use super::key::PublicKey;
use super::minisign_key::{self, MinisignKey};
use super::ssh::{self, NAMESPACE};

/// Bytes of a principals list or option value. OpenSSH never matches longer ones.
const PATTERN_BYTES_MAX: usize = 1_000;

/// A parsed key file.
pub struct KeyFile {
    /// The key.
    pub anchor: Anchor,
    /// Time from which the key counts.
    pub valid_from: Option<UnixTime>,
    /// Time from which the key no longer counts.
    pub valid_until: Option<UnixTime>,
}

/// A file without a usable key: a sentence that says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFileError(String);

/// Parses a key file. Refuses anything but one usable key.
pub fn read(text: &str) -> Result<KeyFile, KeyFileError> {
    if text.starts_with("-----BEGIN ") {
        let key = PublicKey::from_pem(text).map_err(|error| KeyFileError(error.to_string()))?;
        return Ok(KeyFile { anchor: Anchor::Key(key), valid_from: None, valid_until: None });
    }
    if text.starts_with(minisign_key::UNTRUSTED) {
        let key = MinisignKey::read(text).map_err(KeyFileError)?;
        return Ok(KeyFile { anchor: Anchor::Minisign(key), valid_from: None, valid_until: None });
    }
    // As OpenSSH does: Unicode white space is not trimmed.
    let lines = text.lines().map(|line| line.trim_matches([' ', '\t', '\r']));
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(KeyFileError(
            "write one key, as PEM or as OpenSSH or minisign write it, and nothing else".to_owned(),
        ));
    };
    read_line(line).map_err(KeyFileError)
}

fn read_line(line: &str) -> Result<KeyFile, String> {
    let words = words(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let file = |kind: &str, key: &str, options: &str| {
        ssh::check_kind(kind)?;
        let key = ssh_key::PublicKey::from_openssh(&format!("{kind} {key}"))
            .map_err(|error| format!("it is not a key that OpenSSH would read: {error}"))?;
        let key = ssh::public_key(key.key_data())?;
        let mut file = KeyFile { anchor: Anchor::Key(key), valid_from: None, valid_until: None };
        file.hold_to_all(options)?;
        Ok(file)
    };
    match words.as_slice() {
        // Text after the key is a comment.
        [kind, key, ..] if is_kind(kind) => file(kind, key, ""),
        [who, kind, key, ..] if is_kind(kind) => {
            check_principals(who)?;
            file(kind, key, "")
        }
        [who, options, kind, key, ..] if is_kind(kind) => {
            check_principals(who)?;
            file(kind, key, options)
        }
        _ => Err("it is not a key: neither PEM nor of OpenSSH nor of minisign".to_owned()),
    }
}

impl KeyFile {
    /// Applies the options of an `allowed_signers` line: comma-separated `name="value"`, each at most once.
    fn hold_to_all(&mut self, options: &str) -> Result<(), String> {
        let mut rest = options;
        let mut seen = Vec::new();
        while !rest.is_empty() {
            let (name, value, behind) = option(rest)?;
            if seen.contains(&name) {
                return Err(format!("`{}` appears twice, and counts once", printable(&name, 60)));
            }
            self.hold_to(&name, value)?;
            seen.push(name);
            rest = match behind.strip_prefix(',') {
                Some(next) if !next.is_empty() => next,
                None if behind.is_empty() => "",
                _ => return Err("write a comma between options, and none behind the last".to_owned()),
            };
        }
        match (self.valid_from, self.valid_until) {
            (Some(from), Some(until)) if until.0 - 1 <= from.0 => {
                Err("`valid-before` is no later than `valid-after`".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn hold_to(&mut self, name: &str, value: &str) -> Result<(), String> {
        let shown = printable(value, 60);
        match name {
            "namespaces" => {
                let mut all = value.split(',');
                if all.clone().any(|one| one.starts_with('!')) {
                    return Err(format!("in `{shown}`, `!` takes a namespace away; name those that count"));
                }
                match all.any(|one| one == NAMESPACE) {
                    true => Ok(()),
                    false => Err(format!(
                        "`{shown}` does not name `{NAMESPACE}`, so it could never count; patterns are not read"
                    )),
                }
            }
            "valid-after" => moment(value).map(|time| self.valid_from = Some(time)),
            // OpenSSH includes that second; `valid_until` excludes it.
            "valid-before" => moment(value).map(|time| self.valid_until = Some(UnixTime(time.0 + 1))),
            _ => Err(format!("`{}` is an option that Toolgate does not hold keys to", printable(name, 60))),
        }
    }
}

/// Parses the first option: name in lower case, value, rest.
fn option(text: &str) -> Result<(String, &str, &str), String> {
    let name = text.split(['=', ',', '"']).next().unwrap_or_default();
    let shown = printable(name, 60);
    let unknown = || format!("`{shown}` is an option that Toolgate does not hold keys to");
    let value = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or_else(unknown)?;
    let quoted = value.strip_prefix('"').and_then(|value| value.split_once('"'));
    let (value, behind) = quoted.ok_or_else(|| format!("write the value of `{shown}` in quotes"))?;
    // OpenSSH never matches longer ones.
    if value.len() > PATTERN_BYTES_MAX {
        return Err(format!("the value of `{shown}` has more than {PATTERN_BYTES_MAX} bytes"));
    }
    Ok((name.to_ascii_lowercase(), value, behind))
}

/// Checks the principals of an `allowed_signers` line. They decide nothing here, but must be ones that OpenSSH could
/// match, rather than the options of a line without principals.
fn check_principals(word: &str) -> Result<(), String> {
    let unquoted = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
    let names = unquoted.unwrap_or(word);
    if names.contains('"') || unquoted.is_none() && names.contains('=') {
        return Err("its first word must say who may use the key; options stand behind it".to_owned());
    }
    if names.len() > PATTERN_BYTES_MAX
        || names.split(',').any(|name| name.is_empty() || name.starts_with('!'))
    {
        return Err("its first word must be names with commas between them, none of them with `!`".to_owned());
    }
    Ok(())
}

/// Splits a line into words. Quoted text stays together and keeps its quotes.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => words.push(String::new()),
            // OpenSSH reads an escaped quote as part of the word.
            '\\' => return Err("write it without backslashes".to_owned()),
            // A byte order mark would become part of a name.
            c if c.is_control() && c != '\t' || c == '\u{feff}' => {
                return Err("it has control characters in it".to_owned());
            }
            _ => {}
        }
        if quoted || !matches!(c, ' ' | '\t') {
            words.last_mut().into_iter().for_each(|word| word.push(c));
        }
    }
    words.retain(|word| !word.is_empty());
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-", "rsa-"].iter().any(|prefix| word.starts_with(prefix))
}

/// Parses `YYYYMMDDZ` or `YYYYMMDDHHMM[SS]Z`. The `Z` is required, since the time must not depend on the time zone.
fn moment(text: &str) -> Result<UnixTime, String> {
    let wrong = || {
        format!("`{}` is not a time; write it in UTC, as YYYYMMDDZ or YYYYMMDDHHMMSSZ", printable(text, 40))
    };
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let digits = match digits.ok_or_else(wrong)? {
        day if day.len() == 8 => format!("{day}000000"),
        minute if minute.len() == 12 => format!("{minute}00"),
        second if second.len() == 14 => second.to_owned(),
        _ => return Err(wrong()),
    };
    let time = strtime::parse("%Y%m%d%H%M%S", digits).and_then(|time| time.to_datetime());
    let time = time.and_then(|time: DateTime| time.to_zoned(TimeZone::UTC)).map_err(|_| wrong())?;
    let time = time.timestamp().as_second();
    // OpenSSH treats zero as no time.
    if time > 0 { Ok(UnixTime(time)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn why(text: &str) -> String {
        read(text).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_key_of_openssh_is_read_alone_and_in_a_line_of_allowed_signers() {
        let alone = read(&format!("{KEY} somebody@example.com, or another\n")).unwrap();
        for line in [
            format!("# who may\n\nsomebody@example.com {KEY}\n"),
            format!("a@b,*@c  namespaces=\"git,toolgate-plugin\" {KEY} comment"),
            format!("\"a, b\" valid-after=\"20250101Z\",valid-before=\"20260102030405Z\" {KEY}"),
        ] {
            assert_eq!(read(&line).unwrap().anchor.id(), alone.anchor.id(), "{line}");
        }
    }

    #[test]
    fn the_times_of_a_line_of_allowed_signers_hold() {
        let file =
            read(&format!("a valid-after=\"20250101Z\",valid-before=\"20260102030405Z\" {KEY}")).unwrap();
        assert_eq!(file.valid_from, Some(UnixTime(1_735_689_600)));
        assert_eq!(file.valid_until, Some(UnixTime(1_767_323_046)), "there the last second counts");
        assert_eq!(moment("202501010000Z"), moment("20250101Z"));
        for bad in ["20250101", "20251301Z", "2025Z", "20250101T000000Z", "-0250101Z", "19700101Z", ""] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_held_to_refuses_the_line() {
        for (options, word) in [
            ("namespaces=\"git\"", "does not name"),
            ("namespaces=\"toolgate-*\"", "does not name"),
            ("cert-authority", "is an option that"),
            ("valid-before=\"20991231Z\",valid-before=\"20300101Z\"", "appears twice"),
            ("valid-before=\"20300101Z\",Valid-Before=\"20991231Z\"", "appears twice"),
            ("valid-after=\"20250101Z\",valid-after=\"20240101Z\"", "appears twice"),
            ("namespaces=\"toolgate-plugin\",namespaces=\"git\"", "appears twice"),
            ("namespaces=\"toolgate-plugin,!toolgate-*\"", "takes a namespace away"),
            ("valid-before=20991231Z", "in quotes"),
            ("valid-before=\"20991231Z\"Z", "a comma between"),
            ("valid-before=\"20991231Z\",", "none behind the last"),
            (",valid-before=\"20991231Z\"", "is an option that"),
            ("valid-after=\"20300101Z\",valid-before=\"20300101Z\"", "no later than"),
            ("valid-before =\"20991231Z\"", "it is not a key"),
            ("x=\"\"", "is an option that"),
            ("NAMESPACES=\"git\"", "does not name"),
            ("verify-required", "is an option that"),
            ("valid-before=\"20250101\"", "in UTC"),
            ("namespaces=\"git\\\",toolgate-plugin\"", "without backslashes"),
        ] {
            let told = why(&format!("a {options} {KEY}"));
            assert!(told.contains(word), "{options}: {told}");
        }
    }

    #[test]
    fn a_line_says_first_who_may_use_its_key() {
        for who in ["*", "v*,?", "\"a b, c\"", "somebody@example.com", "ü"] {
            assert!(read(&format!("{who} {KEY}\r\n")).is_ok(), "{who}");
        }
        let long = "a".repeat(1_001);
        for who in [
            "!vendor,*",
            "*,!vendor",
            "valid-before=\"20200101Z\"",
            "a\"b\"",
            "\"a\"b",
            ",",
            "\u{feff}a",
            &long,
        ] {
            assert!(read(&format!("{who} {KEY}")).is_err(), "{who}");
        }
        for space in ["\u{a0}", "\u{b}", "\u{c}"] {
            assert!(read(&format!("a{space}{KEY}")).is_err(), "{space:?}");
        }
    }

    #[test]
    fn a_weak_key_is_none_in_any_file() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        for weak in key::weak_ed25519_keys() {
            let text = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
            let openssh = STANDARD.encode([text(b"ssh-ed25519"), text(&weak)].concat());
            let minisign = STANDARD.encode([&b"Ed"[..], &[7; 8], &weak].concat());
            for file in [
                format!("ssh-ed25519 {openssh}"),
                format!("vendor namespaces=\"toolgate-plugin\" ssh-ed25519 {openssh}"),
                format!("{}x\n{minisign}\n", minisign_key::UNTRUSTED),
            ] {
                assert!(why(&file).contains("weak or malformed Ed25519 key"), "{file}: {}", why(&file));
            }
        }
    }

    #[test]
    fn other_kinds_of_keys_several_keys_and_no_key_are_refused() {
        let generated = |kind: &str| format!("{kind} AAAA x");
        for text in [
            String::new(),
            "# nothing but this".to_owned(),
            format!("{KEY}\n{KEY}"),
            "ssh-ed25519".to_owned(),
            KEY.replace("Sqti", "Sqt"),
            KEY.replace("ssh-ed25519 ", "ssh-rsa "),
            KEY.replace("ssh-ed25519 ", "ecdsa-sha2-nistp256 "),
            generated("ssh-dss"),
            generated("ssh-ed25519-cert-v01@openssh.com"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(),
            "a\u{7} ".to_owned() + KEY,
            format!("\"a {KEY}"),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
        // Made by `ssh-keygen -t rsa -b 1024` and `-t dsa`.
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDtfXMPsftH/mqDHLulMEzHg/75/RWfPS4Mihdn6Z46lgDeV/TaKGNFRXjNNduHwYgTQlfQiVPZ3npyo6wXpzHmh96eljpoTU/KxUOXVVsmYSXXz9FaMiJZoFMQNotgjhKikKAsj1VfPFb5PaC08Gf39ylYT1xv0jMPN17/zC/R7w==";
        let dss = "ssh-dss AAAAB3NzaC1kc3MAAACBAOSXd05VvV2sj7fFEuuIi+XVURLfCUBYT8fC46/z22SQNtulVe/UrEtsNT41JNarFQNlI/tiD2T6iZAQM/0JQ/19JvXqeWeeMnt8ztAIAgH+VY6s9OqGBGhJ+QK0DPejuD4RKefhP1J4S1MIpvRD5w1niX6rNvOHQQP21/R20q5FAAAAFQCABbjpvQrvndKuI8s5XxZKKPslcwAAAIAxlKkgshDLccSvnAVdEJRzriR8/+3nK6KTOV2RiVhEDD2k8vMpc51rxcnnGvI2ng6qPj+vFzxdZvXan6ygFlGob70eDELpBKS61FrRTMPVcDFsOnw1EL+B3SXN2khQUWQcix0eUu7BAZBtnNIUWbAloCKLBWctZmQXvkTiOV/jNAAAAIAZ4HnZJUWFGU1Wy7PRh2JVwDWZSSq1Kfd4xE1hiyMPZ07kM35QlCnBfrKaVvBO7Ue8ml0JT0Imfy5PC2mWSfy/EC7x7lXwRRI1DTgesC7eeL2QWKHvO9IXs2NVpH64wT599TaGnqlUe4dQhcaHDLwFQhYjhdIk02oegaXWkJlgvw==";
        for (kind, key) in [("ssh-rsa", rsa), ("ssh-dss", dss)] {
            assert!(why(key).contains(&format!("{kind}; Toolgate takes ssh-ed25519")), "{}", why(key));
        }
    }
}
