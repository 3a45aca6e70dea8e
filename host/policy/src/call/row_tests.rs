//! Rows: what each set covers, and which texts are refused.

use super::fixtures_tests::*;
use super::row::Row;
use super::*;
use crate::principal::{CallerIdentity, IdentityKind, Principal};

fn row(who: WhoText, tools: Option<ToolsText>) -> RowText {
    RowText { id: "r".to_owned(), who, tools, ..RowText::default() }
}

fn who(set: impl FnOnce(&mut WhoText)) -> Row {
    let mut who = WhoText::default();
    set(&mut who);
    Row::check_all(&[row(who, Some(ToolsText::default()))]).unwrap().remove(0)
}

#[test]
fn each_set_about_the_caller_covers_those_who_are_in_it() {
    let alice = user("corp/alice", &["corp/staff", "corp/ops"], &["a", "b"]);
    let robot = service("corp/alice");
    let key = service("apikey/ci");
    let callers: [&Principal; 5] = [&alice, &robot, &key, &local(), &host()];
    for (name, row, covered) in [
        ("any credential", who(|_| {}), [true, true, true, false, false]),
        (
            "a group of some",
            who(|who| who.groups = list(&["x/y", "corp/ops"])),
            [true, false, false, false, false],
        ),
        ("another issuer's group", who(|who| who.groups = list(&["partner/ops"])), [false; 5]),
        ("all scopes", who(|who| who.scopes = list(&["a", "b"])), [true, false, false, false, false]),
        ("a scope too many", who(|who| who.scopes = list(&["a", "c"])), [false; 5]),
        ("a client", who(|who| who.clients = list(&["editor", "x"])), [true, true, true, false, false]),
        ("another client", who(|who| who.clients = list(&["x"])), [false; 5]),
        ("users", who(|who| who.kinds = list(&["user"])), [true, false, false, false, false]),
        ("local callers", who(|who| who.kinds = list(&["local"])), [false, false, false, true, false]),
        (
            "a person, not the client of that name",
            who(|who| who.subjects = list(&["corp/alice"])),
            [true, false, false, false, false],
        ),
        ("a key", who(|who| who.subjects = list(&["apikey/ci"])), [false, false, true, false, false]),
        (
            "a client, said so",
            who(|who| (who.subjects, who.kinds) = (list(&["corp/alice"]), list(&["service"]))),
            [false, true, false, false, false],
        ),
        (
            "all sets must hold",
            who(|who| (who.groups, who.kinds) = (list(&["corp/ops"]), list(&["service", "local"]))),
            [false; 5],
        ),
    ] {
        assert_eq!(callers.map(|caller| row.covers_caller(caller)), covered, "{name}");
    }
}

#[test]
fn a_group_of_another_issuer_is_another_group_whatever_it_is_called() {
    let row = who(|who| who.groups = list(&["corp/admins"]));
    for group in ["partner/corp/admins", "corp/Admins", "corp/admins ", "corp/admins/x", "corp//admins"] {
        let groups = set(&[group]);
        let mallory = CallerIdentity { groups, ..identity(IdentityKind::User, "partner/mallory") };
        assert!(!row.covers_caller(&caller(mallory)), "{group}");
    }
}

fn targets() -> [Target; 6] {
    let docs = plugin("docs", "reads", &["house"]);
    let mail = plugin("mail", "reads writes out", &[]);
    let resource = |uri: &str, of| target(TargetKind::Resource(uri.into()), of);
    let prompt = |name: &str, of| target(TargetKind::Prompt(name.into()), of);
    [
        tool("docs_find", &docs),
        tool("mail_send", &mail),
        resource("docs://a", &docs),
        resource("mail://a", &mail),
        prompt("ask", &docs),
        prompt("send", &mail),
    ]
}

fn tools(set: fn(&mut ToolsText)) -> Option<ToolsText> {
    let mut tools = ToolsText::default();
    set(&mut tools);
    Some(tools)
}

fn covering(
    tools: Option<ToolsText>,
    resources: Option<Vec<String>>,
    prompts: Option<Vec<String>>,
) -> RowText {
    RowText { resources, prompts, ..row(WhoText::default(), tools) }
}

#[test]
fn each_set_about_the_target_covers_what_is_in_it() {
    let targets = targets();
    for (name, row, covered) in [
        ("everything", covering(tools(|_| {}), None, None), [true; 6]),
        (
            "a plugin",
            covering(tools(|it| it.plugins = list(&["docs"])), None, None),
            [true, false, true, false, true, false],
        ),
        (
            "names are of tools",
            covering(tools(|it| it.names = list(&["docs_find"])), None, None),
            [true, false, false, false, false, false],
        ),
        (
            "a name of another plugin",
            covering(
                tools(|it| (it.names, it.plugins) = (list(&["docs_find"]), list(&["mail"]))),
                None,
                None,
            ),
            [false; 6],
        ),
        (
            "no effects but reading",
            covering(tools(|it| it.effects_at_most = list(&["reads"])), None, None),
            [true, false, true, false, true, false],
        ),
        ("no effects", covering(tools(|it| it.effects_at_most = list(&[])), None, None), [false; 6]),
        (
            "signed",
            covering(tools(|it| it.signed_by = list(&["house", "x"])), None, None),
            [true, false, true, false, true, false],
        ),
        (
            "resources by their beginning",
            covering(None, list(&["docs://*"]), None),
            [false, false, true, false, false, false],
        ),
        ("a resource", covering(None, list(&["mail://a"]), None), [false, false, false, true, false, false]),
        ("prompts", covering(None, None, list(&["se*", "other"])), [false, false, false, false, false, true]),
        (
            "resources of a plugin that are named, and its prompts",
            covering(tools(|it| it.plugins = list(&["docs"])), list(&["mail://*"]), None),
            [true, false, false, false, true, false],
        ),
    ] {
        let row = Row::check_all(&[row]).unwrap().remove(0);
        let found: Vec<bool> = targets.iter().map(|target| row.covers_target(target)).collect();
        assert_eq!(found, covered, "{name}");
    }
}

#[test]
fn everything_that_is_wrong_with_rows_is_said_at_once_with_its_key() {
    let mut bad = row(
        WhoText {
            groups: list(&["staff", "corp/a", "/x", "corp/\u{202e}"]),
            scopes: list(&["a b"]),
            clients: list(&[]),
            kinds: list(&["users"]),
            subjects: list(&["corp/"]),
        },
        Some(ToolsText {
            plugins: list(&["Docs"]),
            names: list(&["*"]),
            effects_at_most: list(&["reaches_out"]),
            signed_by: list(&[""]),
        }),
    );
    (bad.id, bad.resources, bad.prompts) = ("a b".to_owned(), list(&["a*b"]), list(&["**"]));
    let good = row(WhoText::default(), Some(ToolsText::default()));
    let nobody = WhoText { kinds: list(&["local"]), groups: list(&["corp/a"]), ..WhoText::default() };
    let nobody = RowText { id: "l".to_owned(), ..row(nobody, Some(ToolsText::default())) };
    let nothing = RowText { id: "n".to_owned(), ..RowText::default() };
    let rows = vec![good.clone(), bad, good, nothing, nobody];
    let found: Vec<String> = problems(text(rows, "")).into_iter().map(|problem| problem.at).collect();
    assert_eq!(
        found,
        [
            "allow[1].id",
            "allow[1].who.groups[0]",
            "allow[1].who.groups[2]",
            "allow[1].who.groups[3]",
            "allow[1].who.scopes[0]",
            "allow[1].who.clients",
            "allow[1].who.kinds[0]",
            "allow[1].who.subjects[0]",
            "allow[1].tools.plugins[0]",
            "allow[1].tools.names[0]",
            "allow[1].tools.effects_at_most[0]",
            "allow[1].tools.signed_by[0]",
            "allow[1].resources[0]",
            "allow[1].prompts[0]",
            "allow[2].id",
            "allow[3]",
            "allow[4].who.kinds",
        ]
    );
}

#[test]
fn the_number_of_rows_and_of_their_entries_is_bounded() {
    let good = row(WhoText::default(), Some(ToolsText::default()));
    let many = vec![good.clone(); crate::limits::rules::ROWS_MAX + 1];
    assert_eq!(problems(text(many, "")).len(), 1);
    let mut long = good;
    long.who.clients = Some(vec!["a".to_owned(); crate::limits::rules::ROW_ENTRIES_MAX + 1]);
    assert_eq!(problems(text(vec![long], "")).len(), 1);
}
