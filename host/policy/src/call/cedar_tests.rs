//! Cedar policies: what is refused at load, how arguments are read, and the policies that administrators ask for.

use std::fmt::Write as _;

use super::fixtures_tests::*;
use super::*;
use crate::limits;
use crate::principal::{CallerIdentity, IdentityKind, Principal};

const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

const SIX: &str = r#"
@id("staff") permit(principal in Group::"corp/staff", action, resource);
@id("robots") permit(principal is Service, action, resource);
@id("support-reads-tickets")
permit(principal in Group::"corp/support", action in Action::"call", resource in Plugin::"tickets")
when { !resource.writes };
@id("agents-never-write-outside") @reason("agents acting for people may not change things elsewhere")
forbid(principal is User, action in Action::"call", resource)
when { resource.writes && resource.reaches_out && principal.actors.contains("corp/agent") };
@id("ci-only-from-runners")
forbid(principal is Service, action in Action::"call", resource)
unless { context has source && context.source.isInRange(ip("10.20.0.0/16")) };
@id("pay-limit") @reason("payments over 1000 need the payments desk")
forbid(principal, action == Action::"pay_send", resource)
when { context.args.amount > 1000 } unless { principal in Group::"corp/payments" };
@id("office-hours-deploy")
forbid(principal, action in Action::"call", resource in Plugin::"deploy")
unless { context.hour >= 8 && context.hour < 18 && context.weekday <= 5 };
@id("only-house-signed-may-reach-out")
forbid(principal, action in Action::"call", resource)
when { resource.reaches_out } unless { resource in Signer::"house" };
"#;

fn pay() -> ServedTool {
    let optional = |kind| ArgumentType::Optional(Box::new(kind));
    served(
        &tool("pay_send", &plugin("pay", "writes out", &["house"])),
        &[
            ("amount", ArgumentType::Long),
            ("currency", ArgumentType::Text),
            ("note", optional(ArgumentType::Text)),
            ("fee", optional(ArgumentType::Long)),
            ("price", ArgumentType::Hidden),
            ("tags", ArgumentType::Set(Box::new(ArgumentType::Text))),
        ],
    )
}

fn paid(pairs: &[(&str, ArgumentFact)]) -> ArgumentFacts {
    let mut all = vec![
        ("amount", ArgumentFact::Long(1)),
        ("currency", ArgumentFact::Text("EUR".to_owned())),
        ("price", ArgumentFact::Unreadable),
        ("tags", ArgumentFact::Set(Vec::new())),
    ];
    all.retain(|(name, _)| pairs.iter().all(|(other, _)| other != name));
    all.extend(pairs.iter().cloned());
    facts(&all)
}

#[test]
fn the_six_policies_that_administrators_ask_for_decide_as_they_read() {
    let pay = pay();
    let tickets = served(&tool("tickets_find", &plugin("tickets", "reads", &[])), &[]);
    let edit = served(&tool("edit_ticket", &plugin("editor", "reads writes", &[])), &[]);
    let deploy = served(&tool("deploy_now", &plugin("deploy", "writes", &[])), &[]);
    let fetch = served(&tool("web_get", &plugin("web", "out", &["partner"])), &[]);
    let tools = [pay.clone(), tickets.clone(), edit.clone(), deploy.clone(), fetch.clone()];
    let rules = rules(text(Vec::new(), SIX), &tools);
    let (support, staff) = (user("corp/sue", &["corp/support"], &[]), user("corp/al", &["corp/staff"], &[]));
    let payer = user("corp/pat", &["corp/staff", "corp/payments"], &[]);
    let actors = vec!["corp/agent".to_owned()];
    let agent = caller(CallerIdentity {
        actors,
        groups: set(&["corp/staff"]),
        ..identity(IdentityKind::User, "corp/al")
    });
    let robot = service("corp/ci");
    let at = |hour, weekday| Moment { hour, weekday, ..NOON };
    let elsewhere = Moment { source: Some("10.21.0.1".parse().unwrap()), ..NOON };
    let mapped = Moment { source: Some("::ffff:10.20.9.9".parse().unwrap()), ..NOON };
    let stdio = Moment { source: None, transport: Transport::Stdio, ..NOON };
    let (none, much) = (facts(&[]), paid(&[("amount", ArgumentFact::Long(1001))]));
    for (principal, tool, moment, facts, expected) in [
        (&support, &tickets, NOON, &none, "permit: support-reads-tickets"),
        (&support, &edit, NOON, &none, "hidden: "),
        (&staff, &edit, NOON, &none, "permit: staff"),
        (&agent, &pay, NOON, &paid(&[]), "hidden: agents-never-write-outside"),
        (&agent, &tickets, NOON, &none, "permit: staff"),
        (&robot, &tickets, NOON, &none, "permit: robots"),
        (&robot, &tickets, mapped, &none, "permit: robots"),
        (&robot, &tickets, elsewhere, &none, "hidden: ci-only-from-runners"),
        (&robot, &tickets, stdio, &none, "hidden: ci-only-from-runners"),
        (&staff, &pay, NOON, &paid(&[("amount", ArgumentFact::Long(1000))]), "permit: staff"),
        (&staff, &pay, NOON, &much, "deny: pay-limit"),
        (&payer, &pay, NOON, &much, "permit: staff"),
        (&staff, &deploy, at(8, 5), &none, "permit: staff"),
        (&staff, &deploy, at(17, 1), &none, "permit: staff"),
        (&staff, &deploy, at(18, 5), &none, "hidden: office-hours-deploy"),
        (&staff, &deploy, at(7, 1), &none, "hidden: office-hours-deploy"),
        (&staff, &deploy, at(12, 6), &none, "hidden: office-hours-deploy"),
        (&staff, &fetch, NOON, &none, "hidden: only-house-signed-may-reach-out"),
        (&staff, &pay, NOON, &paid(&[]), "permit: staff"),
        (&local(), &tickets, NOON, &none, "hidden: "),
    ] {
        let found = word(&rules, principal, &tool.target, &moment, facts);
        assert_eq!(found, expected, "{principal} {} {moment:?}", tool.target.kind());
    }
    let judged = judge(&rules, &staff, Some(&pay.target), &NOON).unwrap();
    assert!(judged.reads_arguments());
    let denied = settle(judged, &rules, &much, &NOON).unwrap_err();
    assert_eq!(denied.to_string(), "payments over 1000 need the payments desk");
    assert!(!judge(&rules, &staff, Some(&tickets.target), &NOON).unwrap().reads_arguments());
}

#[test]
fn what_is_wrong_with_policies_is_refused_at_load_and_said() {
    for (cedar, why) in [
        ("permit(principal, action, resource);", "it has no name"),
        ("@id(\"a b\") permit(principal, action, resource);", "a rule's id"),
        ("@id(\"a\") permit(principal, action, resource)", "unexpected"),
        ("@id(\"a\") permit(principal == ?principal, action, resource);", "template"),
        ("@id(\"a\") @reason(\"\u{202e}\") permit(principal, action, resource);", "@reason"),
        ("@id(\"a\") @raeson(\"x\") permit(principal, action, resource);", "unknown annotation"),
        ("@id(\"a\") permit(principal, action, resource) when { resource.wirtes };", "wirtes"),
        ("@id(\"a\") permit(principal, action, resource) when { principal.scopes.contains(1) };", "type"),
        (
            "@id(\"a\") permit(principal, action, resource) when { principal.scopes.contains(\"x\") };",
            "scopes",
        ),
        ("@id(\"a\") permit(principal is User, action, resource) when { context.args.x };", "must not read"),
        ("@id(\"a\") permit(principal, action, resource) when { context has args };", "must not read"),
        ("@id(\"a\") permit(principal, action, resource) when { context has args.x };", "must not read"),
        ("@id(\"a\") permit(principal, action, resource) when { context[\"args\"] has x };", "must not read"),
        ("@id(\"a\") forbid(principal, action, resource) when { context.args.x };", "only calls have"),
        (
            "@id(\"a\") forbid(principal, action == Action::\"get\", resource) when { context.args.x };",
            "only calls have",
        ),
        ("@id(\"a\") permit(principal, action, resource) when { [context] == [] };", "by its parts"),
        (
            "@id(\"a\") permit(principal, action, resource) when { (if true then context else context).hour > 1 };",
            "by its parts",
        ),
        ("@id(\"a\") forbid(principal, action == Action::\"call\", resource);", "write `action in"),
        (
            "@id(\"a\") forbid(principal, action, resource) when { action == Action::\"call\" };",
            "in the scope",
        ),
        ("@id(\"a\") forbid(principal, action == Action::\"a tool\", resource);", "no tool can be named"),
        (
            "@id(\"a\") forbid(principal, action, resource) when { Plugin::\"x\" has version };",
            "compare with an entity",
        ),
        (
            "@id(\"a\") forbid(principal, action, resource) unless { Plugin::\"x\" in Signer::\"y\" };",
            "compare with an entity",
        ),
        ("@id(\"a\") forbid(principal is Admin, action, resource);", "Admin"),
        ("@id(\"a\") permit(principal, action in Action::\"call\", resource is Resource);", "impossible"),
        (
            "@id(\"a\") permit(principal, action, resource) when { resource.reads && !resource.reads && 1 > 2 && false };",
            "false",
        ),
        (
            "@id(\"a\") permit(principal, action, resource); @id(\"a\") forbid(principal, action, resource);",
            "another rule",
        ),
        ("@id(\"row\") permit(principal, action, resource);", "another rule"),
        (
            "@id(\"local-principal-may-call-what-is-served\") permit(principal, action, resource);",
            "another rule",
        ),
    ] {
        let row = RowText { id: "row".to_owned(), tools: Some(ToolsText::default()), ..RowText::default() };
        let found = problems(text(vec![row], cedar));
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|problem| problem.contains(why)), "{cedar}: {shown:?}");
        assert!(shown.iter().all(|problem| problem.starts_with("policy ")), "{shown:?}");
    }
}

#[test]
fn all_problems_of_a_file_are_said_at_once_each_with_its_line() {
    let cedar = "permit(principal, action, resource);\n\n@id(\"b\") permit(nobody, action, resource);\n\
                 @id(\"c\") permit(principal, action, resource);\npermit(x);";
    let found: Vec<String> = problems(text(Vec::new(), cedar)).into_iter().map(|it| it.at).collect();
    assert_eq!(found, ["policy line 1", "policy line 3", "policy line 5"]);
}

#[test]
fn a_file_that_is_too_large_or_has_too_many_or_too_long_policies_is_refused() {
    let mut many = String::new();
    for number in 0..1_001 {
        writeln!(many, "@id(\"p{number}\") permit(principal, action, resource);").unwrap();
    }
    let deep = |step: &str| {
        format!("@id(\"d\") permit(principal, action, resource) when {{ {} }};", step.repeat(4_000))
    };
    let large = " ".repeat((1 << 20) + 1);
    for cedar in [many, deep("true && "), large, format!("{ALL}{}", "x;".repeat(100_000))] {
        assert_eq!(problems(text(Vec::new(), &cedar)).len(), 1);
    }
}

#[test]
fn a_condition_as_deep_as_is_taken_neither_ends_the_program_nor_permits_by_an_error() {
    let mut taken = 0;
    for (head, step, tail) in [
        ("resource.reads", " && true", ""),
        ("1", "+1", " == 2"),
        ("", "(", "true"),
        ("", "[", "true"),
        ("if true then true else ", "if true then true else ", "true"),
        ("", "-", "1 == 1"),
        ("", "!", "resource.reads"),
        ("resource.plugin == ", "resource.plugin == ", "resource.plugin"),
        ("", "{a:", "true"),
        ("", "resource.reads || ", "true"),
        ("", "[1].contains(", "1"),
    ] {
        let before = "@id(\"d\") forbid(principal, action, resource) when { ";
        let close = step.chars().filter_map(|c| match c {
            '(' => Some(")"),
            '[' => Some("]"),
            '{' => Some("}"),
            _ => None,
        });
        let close = close.collect::<String>();
        let weight = step.matches(|c| "&|+-*([{.!<>=".contains(c)).count().max(step.matches("if").count());
        let count = (limits::rules::CEDAR_POLICY_OPERATORS_MAX - 10) / weight;
        let cedar = format!("{before}{head}{}{tail}{} }};", step.repeat(count), close.repeat(count));
        let too_deep =
            format!("{before}{head}{}{tail}{} }};", step.repeat(count * 2), close.repeat(count * 2));
        let refused = problems(text(Vec::new(), &too_deep));
        assert!(refused.iter().any(|problem| problem.why.contains("operators")), "{step}: {refused:?}");
        if let Ok(set) = RuleSet::new(text(Vec::new(), &format!("{ALL}{cedar}"))) {
            let reads = served(&tool("a_b", &plugin("a", "reads", &[])), &[]);
            let (rules, _) = set.bind(std::slice::from_ref(&reads));
            let denied = judge(&rules, &user("corp/a", &[], &[]), Some(&reads.target), &NOON);
            assert!(denied.is_err() || step == "+1", "{step}: {denied:?}");
            taken += 1;
        }
    }
    assert!(taken >= 4, "most are refused for another reason: {taken}");
}

#[test]
fn an_error_at_run_time_denies_whatever_permits() {
    let cedar = format!(
        "{ALL} @id(\"boom\") forbid(principal, action, resource) when {{ context.hour + 9223372036854775807 > 1 }};"
    );
    let reads = served(&tool("a_b", &plugin("a", "reads", &[])), &[]);
    let rules = rules(text(Vec::new(), &cedar), std::slice::from_ref(&reads));
    let alice = user("corp/a", &[], &[]);
    let at_midnight = Moment { hour: 0, ..NOON };
    assert_eq!(word(&rules, &alice, &reads.target, &NOON, &facts(&[])), "deny: boom");
    assert_eq!(word(&rules, &alice, &reads.target, &at_midnight, &facts(&[])), "hidden: boom");
    let impossible = Moment { weekday: 0, ..NOON };
    assert_eq!(word(&rules, &alice, &reads.target, &impossible, &facts(&[])), "deny: ");
}

#[test]
fn no_spelling_of_an_argument_evades_a_rule_about_it() {
    let cedar = format!(
        "{ALL}
@id(\"much\") forbid(principal, action == Action::\"pay_send\", resource) when {{ context.args.amount > 1000 }};
@id(\"fee\") forbid(principal, action == Action::\"pay_send\", resource)
when {{ context.args has fee && context.args.fee > 10 }};
@id(\"dollar\") forbid(principal, action in Action::\"call\", resource in Plugin::\"pay\")
when {{ context.args.currency == \"USD\" || context.args[\"tags\"].contains(\"USD\") }};"
    );
    let pay = pay();
    let rules = rules(text(Vec::new(), &cedar), std::slice::from_ref(&pay));
    let alice = user("corp/a", &[], &[]);
    let long = ArgumentFact::Long;
    let word_of = |text: &str| ArgumentFact::Text(text.to_owned());
    let tags = |items: Vec<ArgumentFact>| ArgumentFact::Set(items);
    for (pairs, expected) in [
        (vec![], "permit: all"),
        (vec![("amount", long(1000))], "permit: all"),
        (vec![("amount", long(1001))], "deny: much"),
        (vec![("amount", long(i64::MIN))], "permit: all"),
        // What is not of its type, or cannot be represented, errs where a rule reads it.
        (vec![("amount", word_of("1000"))], "deny: much"),
        (vec![("amount", ArgumentFact::Unreadable)], "deny: much"),
        (vec![("fee", long(10))], "permit: all"),
        (vec![("fee", long(11))], "deny: fee"),
        (vec![("fee", ArgumentFact::Unreadable)], "deny: fee"),
        (vec![("note", ArgumentFact::Unreadable)], "permit: all"),
        (vec![("price", long(7)), ("extra", long(5_000))], "permit: all"),
        (vec![("currency", word_of("USD"))], "deny: dollar"),
        (vec![("currency", word_of("ＵＳＤ"))], "permit: all"),
        (vec![("tags", tags(vec![word_of("x"), word_of("USD")]))], "deny: dollar"),
        (vec![("tags", tags(vec![word_of("x"), ArgumentFact::Unreadable]))], "deny: dollar"),
    ] {
        assert_eq!(word(&rules, &alice, &pay.target, &NOON, &paid(&pairs)), expected, "{pairs:?}");
    }
    let without_amount = facts(&[("currency", word_of("EUR")), ("tags", tags(Vec::new()))]);
    assert_eq!(word(&rules, &alice, &pay.target, &NOON, &without_amount), "deny: much");
    // Arguments that nobody read.
    let unread = ArgumentFacts::default();
    assert_eq!(word(&rules, &alice, &pay.target, &NOON, &unread), "deny: much fee dollar");
}

#[test]
fn a_policy_that_does_not_fit_a_tools_types_is_reported_and_denies_that_tool_alone() {
    let cedar = format!(
        "{ALL} @id(\"x\") forbid(principal, action in Action::\"call\", resource in Plugin::\"pay\") when {{ context.args.amount > 1000 }};"
    );
    let (pay, other) = (plugin("pay", "", &[]), plugin("other", "", &[]));
    let arguments = [("amount", ArgumentType::Long)];
    let texts = [("amount", ArgumentType::Text)];
    let hidden = [("amount", ArgumentType::Hidden)];
    let optional = [("amount", ArgumentType::Optional(Box::new(ArgumentType::Long)))];
    let served = [
        served(&tool("pay_right", &pay), &arguments),
        served(&tool("pay_text", &pay), &texts),
        served(&tool("pay_hidden", &pay), &hidden),
        served(&tool("pay_optional", &pay), &optional),
        served(&tool("pay_none", &pay), &[]),
        served(&tool("read", &pay), &arguments),
        served(&tool("other_text", &other), &texts),
    ];
    let set = RuleSet::new(text(Vec::new(), &cedar)).unwrap();
    let (rules, misfits) = set.bind(&served);
    let found: Vec<(&str, &str)> =
        misfits.iter().map(|misfit| (misfit.tool.as_str(), misfit.rule.as_str())).collect();
    let wrong = ["pay_text", "pay_hidden", "pay_optional", "pay_none", "read"];
    assert_eq!(found, wrong.map(|tool| (tool, "x")));
    assert!(misfits.iter().all(|misfit| !misfit.why.is_empty() && misfit.plugin.as_str() == "pay"));
    let alice = user("corp/a", &[], &[]);
    let words: Vec<String> = served
        .iter()
        .map(|tool| word(&rules, &alice, &tool.target, &NOON, &facts(&[("amount", ArgumentFact::Long(1))])))
        .collect();
    let denied = "deny: x";
    assert_eq!(words, ["permit: all", denied, denied, denied, denied, denied, "permit: all"]);
}

#[test]
fn a_tool_that_is_named_like_an_action_gets_no_right_from_it() {
    let cedar = "@id(\"reads\") permit(principal, action in [Action::\"read\", Action::\"get\"], resource);
@id(\"calls\") permit(principal in Group::\"corp/staff\", action in Action::\"call\", resource);";
    let plain = plugin("a", "", &[]);
    let served = ["call", "read", "get"].map(|name| served(&tool(name, &plain), &[]));
    let rules = rules(text(Vec::new(), cedar), &served);
    let resource = target(TargetKind::Resource("a://b".into()), &plain);
    let prompt = target(TargetKind::Prompt("call".into()), &plain);
    let (alice, staff) = (user("corp/a", &[], &[]), user("corp/a", &["corp/staff"], &[]));
    for tool in &served {
        assert_eq!(word(&rules, &alice, &tool.target, &NOON, &facts(&[])), "hidden: ");
        assert_eq!(word(&rules, &staff, &tool.target, &NOON, &facts(&[])), "permit: calls");
    }
    for other in [&resource, &prompt] {
        assert_eq!(word(&rules, &alice, other, &NOON, &facts(&[])), "permit: reads");
    }
}

#[test]
fn a_client_that_is_named_like_a_person_has_no_right_of_the_person() {
    let cedar = "@id(\"alice\") permit(principal == User::\"corp/alice\", action, resource);
@id(\"local\") permit(principal is Local, action, resource);";
    let a = served(&tool("a_b", &plugin("a", "", &[])), &[]);
    let rules = rules(text(Vec::new(), cedar), std::slice::from_ref(&a));
    let callers: [(Principal, &str); 5] = [
        (user("corp/alice", &[], &[]), "permit: alice"),
        (service("corp/alice"), "hidden: "),
        (user("partner/alice", &[], &[]), "hidden: "),
        (service("apikey/corp/alice"), "hidden: "),
        (local(), "permit: local"),
    ];
    for (caller, expected) in callers {
        assert_eq!(word(&rules, &caller, &a.target, &NOON, &facts(&[])), expected, "{caller}");
    }
}
