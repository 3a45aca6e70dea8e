//! Decides whether the plugin may do one thing, with the same grant and function as when the plugin does it.

use std::fmt::Display;
use std::net::SocketAddr;

use serde_json::{Value, json};
use toolgate_policy::Capability;
use toolgate_policy::address::{Host, is_metadata_name};
use toolgate_policy::capability::files::{FilesDeniedError, Mount, Use};
use toolgate_policy::capability::http::Pass;
use toolgate_policy::capability::sockets::{Found, Protocol, Rule};
use toolgate_policy::redact::printable;
use toolgate_policy::request::RequestTarget;

use super::super::call;
use super::super::exit::Exit;
use super::{By, Question, Subject, Wanted};

/// Verdict with its reasons.
pub(super) struct Answer {
    /// Whether the use is allowed.
    pub(super) allowed: bool,
    /// Sentences; the first is the reason.
    why: Vec<String>,
}

impl Answer {
    fn yes(why: impl Into<String>) -> Self {
        Self { allowed: true, why: vec![why.into()] }
    }

    fn no(why: impl Into<String>) -> Self {
        Self { allowed: false, why: vec![why.into()] }
    }

    fn and(mut self, more: impl Into<String>) -> Self {
        self.why.push(more.into());
        self
    }

    pub(super) fn as_text(&self) -> String {
        let lines: Vec<String> = self.why.iter().map(|line| printable(line, 2_000)).collect();
        format!("{}: {}", if self.allowed { "allowed" } else { "denied" }, lines.join("\n  "))
    }

    pub(super) fn as_json(&self, plugin: &str, word: Capability) -> Value {
        json!({ "plugin": plugin, "capability": word.word(), "allowed": self.allowed, "why": self.why })
    }
}

/// Checks that the question is well-formed.
fn check(question: &Question) -> Result<(), Exit> {
    let what = match question {
        Question::Files { path, .. } if !path.starts_with('/') => {
            "write an absolute path, as the plugin has it, such as /docs/a.txt"
        }
        Question::Http { request, .. } if !request.last().is_some_and(|url| url.contains("://")) => {
            "write a whole URL, such as https://api.example.com/v1/items"
        }
        Question::Sockets { to, .. } if host_and_port(to).is_none() => {
            "write HOST:PORT, such as db.example.com:5432"
        }
        _ => return Ok(()),
    };
    Err(Exit::usage(what))
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty())?;
    Some((host, port.parse().ok()?))
}

/// Answers a question.
pub(super) fn ask(subject: &Subject<'_>, question: &Question) -> Result<Answer, Exit> {
    check(question)?;
    let word = question.capability();
    let asked = subject.plugin.clearance().asked().covers(word);
    let by_default = matches!(word, Capability::Clock | Capability::Random);
    if !asked || !(by_default || subject.spec.grants.has(word)) {
        return Ok(Answer::no(subject.without(word)));
    }
    let effective = subject.effective();
    let granted = subject.spec.grants.has(word).then(|| subject.at(&format!("grant.{word}")));
    let at = granted.unwrap_or_else(|| "the default".to_owned());
    let ends = |denied: &dyn Display, use_: &str| {
        Answer::no(format!("{denied} ({at})"))
            .and(format!("the first {use_} ends the call; to grant it: {}", word.suggestion()))
    };
    Ok(match question {
        Question::Files { path, access } => files(subject, path, *access),
        Question::Http { request, resolve } => http(subject, request, *resolve)?,
        Question::Environment { name } => {
            let at = subject.at(&format!("grant.environment.{name}"));
            seen(effective.environment.allow().variables().contains_key(name), "variable", name, &at)
        }
        Question::Config { key } => {
            let at = subject.at(&format!("grant.config.{key}"));
            seen(effective.config.allow().values().contains_key(key), "value", key, &at)
        }
        Question::Clock => match effective.clock.allow() {
            Ok(pass) => {
                let (clock, step) = (effective.clock.word(), pass.resolution_ns());
                Answer::yes(format!(r#"clock = "{clock}" ({at}): in steps of {step} ns"#))
            }
            Err(denied) => ends(&denied, "look"),
        },
        Question::Random => match effective.random.allow() {
            Ok(_) => Answer::yes(format!(r#"random = "{}" ({at})"#, effective.random.word())),
            Err(denied) => ends(&denied, "draw"),
        },
        Question::Sockets { to, by } => sockets(subject, to, *by),
        Question::Keyvalue => match effective.keyvalue.room() {
            Some(room) => {
                let (bytes, entries) = (room.bytes_max(), room.entries_max());
                Answer::yes(format!("it may keep {bytes} bytes in {entries} entries ({at})"))
            }
            None => Answer::no(format!("the keyvalue grant ({at}) is empty and has no room"))
                .and(format!("every use is refused; to grant it: {}", word.suggestion())),
        },
    })
}

fn seen(is: bool, what: &str, name: &str, at: &str) -> Answer {
    if is {
        Answer::yes(format!("the {what} `{name}` is granted ({at})"))
    } else {
        Answer::no(format!("no {what} `{name}` is granted; it finds none"))
    }
}

fn files(subject: &Subject<'_>, path: &str, access: Wanted) -> Answer {
    let grant = &subject.effective().files;
    let wanted = match access {
        Wanted::Read => Use::Read,
        Wanted::Write => Use::Write,
    };
    let named = |index: usize, mount: &Mount| {
        let at = subject.at(&format!("grant.files[{index}]"));
        format!(r#"{} as {}, access = "{}" ({at})"#, mount.host, mount.guest, mount.access.word())
    };
    let folder =
        |index: usize| grant.mounts().get(index).map(|mount| named(index, mount)).unwrap_or_default();
    let located = grant.locate(path);
    let asked = located.and_then(|index| grant.allow(index, wanted));
    match (asked, located) {
        (Ok(pass), _) => Answer::yes(format!("to {} it: {}", wanted.word(), folder(pass.mount()))).and(
            "whether it is there, and whether a link in it leads out of the folder, shows when it is opened",
        ),
        (Err(refused @ FilesDeniedError::ReadOnly), Ok(index)) => {
            Answer::no(format!("{refused}: {}", folder(index)))
        }
        (Err(refused @ FilesDeniedError::Outside), _) => Answer::no(refused.to_string()),
        (Err(refused @ (FilesDeniedError::NotGranted | FilesDeniedError::ReadOnly)), _) => {
            let mounts: Vec<String> = grant.mounts().iter().map(|mount| mount.guest.clone()).collect();
            let there = if mounts.is_empty() { "none".to_owned() } else { mounts.join(", ") };
            Answer::no(format!("{refused}; it sees: {there}"))
        }
    }
}

fn http(subject: &Subject<'_>, request: &[String], resolve: bool) -> Result<Answer, Exit> {
    let (method, url) = match request {
        [url] => ("GET", url.as_str()),
        [method, url, ..] => (method.as_str(), url.as_str()),
        [] => return Err(Exit::usage("write a URL")),
    };
    let target = match RequestTarget::from_url(method, url) {
        Ok(target) => target,
        Err(why) => return Ok(Answer::no(format!("no grant covers such a request: {why}"))),
    };
    let grant = &subject.effective().http;
    let rule_at = |index: usize| subject.at(&format!("grant.http[{index}]"));
    match grant.allow(target.clone()) {
        Ok(pass) => {
            let covered = format!("the rule {} covers it ({})", pass.rule().written(), rule_at(pass.index()));
            address(subject, &pass, covered, resolve)
        }
        Err(refused) => {
            let answer = Answer::no(refused.to_string());
            Ok(match grant.nearest(&target) {
                None => answer.and(format!("the http grant ({}) has no rules", subject.at("grant.http"))),
                Some((index, lacks)) => {
                    let rule = grant.rules().get(index).into_iter();
                    let lacks: Vec<String> =
                        rule.flat_map(|rule| lacks.iter().map(|lack| lack.explain(rule, &target))).collect();
                    answer.and(format!("the nearest rule ({}): {}", rule_at(index), lacks.join("; ")))
                }
            })
        }
    }
}

/// Applies the address rules to a request that a grant covers.
fn address(subject: &Subject<'_>, pass: &Pass, covered: String, resolve: bool) -> Result<Answer, Exit> {
    let known = match pass.target().host() {
        Host::Address(_) => true,
        Host::Name(name) => is_metadata_name(name),
    };
    let secret = pass.rule().secret.as_ref().map(|name| format!("the host puts in the secret {name}"));
    if !known && !resolve {
        let answer = Answer::yes(covered)
            .and("the name was not resolved: an address that is out of bounds is refused when the request is sent (--resolve looks)");
        return Ok(secret.into_iter().fold(answer, Answer::and));
    }
    let runtime = call::runtime()?;
    Ok(match runtime.block_on(subject.gate.resolve(pass)) {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let answer = Answer::yes(covered).and(format!("it connects to {}", addresses.join(", ")));
            secret.into_iter().fold(answer, Answer::and)
        }
        Err(why) => Answer::no(why).and(covered),
    })
}

/// Answers for a host without resolving it: its rule is shown; addresses are checked when a call resolves it.
fn sockets(subject: &Subject<'_>, to: &str, by: By) -> Answer {
    let grant = &subject.effective().sockets;
    let protocol = match by {
        By::Tcp => Protocol::Tcp,
        By::Udp => Protocol::Udp,
    };
    let named = |(index, rule): (usize, &Rule)| {
        format!("{} ({})", rule.written(), subject.at(&format!("grant.sockets[{index}]")))
    };
    let mut rules = grant.rules().iter().enumerate();
    let all = rules.clone().map(named).collect::<Vec<_>>().join(", ");
    if grant.rules().is_empty() {
        let at = subject.at("grant.sockets");
        return Answer::no(format!("the sockets grant ({at}) is empty and reaches nothing"));
    }
    let Some((host, port)) = host_and_port(to) else { return Answer::no("it is not HOST:PORT") };
    let host = match Host::parse(host) {
        Ok(host) => host,
        Err(why) => return Answer::no(format!("no grant covers such a place: {why}")),
    };
    match &host {
        Host::Address(address) => {
            let Some(own) = subject.gate.own_addresses() else {
                let why = "the addresses of this machine cannot be listed, and may not be reached unasked";
                return Answer::no(why);
            };
            match grant.allow(&Found::default(), protocol, SocketAddr::new(*address, port), &own) {
                Ok(pass) => {
                    let rule = rules.find(|(_, rule)| *rule == pass.rule()).map(named).unwrap_or_default();
                    Answer::yes(format!("the rule {rule} covers it"))
                }
                Err(refused) => Answer::no(format!("{refused}; it has: {all}"))
                    .and("an address that a granted name leads to counts for that name, in the call that looked it up"),
            }
        }
        Host::Name(name) => match grant.allow_lookup(name) {
            Err(refused) => Answer::no(format!("{refused}; it has: {all}")),
            Ok(_) => {
                let covers = |(_, rule): &(usize, &Rule)| (rule.protocol, rule.port) == (protocol, port);
                match grant.naming(&host).find(covers) {
                    Some(rule) => {
                        Answer::yes(format!("the rule {} covers it", named(rule)))
                            .and("the name was not resolved: an address that is out of bounds is refused when the call looks it up")
                    }
                    None => {
                        let naming = grant.naming(&host).map(named).collect::<Vec<_>>().join(", ");
                        let why = format!("no rule for {host} is for {protocol} at port {port}");
                        Answer::no(format!("{why}; it has: {naming}"))
                    }
                }
            }
        },
    }
}
