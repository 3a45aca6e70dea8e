//! `policy check|show|explain|test`, and the pages' own examples of rules.

use toolgate_tests::{Ended, World, guest, test_guest};

/// `[auth]` with an issuer whose keys are a file.
const AUTH: &str = r#"
[auth]
[[auth.issuer]]
id = "corp"
issuer = "https://login.example.com/realms/corp"
jwks = "file:keys.json"
scopes = ["tools:write"]
"#;

const ALICE: &str = "kind = \"user\"\nissuer = \"corp\"\nsubject = \"alice\"\ngroups = [\"corp/support\"]\n";

fn hello(rules: &str) -> World {
    World::new()
        .plugin("hello", &guest::plugin("hello"))
        .server("public_url = \"https://tools.example.com\"")
        .more(AUTH)
        .more(rules)
        .file("alice.toml", ALICE)
}

const ROW: &str = "[[allow]]\nid = \"support\"\nwho = { groups = [\"corp/support\"] }\ntools = { names = [\"hello_add\"] }\n";

fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{}", ended.said());
    for word in words {
        assert!(ended.said().contains(word), "{word}: {}", ended.said());
    }
}

#[test]
fn rules_are_checked_with_every_problem_and_each_rule_without_effect() {
    let good = hello(ROW);
    assert_says(&good.run(&["policy", "check"]), 0, &["1 rule, bound to 5 tools"]);
    let json = good.run_as_is(&["policy", "check", "--json"]).json();
    assert_eq!(json, serde_json::json!({ "rules": ["support"], "warnings": [], "misfits": [] }));
    let dead =
        hello("[[allow]]\nid = \"a\"\nwho = { groups = [\"crop/x\"] }\ntools = { plugins = [\"helo\"] }\n");
    let words = [
        "warning: rule a: group `crop/x` is of no issuer",
        "warning: rule a: plugin `helo` is not served",
        "no rule permits a tool that is served",
    ];
    assert_says(&dead.run(&["policy", "check"]), 0, &words);
    let wrong = hello(
        "[[allow]]\nid = \"a b\"\ntools = {}\n[[allow]]\nid = \"c\"\nwho = { kinds = [\"robot\"] }\ntools = {}\n",
    );
    assert_says(&wrong.run(&["policy", "check"]), 2, &["allow[0].id", "allow[1].who.kinds"]);
}

#[test]
fn a_policy_that_does_not_fit_a_plugins_arguments_is_refused_by_the_check() {
    let policy = r#"@id("limit") forbid(principal, action == Action::"hello_add", resource) when { context.args.amount > 1 };"#;
    let world = hello("[access]\npolicy = \"access.cedar\"\n").file("access.cedar", policy);
    assert_says(&world.run(&["policy", "check"]), 3, &["plugin hello: ", "limit", "amount"]);
    let explained = world.run_as_is(&["policy", "explain", "--as", "local", "hello_add"]);
    assert_says(&explained, 3, &["plugin hello: ", "amount"]);
}

#[test]
fn rows_are_shown_as_policies_that_the_program_takes_back() {
    let world = hello(ROW);
    let shown = world.run(&["policy", "show"]);
    assert_says(&shown, 0, &[r#"@id("support")"#, "permit"]);
    let again = hello("[access]\npolicy = \"access.cedar\"\n").file("access.cedar", &shown.stdout);
    assert_says(&again.run(&["policy", "check"]), 0, &["1 rule, bound to 5 tools"]);
    for (tool, code) in [("hello_add", 0), ("hello_area", 3)] {
        let explained = again.run_as_is(&["policy", "explain", "--as", "alice.toml", tool]);
        assert_eq!(explained.code, code, "{}", explained.said());
    }
    assert_says(&again.run_as_is(&["policy", "show"]), 0, &["there are no [[allow]] rows", "access.cedar"]);
}

#[test]
fn a_verdict_is_explained_with_the_rules_that_decided_and_those_that_were_near() {
    let rules = format!(
        "{ROW}[[allow]]\nid = \"writers\"\nwho = {{ scopes = [\"tools:write\"] }}\ntools = {{ names = [\"hello_area\"] }}\n[access]\npolicy = \"access.cedar\"\n"
    );
    let limit = r#"@id("limit") @reason("at most 1000") forbid(principal, action == Action::"hello_add", resource) when { context.args.a > 1000 };"#;
    let world = hello(&rules).file("access.cedar", limit);
    world.write();
    let explain =
        |who: &str, more: &[&str]| world.run_as_is(&[&["policy", "explain", "--as", who], more].concat());
    let permitted = explain("alice.toml", &["hello_add"]);
    assert_says(&permitted, 0, &["permitted: user:corp/alice calls hello_add", "by support", "give --args"]);
    assert_says(&explain("alice.toml", &["hello_add", "--args", r#"{"a":1000,"b":1}"#]), 0, &["by support"]);
    let denied = explain("alice.toml", &["hello_add", "--args", r#"{"a":1001,"b":1}"#]);
    assert_says(&denied, 3, &["denied (deny)", "because of limit", "at most 1000"]);
    let unfit = explain("alice.toml", &["hello_add", "--args", r#"{"a":"x"}"#]);
    assert_says(&unfit, 2, &["a", "b"]);
    let scope = explain("alice.toml", &["hello_area"]);
    assert_says(&scope, 3, &["denied (scope)", "lacks the scopes: tools:write"]);
    let hidden = explain("alice.toml", &["hello_greet"]);
    assert_says(
        &hidden,
        3,
        &["denied (hidden)", "no rule permits it", "support does not permit it: tools.names"],
    );
    assert_says(&explain("local", &["hello_add"]), 3, &["local:uid-", "who.kinds"]);
    let json = explain("alice.toml", &["hello_area", "--json"]).json();
    assert_eq!((&json["verdict"], &json["lacksScopes"][0]), (&"scope".into(), &"tools:write".into()));
    assert_says(&explain("alice.toml", &["hello_nothing"]), 3, &["no tool `hello_nothing` is served"]);
    assert!(world.records().is_empty(), "a question is not a call");
}

#[test]
fn a_caller_that_cannot_be_is_refused() {
    let world = hello(ROW).file(
        "bob.toml",
        "kind = \"user\"\nissuer = \"crop\"\nsubject = \"bob\"\ngroups = [\"support\"]\nage = 3\n",
    );
    let ended = world.run(&["policy", "explain", "--as", "bob.toml", "hello_add"]);
    let words =
        ["`crop` is not the id of an [[auth.issuer]]; known: corp, apikey", "write it as rules do", "age"];
    assert_says(&ended, 2, &words);
    let open = World::new().plugin("hello", &guest::plugin("hello")).file("alice.toml", ALICE);
    let ended = open.run(&["policy", "explain", "--as", "alice.toml", "hello_add"]);
    assert_says(&ended, 2, &["there is no [auth], so that every caller is `local`"]);
    assert_says(&open.run_as_is(&["policy", "explain", "--as", "local", "hello_add"]), 0, &["permitted"]);
}

#[test]
fn cases_pass_fail_and_must_cover_each_rule() {
    let case = |tool: &str, expect: &str| {
        format!("[[case]]\nas = \"alice.toml\"\ntool = \"{tool}\"\nexpect = \"{expect}\"\n")
    };
    let world = hello(ROW);
    world.write();
    let test = |text: &str| {
        world.put("tests.toml", text.as_bytes(), 0o644);
        world.run_as_is(&["policy", "test", "tests.toml"])
    };
    let local = "[[case]]\nas = \"local\"\ntool = \"hello_add\"\nexpect = \"hidden\"\n";
    let good = format!("{}by = \"support\"\n{local}", case("hello_add", "permit"));
    assert_says(&test(&good), 0, &["2 passed, 0 failed"]);
    let failing = format!("{good}{}", case("hello_area", "permit"));
    assert_says(
        &test(&failing),
        1,
        &["tests.toml:10: expected permit; denied (hidden)", "2 passed, 1 failed"],
    );
    assert_says(&test(local), 1, &["rule support decides no case", "1 passed, 0 failed"]);
    let other = format!("{}by = [\"another\"]\n", case("hello_add", "permit"));
    assert_says(&test(&other), 1, &["expected to be decided by another; it was by support"]);
    let absent = format!("{good}{}", case("hello_ad", "hidden"));
    assert_says(&test(&absent), 1, &["no tool `hello_ad` is served"]);
    assert_says(&test("[[case]]\nas = 3\ntool = \"x\"\nexpect = \"yes\"\n"), 2, &["`yes` is unknown"]);
}

#[test]
fn explain_names_the_rules_that_cover_a_plugins_tools() {
    let world = hello(ROW);
    let told = world.run(&["explain", "hello"]);
    let words =
        ["access rules:\n", "  hello_add: support\n", "hello_greet, hello_summarize: none, so that nobody"];
    assert_says(&told, 0, &words);
    let json = world.run_as_is(&["explain", "hello", "--json"]).json();
    assert_eq!(json["accessRules"][0], serde_json::json!({ "tools": ["hello_add"], "rules": ["support"] }));
    let open = World::new().plugin("echo", &test_guest("echoing")).run(&["explain", "echo"]);
    assert!(!open.stdout.contains("access rules"), "{}", open.stdout);
}

#[test]
fn check_warns_where_credentials_are_needed_and_nothing_is_permitted() {
    let ended = hello("").run(&["check"]);
    assert_says(&ended, 0, &["no rule permits a tool that is served"]);
    let ended = hello(ROW).run(&["check"]);
    assert!(ended.code == 0 && !ended.said().contains("no rule permits"), "{}", ended.said());
}

/// The blocks of a language in a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(toolgate_tests::root().join("docs").join(page)).unwrap();
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_of_the_page_on_access_rules_do_what_it_says() {
    let page = "access.md";
    let (rows, cases, cedar) = (&blocks(page, "toml")[0], blocks(page, "toml"), blocks(page, "cedar"));
    let house = "[[signer]]\nid = \"house\"\nkey = \"keys/house.pub\"\n[[role]]\nname = \"house\"\nthreshold = 1\nsigners = [\"house\"]\n[[rule]]\nplugin = \"fetch\"\nrequire = [\"house\"]\n";
    let get = r#"http = [{ host = "api.example.com" }]"#;
    let world = World::new()
        .plugin("hello", &guest::plugin("hello"))
        .plugin("notes", &guest::plugin("notes"))
        .folder("notes")
        .grant(r#"files = [{ host = "notes", guest = "/notes", access = "read-write" }]"#)
        .plugin("fetch", &guest::plugin("fetch"))
        .grant(get)
        .plugin("mirror", &test_guest("requesting"))
        .grant(get)
        .trust(&format!("{}{house}", toolgate_tests::world::TRUST))
        .server("public_url = \"https://tools.example.com\"")
        .more(AUTH)
        .more(rows)
        .more("[access]\npolicy = \"access.cedar\"\n")
        .file("access.cedar", &cedar[0])
        .file("tests.toml", cases.iter().find(|block| block.contains("[[case]]")).unwrap());
    world.key("house");
    world.sign("fetch", "house");
    assert_says(&world.run(&["policy", "check"]), 0, &["bound to 15 tools"]);
    assert_says(&world.run_as_is(&["policy", "test", "tests.toml"]), 0, &["0 failed"]);
}
