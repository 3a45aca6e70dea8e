//! Files with a public key, told apart by what they begin with: PEM, a key of minisign's, or what OpenSSH keeps keys in (a
//! public key, or a line of `allowed_signers`, ssh-keygen(1)). What a line of `allowed_signers` demands holds here, too;
//! what cannot be held refuses the file.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::redact::printable;

use super::anchor::Anchor;
use super::key::PublicKey;
use super::minisign_key::{self, MinisignKey};
use super::ssh::{self, NAMESPACE};

/// Bytes of a word with names or patterns. OpenSSH matches longer ones with nothing.
const PATTERN_BYTES_MAX: usize = 1_000;

/// What a file says.
pub struct KeyFile {
    /// The key.
    pub anchor: Anchor,
    /// Before this, it does not count.
    pub valid_from: Option<UnixTime>,
    /// From this on, it does not count.
    pub valid_until: Option<UnixTime>,
}

/// Why a file holds no key: a sentence that says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyFileError(String);

/// Reads the text of a file.
///
/// # Errors
/// [`KeyFileError`] for anything but one key that counts.
pub fn read(text: &str) -> Result<KeyFile, KeyFileError> {
    if text.starts_with("-----BEGIN ") {
        let key = PublicKey::from_pem(text).map_err(|error| KeyFileError(error.to_string()))?;
        return Ok(KeyFile { anchor: Anchor::Key(key), valid_from: None, valid_until: None });
    }
    if text.starts_with(minisign_key::UNTRUSTED) {
        let key = MinisignKey::read(text).map_err(KeyFileError)?;
        return Ok(KeyFile { anchor: Anchor::Minisign(key), valid_from: None, valid_until: None });
    }
    // As OpenSSH has it: no other white space, and none of other alphabets.
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
        // What stands behind the key is a comment.
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
    /// Takes in the options of a line of `allowed_signers`: each once, `name="value"`, with commas between them.
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
            // There it counts at that second, here no longer.
            "valid-before" => moment(value).map(|time| self.valid_until = Some(UnixTime(time.0 + 1))),
            _ => Err(format!("`{}` is an option that Toolgate does not hold keys to", printable(name, 60))),
        }
    }
}

/// The first option of a text: its name in lower case, its value, and what stands behind it.
fn option(text: &str) -> Result<(String, &str, &str), String> {
    let name = text.split(['=', ',', '"']).next().unwrap_or_default();
    let shown = printable(name, 60);
    let unknown = || format!("`{shown}` is an option that Toolgate does not hold keys to");
    let value = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).ok_or_else(unknown)?;
    let quoted = value.strip_prefix('"').and_then(|value| value.split_once('"'));
    let (value, behind) = quoted.ok_or_else(|| format!("write the value of `{shown}` in quotes"))?;
    // OpenSSH compares longer ones with nothing.
    if value.len() > PATTERN_BYTES_MAX {
        return Err(format!("the value of `{shown}` has more than {PATTERN_BYTES_MAX} bytes"));
    }
    Ok((name.to_ascii_lowercase(), value, behind))
}

/// Checks the word that says who may use a key. It decides nothing here, but must be one by which OpenSSH would find somebody, and
/// not the options of a line that has no such word.
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

/// A line's words. Quotes keep together what is between them, and stay.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => words.push(String::new()),
            // OpenSSH reads a quote behind one as part of the word.
            '\\' => return Err("write it without backslashes".to_owned()),
            // A mark of byte order would be part of a name.
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

/// `YYYYMMDD` or `YYYYMMDDHHMM[SS]`, with the `Z` that makes it mean the same everywhere.
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
    // OpenSSH takes zero for no time at all.
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
