//! Rules as a whole: who may do what without rules, scopes, memory, dead rules, explanations.

use std::collections::BTreeMap;

use super::fixtures_tests::*;
use super::*;
use crate::Digest;
use crate::principal::Principal;

fn one() -> ServedTool {
    served(&tool("a_b", &plugin("a", "reads", &["house"])), &[])
}

fn everything(id: &str, who: WhoText) -> RowText {
    RowText { id: id.to_owned(), who, tools: Some(ToolsText::default()), ..RowText::default() }
}

fn needing(id: &str, scopes: &[&str]) -> RowText {
    everything(id, WhoText { scopes: list(scopes), ..WhoText::default() })
}

const FORBID: &str = "@id(\"no\") forbid(principal, action, resource in Plugin::\"a\");";

#[test]
fn without_authentication_a_local_caller_may_use_what_is_served_unless_a_rule_forbids_it() {
    let (a, other) = (one(), served(&tool("c_d", &plugin("c", "writes", &[])), &[]));
    let open = RuleSetText { authenticated: false, ..text(Vec::new(), FORBID) };
    let closed = text(Vec::new(), FORBID);
    let built_in = "permit: local-principal-may-call-what-is-served";
    let silent = host();
    let error =
        "@id(\"boom\") forbid(principal, action, resource) when { context.hour + 9223372036854775807 > 1 };";
    for (name, text, forbidden, allowed) in [
        ("open", open, "hidden: no", built_in),
        ("closed", closed, "hidden: no", "hidden: "),
        ("nothing at all", RuleSetText::default(), built_in, built_in),
        ("nothing, authenticated", text(Vec::new(), ""), "hidden: ", "hidden: "),
        (
            "an error, open",
            RuleSetText { authenticated: false, ..text(Vec::new(), error) },
            "deny: boom",
            "deny: boom",
        ),
        ("an error, closed", text(Vec::new(), error), "deny: boom", "deny: boom"),
    ] {
        let rules = rules(text, &[a.clone(), other.clone()]);
        assert_eq!(word(&rules, &local(), &a.target, &NOON, &facts(&[])), forbidden, "{name}");
        assert_eq!(word(&rules, &local(), &other.target, &NOON, &facts(&[])), allowed, "{name}");
        // No policy sees the host, which may ask where there are no effects.
        let plain = tool("a_b", &plugin("a", "", &[]));
        assert_eq!(word(&rules, &silent, &plain, &NOON, &facts(&[])), "permit: host-may-ask-without-effects");
        assert_eq!(word(&rules, &silent, &other.target, &NOON, &facts(&[])), "hidden: ");
    }
}

#[test]
fn a_lack_of_scopes_names_those_that_are_needed_and_can_be_obtained() {
    let cedar = "@id(\"pay\") permit(principal is User, action, resource in Plugin::\"pay\")
when { principal.scopes.contains(\"pay\") && principal.scopes.contains(\"sign\") };
@id(\"never\") forbid(principal is User, action, resource in Plugin::\"pay\") when { principal.scopes.contains(\"evil\") };";
    let pay = served(&tool("pay_b", &plugin("pay", "", &[])), &[]);
    let a = one();
    let rows = vec![
        RowText {
            tools: Some(ToolsText { plugins: list(&["a"]), ..ToolsText::default() }),
            ..needing("rows", &["read", "write"])
        },
        RowText {
            tools: Some(ToolsText { plugins: list(&["a"]), ..ToolsText::default() }),
            ..needing("other", &["unobtainable"])
        },
    ];
    let mut text = text(rows, cedar);
    let obtainable = set(&["extra", "pay", "read", "sign", "write"]);
    text.obtainable = BTreeMap::from([("corp".to_owned(), obtainable), ("partner".to_owned(), set(&[]))]);
    let rules = rules(text, &[a.clone(), pay.clone()]);
    let judged =
        |principal: &Principal, tool: &ServedTool| judge(&rules, principal, Some(&tool.target), &NOON);
    for (principal, tool, needed) in [
        (user("corp/a", &[], &[]), &a, Some("read write")),
        (user("corp/a", &[], &["read", "x"]), &a, Some("write")),
        (user("corp/a", &[], &[]), &pay, Some("pay sign")),
        (user("corp/a", &[], &["sign"]), &pay, Some("pay")),
        (user("corp/a", &[], &["evil"]), &pay, None),
        (service("corp/a"), &a, Some("read write")),
        (service("corp/a"), &pay, None),
        (user("partner/a", &[], &[]), &a, None),
        (service("apikey/a"), &a, None),
        (local(), &a, None),
    ] {
        let denied = judged(&principal, tool).unwrap_err();
        let found = match &denied {
            DeniedError::Scope { needed, by } => {
                assert_eq!(by.len(), 1);
                Some(needed.join(" "))
            }
            _ => None,
        };
        assert_eq!((found.as_deref(), denied.is_listed()), (needed, needed.is_some()), "{principal}");
        // With them, it is permitted by the same rules.
        if let (Some(needed), Some(identity)) = (needed, principal.identity()) {
            let mut identity = identity.clone();
            identity.scopes.extend(needed.split(' ').map(str::to_owned));
            assert_eq!(judged(&caller(identity), tool).unwrap().rules(), denied.rules());
        }
    }
}

#[test]
fn a_verdict_that_depends_on_the_moment_is_made_anew_and_when_time_has_passed_also_between_the_steps() {
    let cedar = "@id(\"all\") permit(principal, action, resource);
@id(\"day\") forbid(principal, action, resource) unless { context.hour < 18 };";
    let a = one();
    let rules = rules(text(Vec::new(), cedar), std::slice::from_ref(&a));
    let alice = user("corp/a", &[], &[]);
    let evening = Moment { hour: 18, ..NOON };
    assert_eq!(word(&rules, &alice, &a.target, &NOON, &facts(&[])), "permit: all");
    assert_eq!(word(&rules, &alice, &a.target, &evening, &facts(&[])), "hidden: day");
    let judged = judge(&rules, &alice, Some(&a.target), &NOON).unwrap();
    let settled = settle(judged, &rules, &facts(&[]), &evening);
    assert!(matches!(settled, Err(DeniedError::Hidden { .. })), "{settled:?}");
}

#[test]
fn a_remembered_verdict_is_of_one_caller_with_all_that_is_known_about_it() {
    let cedar = "@id(\"ops\") permit(principal in Group::\"corp/ops\", action, resource);";
    let a = one();
    let rules = rules(text(vec![needing("row", &["s"])], cedar), std::slice::from_ref(&a));
    for _ in 0..2 {
        for (principal, expected) in [
            (user("corp/a", &[], &[]), "hidden: "),
            (user("corp/a", &["corp/ops"], &[]), "permit: ops"),
            (user("corp/a", &[], &["s"]), "permit: row"),
            (user("corp/a", &["corp/ops"], &["s"]), "permit: row ops"),
            (user("partner/a", &["corp/ops"], &[]), "permit: ops"),
        ] {
            assert_eq!(word(&rules, &principal, &a.target, &NOON, &facts(&[])), expected);
        }
    }
}

#[test]
fn a_tool_that_the_rules_were_not_bound_to_is_denied_where_there_are_policies() {
    let cedar = "@id(\"all\") permit(principal, action, resource);";
    let (a, alice) = (one(), user("corp/a", &[], &[]));
    let rules = rules(text(Vec::new(), cedar), std::slice::from_ref(&a));
    let mut changed = (*plugin("a", "reads", &["house"])).clone();
    changed.digest = Digest::of(b"other bytes");
    let other_bytes = tool("a_b", &std::sync::Arc::new(changed));
    let unknown = tool("a_c", &plugin("a", "reads", &["house"]));
    assert_eq!(word(&rules, &alice, &a.target, &NOON, &facts(&[])), "permit: all");
    for target in [&other_bytes, &unknown] {
        assert_eq!(word(&rules, &alice, target, &NOON, &facts(&[])), "deny: ");
    }
}

#[test]
fn a_permit_of_other_rules_is_worth_nothing() {
    let (a, alice) = (one(), user("corp/a", &[], &[]));
    let rules_of =
        |id: &str| rules(text(vec![everything(id, WhoText::default())], ""), std::slice::from_ref(&a));
    let (before, after) = (rules_of("x"), rules_of("y"));
    assert_ne!(before.digest(), after.digest());
    let judged = judge(&before, &alice, Some(&a.target), &NOON).unwrap();
    let settled = settle(judged, &after, &facts(&[]), &NOON);
    assert_eq!(settled, Err(DeniedError::Errored { ids: std::sync::Arc::default() }));
}

#[test]
fn rules_that_name_what_exists_nowhere_or_are_always_forbidden_are_listed() {
    let row = RowText {
        tools: Some(ToolsText {
            plugins: list(&["a", "gone"]),
            names: list(&["a_b", "a_gone"]),
            signed_by: list(&["house", "stranger"]),
            ..ToolsText::default()
        }),
        ..everything("row", WhoText { groups: list(&["corp/x", "nobody/x"]), ..WhoText::default() })
    };
    let cedar = "@id(\"named\") permit(principal in Group::\"nobody/x\", action == Action::\"c_d\", resource in Plugin::\"c\");
@id(\"fine\") permit(principal in Group::\"corp/x\", action == Action::\"a_b\", resource in Plugin::\"a\");
@id(\"shadowed\") permit(principal, action in Action::\"call\", resource in Plugin::\"a\");
@id(\"shadow\") forbid(principal, action in Action::\"call\", resource in Plugin::\"a\");";
    let rules = rules(text(vec![row], cedar), &[one()]);
    let dead: Vec<(&str, &str)> =
        rules.dead().iter().map(|dead| (dead.rule.as_str(), dead.why.as_str())).collect();
    assert_eq!(
        dead,
        [
            ("named", "group `nobody/x` is of no issuer of the configuration"),
            ("named", "plugin `c` is not served"),
            ("named", "tool `c_d` is not served"),
            ("row", "group `nobody/x` is of no issuer of the configuration"),
            ("row", "plugin `gone` is not served"),
            ("row", "signer `stranger` signed no plugin that is served"),
            ("row", "tool `a_gone` is not served"),
            ("shadowed", "`shadow` forbids everything that it permits"),
        ]
    );
    let ids: Vec<&str> = rules.ids().map(RuleId::as_str).collect();
    assert_eq!(ids, ["row", "named", "fine", "shadowed", "shadow"]);
}

#[test]
fn an_explanation_names_the_nearest_rule_and_what_it_lacks() {
    let cedar = "@id(\"desk\") permit(principal is User, action in Action::\"call\", resource in Plugin::\"a\")
when { resource.reads && principal in Group::\"corp/desk\" && context.hour < 10 } unless { context.weekday > 5 };
@id(\"far\") permit(principal is Local, action == Action::\"c_d\", resource in Plugin::\"c\");";
    let row = everything("row", WhoText { groups: list(&["corp/ops"]), ..WhoText::default() });
    let c = served(&tool("c_d", &plugin("c", "", &[])), &[]);
    let rules = rules(text(vec![row], cedar), &[one(), c]);
    let a = one().target;
    let explained = rules.explain(&user("corp/a", &["corp/desk"], &[]), Some(&a), &NOON, None);
    assert_eq!((explained.verdict, explained.by.len()), (VerdictWord::Hidden, 0));
    let misses: Vec<(&str, Vec<&str>)> = explained
        .misses
        .iter()
        .map(|miss| (miss.rule.as_str(), miss.lacks.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(
        misses,
        [
            ("row", vec!["who.groups"]),
            ("desk", vec!["when { context.hour < 10 }", "unless { context.weekday > 5 }"]),
            ("far", vec!["principal in its scope", "action in its scope", "resource in its scope"]),
        ]
    );
    let permitted = rules.explain(&user("corp/a", &["corp/ops"], &[]), Some(&a), &NOON, None);
    assert_eq!((permitted.verdict, permitted.misses.len()), (VerdictWord::Permit, 0));
    assert_eq!(permitted.by.iter().map(RuleId::as_str).collect::<Vec<_>>(), ["row"]);
    let nothing = rules.explain(&user("corp/a", &[], &[]), None, &NOON, None);
    assert_eq!((nothing.verdict, nothing.misses.len()), (VerdictWord::Hidden, 0));
}

#[test]
fn an_explanation_without_arguments_says_where_they_would_have_decided() {
    let cedar = "@id(\"all\") permit(principal, action, resource);
@id(\"much\") @reason(\"too much\") forbid(principal, action == Action::\"a_b\", resource) when { context.args.n > 1 };";
    let a = served(&one().target, &[("n", ArgumentType::Long)]);
    let rules = rules(text(Vec::new(), cedar), std::slice::from_ref(&a));
    let alice = user("corp/a", &[], &[]);
    let without = rules.explain(&alice, Some(&a.target), &NOON, None);
    assert_eq!((without.verdict, without.is_undecided), (VerdictWord::Permit, true));
    let two = facts(&[("n", ArgumentFact::Long(2))]);
    let with = rules.explain(&alice, Some(&a.target), &NOON, Some(&two));
    assert_eq!((with.verdict, with.is_undecided), (VerdictWord::Deny, false));
    assert_eq!(with.reason.as_deref(), Some("too much"));
}
