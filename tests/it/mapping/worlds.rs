//! The corpus: each file in `tests/worlds` is a world with one purpose, made into a component of dummy functions. It is
//! described as its first lines say, or refused for the reason they give.
//!
//! ```text
//! // for: what only this file is about
//! // expect: tools p_one p_two         or: no tools
//! // expect: type: p_one: func(a: u8)  as the tool's shape is written
//! // expect: hidden: PATH: part of the reason
//! // expect: needs: http               or: may use: files clock
//! // expect: refused: part of the reason
//! ```

use std::collections::{BTreeMap, BTreeSet};

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::EngineKind;
use toolgate_policy::load::Grants;
use toolgate_policy::load::{ClearanceError, RefusalError};
use toolgate_policy::name::Prefix;
use toolgate_runtime::load::LoadError;
use toolgate_runtime::load::describe::describe;
use toolgate_runtime::reconcile::Loaded;
use toolgate_runtime::snapshot::tool::ToolListing;
use toolgate_sandbox::inspect::{Inspected, inspect};
use toolgate_tests::World;
use toolgate_tests::inside::{gate, spec};
use toolgate_tests::wit::component::dummy;

/// Inspects a component, and describes it under the prefix `p`.
pub(super) fn look(bytes: &[u8]) -> Result<(Inspected, Vec<ToolListing>), String> {
    let inspected =
        inspect(&Artifact::of(bytes.to_vec()), EngineKind::Sync).map_err(|error| error.to_string())?;
    let described = describe(&inspected, &Prefix::parse("p").unwrap()).map_err(|error| error.to_string())?;
    Ok((inspected, described.listings))
}

/// Expectations in the first lines of a file.
#[derive(Debug, Default)]
struct Expected {
    purpose: String,
    tools: BTreeSet<String>,
    types: Vec<(String, String)>,
    hidden: Vec<(String, String)>,
    needs: BTreeSet<String>,
    may_use: BTreeSet<String>,
    refused: Option<String>,
}

impl Expected {
    fn read(text: &str) -> Self {
        let mut expected = Self::default();
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let pair = |text: &str| text.split_once(": ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
            if let Some(purpose) = line.strip_prefix("for: ") {
                purpose.clone_into(&mut expected.purpose);
                continue;
            }
            let line = line.strip_prefix("expect: ").unwrap_or_else(|| panic!("{line}"));
            if line == "no tools" {
            } else if let Some(tools) = line.strip_prefix("tools ") {
                expected.tools = words(tools);
            } else {
                let (what, rest) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
                match what {
                    "type" => expected.types.push(pair(rest)),
                    "hidden" => {
                        let (path, why) = rest.rsplit_once(": ").unwrap();
                        expected.hidden.push((path.to_owned(), why.to_owned()));
                    }
                    "needs" => expected.needs = words(rest),
                    "may use" => expected.may_use = words(rest),
                    "refused" => expected.refused = Some(rest.to_owned()),
                    other => panic!("{other}"),
                }
            }
        }
        assert!(!expected.purpose.is_empty(), "a world says what it is for");
        expected
    }

    /// Differences from the expectations.
    fn differences(&self, found: &Result<(Inspected, Vec<ToolListing>), String>) -> Vec<String> {
        let (inspected, listings) = match (found, &self.refused) {
            (Err(why), Some(part)) if why.contains(part) => return Vec::new(),
            (Err(why), _) => return vec![format!("refused: {why}")],
            (Ok(_), Some(part)) => return vec![format!("not refused, though of {part}")],
            (Ok(found), None) => found,
        };
        let mut wrong = Vec::new();
        let mut same = |what: &str, found: BTreeSet<String>, expected: &BTreeSet<String>| {
            if found != *expected {
                wrong.push(format!("{what} {found:?}, expected {expected:?}"));
            }
        };
        let names = listings.iter().map(|listing| listing.name.as_str().to_owned());
        same("tools", names.collect(), &self.tools);
        let words = |set: &BTreeSet<toolgate_policy::Capability>| {
            set.iter().map(|word| word.word().to_owned()).collect()
        };
        same("needs", words(inspected.requested.needs()), &self.needs);
        same("may use", words(inspected.requested.may_use()), &self.may_use);
        let hidden: BTreeMap<String, String> = inspected
            .functions
            .iter()
            .filter_map(|(path, function)| Some((path.to_string(), function.as_ref().err()?.to_string())))
            .collect();
        same(
            "hidden",
            hidden.keys().cloned().collect(),
            &self.hidden.iter().map(|(path, _)| path.clone()).collect(),
        );
        for (path, part) in &self.hidden {
            let why = hidden.get(path).cloned().unwrap_or_default();
            if !why.contains(part) {
                wrong.push(format!("{path} is hidden because {why:?}"));
            }
        }
        for (tool, shape) in &self.types {
            let listing = listings.iter().find(|listing| listing.name.as_str() == tool);
            let found = listing.map(|listing| listing.function.to_string()).unwrap_or_default();
            if found != *shape {
                wrong.push(format!("{tool} is {found}"));
            }
        }
        wrong
    }
}

/// Summary of a result.
fn told(found: &Result<(Inspected, Vec<ToolListing>), String>) -> String {
    match found {
        Err(why) => format!("refused: {why}"),
        Ok((inspected, listings)) => match inspected.functions.len() - listings.len() {
            0 => format!("{} tools", listings.len()),
            hidden => format!("{} tools, {hidden} hidden", listings.len()),
        },
    }
}

/// Files by name, with their texts.
fn files() -> BTreeMap<String, String> {
    let folder = toolgate_tests::root().join("tests/worlds");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
    });
    files.collect()
}

#[test]
fn every_world_of_the_corpus_is_described_or_refused_as_it_says() {
    let files = files();
    let mut purposes = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, text) in &files {
        let expected = Expected::read(text);
        assert!(purposes.insert(expected.purpose.clone()), "{name}: another world is for the same");
        match dummy(text) {
            Ok(made) => {
                let found = look(&made);
                println!("{name}: {}\n    {:.160}", expected.purpose, told(&found));
                wrong.extend(expected.differences(&found).iter().map(|told| format!("{name}: {told}")));
            }
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    println!("{} worlds", files.len());
    assert!(files.len() >= 60 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_world_that_is_described_and_needs_no_grant_compiles_and_links_if_it_has_a_tool() {
    let mut world = World::new();
    let mut worlds = BTreeMap::new();
    for (index, (file, text)) in files().into_iter().enumerate() {
        let expected = Expected::read(&text);
        if expected.refused.is_none() && expected.needs.is_empty() && expected.may_use.is_empty() {
            let name = format!("w{index}");
            world = world.plugin(&name, &dummy(&text).unwrap());
            worlds.insert(name, (file, expected));
        }
    }
    let plugins: Vec<(&str, Grants)> = worlds.keys().map(|name| (name.as_str(), Grants::default())).collect();
    let report = gate(&world, "state").reconciler.look(&spec(&world, &plugins)).1;
    assert_eq!(report.plugins.len(), worlds.len());
    for (name, loaded) in report.plugins {
        let (file, expected) = &worlds[name.as_str()];
        match loaded {
            Loaded::Ready { tools, .. } => assert!(tools > 0 && tools == expected.tools.len(), "{file}"),
            Loaded::Not { why, .. } => {
                let LoadError::Clear(_, ClearanceError::Refused(reasons)) = &*why else {
                    panic!("{file}: {why:?}")
                };
                let says_so =
                    matches!(reasons.as_slice(), [RefusalError::NoTools | RefusalError::Program(_)]);
                assert!(expected.tools.is_empty() && says_so, "{file}: {reasons:?}");
            }
            Loaded::Awaited { .. } => panic!("{file} is not a file of another machine"),
        }
    }
}
