//! Random worlds: rows and the same rows as Cedar policies give the same verdicts, and a list shows what can be called.
//! `TOOLGATE_CASES` says how many worlds; each has several callers, targets and rows.

use super::fixtures_tests::*;
use super::*;
use crate::principal::{CallerIdentity, IdentityKind, Principal};

const WORLDS: usize = 200;
/// Callers and targets of one world; every caller uses every target.
const CALLERS: usize = 10;
const TARGETS: usize = 5;

/// A generator of numbers that is the same everywhere (xorshift, of 64 bits).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// Some of these; at least one.
    fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        let mut some: Vec<&str> = of.iter().filter(|_| self.below(3) == 0).copied().collect();
        if some.is_empty() {
            some.push(self.one(of));
        }
        some
    }

    /// Perhaps a set of these.
    fn perhaps(&mut self, of: &[&str]) -> Option<Vec<String>> {
        if self.below(3) == 0 { list(&self.some(of)) } else { None }
    }
}

const GROUPS: [&str; 5] = ["corp/ops", "corp/ops/x", "partner/ops", "corp/a\"b\\c", "corp/Grüße*"];
const SCOPES: [&str; 3] = ["read", "write", "pay:x"];
const CLIENTS: [&str; 3] = ["editor", "robot\"", "a\\b"];
const SUBJECTS: [&str; 5] = ["corp/alice", "corp/bob", "partner/alice", "apikey/ci", "corp/x/y"];
const PLUGINS: [&str; 3] = ["docs", "pay", "web"];
const TOOLS: [&str; 5] = ["docs_find", "pay_send", "web_get", "read", "docs_edit"];
const SIGNERS: [&str; 3] = ["house", "partner", "x\"y"];
const URIS: [&str; 5] = ["docs://a", "docs://a/b", "web://a", "a\\b\"c", "docs:"];
const PATTERNS: [&str; 7] = ["docs://*", "docs://a", "*", "web://a", "a\\b\"*", "a\\b\"c", "do*"];

fn row(random: &mut Random, number: usize) -> RowText {
    let mut who = WhoText {
        groups: random.perhaps(&GROUPS),
        scopes: random.perhaps(&SCOPES),
        clients: random.perhaps(&CLIENTS),
        kinds: random.perhaps(&["user", "service", "local"]),
        subjects: random.perhaps(&SUBJECTS),
    };
    if who.kinds == list(&["local"]) {
        who = WhoText { kinds: who.kinds, ..WhoText::default() };
    }
    let tools = (random.below(4) > 0).then(|| ToolsText {
        plugins: random.perhaps(&PLUGINS),
        names: random.perhaps(&TOOLS),
        effects_at_most: random.perhaps(&["reads", "writes", "reaches-out"]),
        signed_by: random.perhaps(&SIGNERS),
    });
    let resources = if tools.is_none() { list(&random.some(&PATTERNS)) } else { random.perhaps(&PATTERNS) };
    let prompts = random.perhaps(&PATTERNS);
    RowText { id: format!("row-{number}"), who, tools, resources, prompts }
}

fn somebody(random: &mut Random) -> Principal {
    let kind = match random.below(5) {
        0 => return local(),
        1 => IdentityKind::Service,
        _ => IdentityKind::User,
    };
    let own = identity(kind, random.one(&SUBJECTS));
    // No user is of the issuer of keys.
    let kind = if own.issuer == "apikey" { IdentityKind::Service } else { kind };
    let (groups, scopes) = (random.some(&GROUPS), random.some(&SCOPES));
    let client = (random.below(4) > 0).then(|| random.one(&CLIENTS).to_owned());
    caller(CallerIdentity { kind, groups: set(&groups), scopes: set(&scopes), client, ..own })
}

fn something(random: &mut Random) -> Target {
    let mut words = random.some(&["reads", "writes", "out"]);
    words.truncate(random.below(4));
    let signers = random.some(&SIGNERS);
    let plugin = plugin(random.one(&PLUGINS), &words.join(" "), &signers);
    match random.below(4) {
        0 => target(TargetKind::Resource(random.one(&URIS).into()), &plugin),
        1 => target(TargetKind::Prompt(random.one(&URIS).into()), &plugin),
        _ => tool(random.one(&TOOLS), &plugin),
    }
}

#[test]
fn rows_and_their_cedar_text_agree_in_every_world_and_a_list_shows_what_can_be_called() {
    let worlds = std::env::var("TOOLGATE_CASES").ok().map_or(WORLDS, |cases| cases.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut permitted = 0;
    for world in 0..worlds {
        let rows: Vec<RowText> = (0..=random.below(4)).map(|number| row(&mut random, number)).collect();
        let targets: Vec<Target> = (0..TARGETS).map(|_| something(&mut random)).collect();
        let tools: Vec<ServedTool> = targets
            .iter()
            .filter(|target| target.tool().is_some())
            .map(|target| served(target, &[]))
            .collect();
        let native = rules(text(rows.clone(), ""), &tools);
        let cedar = native.to_cedar();
        let translated = rules(text(Vec::new(), &cedar), &tools);
        let callers: Vec<Principal> = (0..CALLERS).map(|_| somebody(&mut random)).collect();
        for (principal, target) in
            callers.iter().flat_map(|one| targets.iter().map(move |target| (one, target)))
        {
            let own = judge(&native, principal, Some(target), &NOON);
            let other = judge(&translated, principal, Some(target), &NOON);
            let by = |judged: &Result<Judged, DeniedError>| match judged {
                Ok(judged) => judged.rules().to_vec(),
                Err(error) => error.rules().to_vec(),
            };
            assert_eq!(own.is_ok(), other.is_ok(), "world {world}: {principal:?} {target:?}\n{cedar}");
            assert_eq!(by(&own), by(&other), "world {world}: {principal:?} {target:?}\n{cedar}");
            // A second time, when it is remembered, it is the same; and no call ends otherwise than the list says.
            assert_eq!(judge(&translated, principal, Some(target), &NOON), other);
            permitted += usize::from(own.is_ok());
            let called = own.and_then(|judged| settle(judged, &native, &facts(&[]), &NOON));
            let listed = judge(&native, principal, Some(target), &NOON);
            assert_eq!(called.is_ok(), listed.is_ok());
        }
    }
    let share = permitted * 100 / (worlds * CALLERS * TARGETS);
    assert!((5..=95).contains(&share), "{share} % are permitted: the worlds say little");
}
