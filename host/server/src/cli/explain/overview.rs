//! Overview of a plugin: signers, matching rules, requests, grants, missing capabilities, limits.

use serde_json::{Value, json};
use toolgate_policy::Capability;
use toolgate_policy::address::Reach;
use toolgate_policy::capability::http::Rule;
use toolgate_policy::capability::sockets::Protocol;
use toolgate_policy::limits::call::CallLimit;
use toolgate_policy::redact::printable;

use super::super::output;
use super::{Subject, rules, verb};

/// A capability, its line in the configuration, and its meaning.
type Has = (Capability, String, String);

pub(super) fn run(subject: &Subject<'_>, json: bool) {
    if json {
        output::print_json(&as_json(subject));
    } else {
        output::print(&as_text(subject));
    }
}

fn as_text(subject: &Subject<'_>) -> String {
    let clearance = subject.plugin.clearance();
    let trusted = clearance.trusted();
    let mut lines = vec![
        format!("plugin {}: {}, {}", subject.spec.name, trusted.digest(), subject.spec.source),
        format!(
            "trusted as `{}`, by version {} of the trust policy",
            trusted.plugin(),
            trusted.policy_version()
        ),
    ];
    for rule in trusted.rules() {
        lines.push(format!(r#"  [[rule]] plugin = "{}" requires {}"#, rule.plugin, rule.require.join(", ")));
    }
    for met in trusted.roles() {
        lines.push(format!("  {} signed as {}", met.signers.join(", "), met.role));
    }
    lines.push(format!("needs: {}", words(clearance.asked().needs().iter())));
    lines.push(format!("may use: {}", words(clearance.asked().may_use().iter())));
    let has = has(subject);
    lines.push(if has.is_empty() { "has: nothing" } else { "has:" }.to_owned());
    lines.extend(has.iter().map(|(word, at, what)| format!("  {word} ({at}): {what}")));
    lines.push("has not:".to_owned());
    lines.extend(lacking(subject).into_iter().map(|word| format!("  {}", subject.without(word))));
    lines.extend(rules::lines(subject));
    lines.push("limits:".to_owned());
    for (limit, value, from) in limits(subject) {
        lines.push(format!("  {} = {value} ({from})", limit.name()));
    }
    lines.iter().map(|line| printable(line, 2_000)).collect::<Vec<_>>().join("\n")
}

fn as_json(subject: &Subject<'_>) -> Value {
    let clearance = subject.plugin.clearance();
    let trusted = clearance.trusted();
    let list = |words: &std::collections::BTreeSet<Capability>| -> Vec<&str> {
        words.iter().map(|word| word.word()).collect()
    };
    let rules = trusted.rules().iter();
    let rules = rules.map(|rule| json!({ "plugin": rule.plugin.to_string(), "require": rule.require }));
    let roles = trusted.roles().iter().map(|met| json!({ "role": met.role, "signers": met.signers }));
    let has = has(subject)
        .into_iter()
        .map(|(word, at, what)| json!({ "capability": word.word(), "at": at, "what": what }));
    let lacking = lacking(subject).into_iter();
    let lacking = lacking.map(|word| json!({ "capability": word.word(), "why": subject.without(word) }));
    let limits = limits(subject).into_iter();
    let limits =
        limits.map(|(limit, value, from)| json!({ "limit": limit.name(), "value": value, "from": from }));
    json!({
        "plugin": subject.spec.name.as_str(),
        "digest": trusted.digest().to_string(),
        "source": subject.spec.source.to_string(),
        "trust": {
            "id": trusted.plugin(),
            "version": trusted.policy_version(),
            "rules": rules.collect::<Vec<_>>(),
            "roles": roles.collect::<Vec<_>>(),
        },
        "needs": list(clearance.asked().needs()),
        "mayUse": list(clearance.asked().may_use()),
        "has": has.collect::<Vec<_>>(),
        "hasNot": lacking.collect::<Vec<_>>(),
        "accessRules": rules::as_json(subject),
        "limits": limits.collect::<Vec<_>>(),
    })
}

fn words<'a>(words: impl Iterator<Item = &'a Capability>) -> String {
    let words: Vec<&str> = words.map(|word| word.word()).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// Capabilities that are neither granted nor given by default.
fn lacking(subject: &Subject<'_>) -> Vec<Capability> {
    let asked = subject.plugin.clearance().asked();
    let by_default =
        |word: Capability| matches!(word, Capability::Clock | Capability::Random) && asked.covers(word);
    Capability::ALL.into_iter().filter(|word| !subject.spec.grants.has(*word) && !by_default(*word)).collect()
}

/// Its capabilities, one line each, in a fixed order.
fn has(subject: &Subject<'_>) -> Vec<Has> {
    let lacking = lacking(subject);
    let words = Capability::ALL.into_iter().filter(|word| !lacking.contains(word));
    words.flat_map(|word| of_word(subject, word)).collect()
}

fn of_word(subject: &Subject<'_>, word: Capability) -> Vec<Has> {
    let effective = subject.effective();
    let at = |key: &str| {
        let written = subject.spec.grants.has(word);
        if written { subject.at(&format!("grant.{word}{key}")) } else { "default".to_owned() }
    };
    let one = |what: String| vec![(word, at(""), what)];
    let several = |all: Vec<(String, String)>| {
        if all.is_empty() {
            return one("granted empty: it loads, and every use is refused".to_owned());
        }
        all.into_iter().map(|(key, what)| (word, at(&key), what)).collect()
    };
    match word {
        Capability::Files => several(numbered(effective.files.mounts(), |mount| {
            let how = verb(mount.access);
            let bounds: String =
                mount.bounds().iter().map(|(key, value)| format!("; {key} = {value}")).collect();
            format!("{how} {}, which it sees as {}{bounds}", mount.host, mount.guest)
        })),
        Capability::Http => several(numbered(effective.http.rules(), sends)),
        Capability::Environment => {
            let names = effective.environment.allow();
            let names = names.variables().keys();
            several(names.map(|name| (format!(".{name}"), format!("sees the variable {name}"))).collect())
        }
        Capability::Config => {
            let keys = effective.config.allow();
            let keys = keys.values().keys();
            several(keys.map(|key| (format!(".{key}"), format!("reads the value {key}"))).collect())
        }
        Capability::Sockets => several(numbered(effective.sockets.rules(), |rule| {
            let how = match rule.protocol {
                Protocol::Tcp => "connects to",
                Protocol::Udp => "exchanges datagrams with",
            };
            format!("{how} {rule}; {}", reach(rule.reach))
        })),
        Capability::Keyvalue => match effective.keyvalue.room() {
            Some(room) => {
                one(format!("keeps up to {} bytes in {} entries", room.bytes_max(), room.entries_max()))
            }
            None => several(Vec::new()),
        },
        Capability::Clock => one(match effective.clock.allow() {
            Ok(pass) => format!("{}: in steps of {} ns", effective.clock.word(), pass.resolution_ns()),
            Err(_) => "none: the first look at a clock ends the call".to_owned(),
        }),
        Capability::Random => one(match effective.random.allow() {
            Ok(pass) if pass.seed().is_some() => {
                format!("{}: the same in each call", effective.random.word())
            }
            Ok(_) => "secure: the system's generator".to_owned(),
            Err(_) => "none: the first draw ends the call".to_owned(),
        }),
    }
}

fn sends(rule: &Rule) -> String {
    let secret = rule.secret.as_ref().map(|name| format!(", with the secret {name} put in by the host"));
    let (methods, paths) = (rule.methods.join(" "), rule.paths.join(" "));
    let headers =
        (!rule.headers.is_empty()).then(|| format!(", and sets the headers {}", rule.headers.join(" ")));
    let (headers, secret) = (headers.unwrap_or_default(), secret.unwrap_or_default());
    let to = format!("{}://{}:{}", rule.scheme, rule.host, rule.port);
    format!("sends {methods} to {to}, paths {paths}; {}{headers}{secret}", reach(rule.reach))
}

fn reach(reach: Reach) -> &'static str {
    match reach {
        Reach::Global => "public addresses only",
        Reach::Private => "private networks and this machine too",
    }
}

fn numbered<T>(all: &[T], what: impl Fn(&T) -> String) -> Vec<(String, String)> {
    all.iter().enumerate().map(|(index, one)| (format!("[{index}]"), what(one))).collect()
}

/// Each limit, its value and its origin.
fn limits(subject: &Subject<'_>) -> Vec<(CallLimit, u64, String)> {
    let from = |limit: CallLimit| {
        let line = |key: String| subject.config.lines.get(&key);
        let name = limit.name();
        let own = line(format!("plugin[{}].limits.{name}", subject.index));
        match (own, line(format!("defaults.limits.{name}"))) {
            (Some(line), _) => format!("[plugin.limits], line {line}"),
            (None, Some(line)) => format!("[defaults.limits], line {line}"),
            (None, None) => "default".to_owned(),
        }
    };
    let values = subject.plugin.clearance().limits();
    CallLimit::ALL.into_iter().map(|limit| (limit, values.get(limit), from(limit))).collect()
}
