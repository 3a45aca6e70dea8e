//! The first steps of a new user: `init`, `plugin add`, `connect`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use toolgate_tests::client::Transport;
use toolgate_tests::prompt::Prompt;
use toolgate_tests::{World, guest, process, toolgate};

const CONFIG: &str = "fresh/toolgate.toml";

/// A world with a folder that `init` created, and a plugin in it.
fn fresh() -> World {
    let world = World::new().env("XDG_CONFIG_HOME", "");
    let home = world.path("home");
    let world = world.folder("home").env("HOME", home.to_str().unwrap());
    let made = world.run(&["init", "fresh"]);
    assert_eq!(made.code, 0, "{}", made.said());
    world
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path(name)).unwrap_or_default()
}

#[test]
fn init_and_the_commands_that_it_names_give_a_server_with_a_tool() {
    let world = fresh();
    assert_eq!(mode(&world.path("fresh/signing-key")), 0o600);
    assert_eq!(mode(&world.path("fresh/trust.toml")), 0o644);
    assert!(read(&world, "fresh/.gitignore").contains("/signing-key\n"));
    let inside = |words: &[&str]| {
        let output = process::output_of(world.command().current_dir(world.path("fresh")).args(words));
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(inside(&["check"]).trim(), "no plugins are configured");

    // The commands as `init` prints them, except for the client's name and the confirmation.
    let said = world.run_as_is(&["init", "other"]).stdout;
    let commands = said.lines().filter_map(|line| line.trim().strip_prefix("toolgate "));
    let commands: Vec<String> = commands.map(|line| line.replace("CLIENT", "cursor")).collect();
    assert_eq!(commands.len(), 3, "{said}");
    world.put("fresh/hello.wasm", &guest::seven(), 0o644);
    for command in &commands {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.extend(command.starts_with("plugin").then_some("--yes"));
        inside(&words);
    }
    assert!(inside(&["call", "hello_seven"]).contains('7'));
}

#[test]
fn init_writes_nothing_where_one_of_its_files_is_there() {
    for name in ["toolgate.toml", "trust.toml", "signing-key", "signing-key.pub"] {
        let world = World::new().file(&format!("there/{name}"), "mine");
        let refused = world.run(&["init", "there"]);
        assert_eq!(refused.code, 2, "{}", refused.said());
        assert!(refused.stderr.contains(name), "{}", refused.said());
        assert_eq!(std::fs::read_dir(world.path("there")).unwrap().count(), 1);
        assert_eq!(read(&world, &format!("there/{name}")), "mine");
    }
}

#[test]
fn init_says_at_once_that_others_could_change_what_it_wrote() {
    let world = World::new().folder("open");
    std::fs::set_permissions(world.path("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let told = world.run(&["init", "open"]);
    assert_eq!(told.code, 2, "{}", told.said());
    assert!(told.stderr.contains("chmod"), "{}", told.said());
}

#[test]
fn every_line_that_init_wrote_as_an_example_is_one_that_can_be_switched_on() {
    let world = fresh();
    for name in [CONFIG, "fresh/trust.toml"] {
        let text = read(&world, name);
        let is_prose = |line: &str| {
            !line.is_empty() && !line.starts_with('[') && !line.contains(" = ") || line.starts_with('#')
        };
        let switched = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(example) if !is_prose(example) => example,
            _ => line,
        });
        let switched = switched.collect::<Vec<_>>().join("\n");
        assert!(switched.lines().filter(|line| line.starts_with('#')).count() < text.matches("\n#").count());
        world.put(name, switched.as_bytes(), 0o644);
    }
    let checked = world.run_as_is(&["check", "--config", CONFIG]);
    // The configuration is valid; the example's plugin is missing.
    assert!(checked.code == 4 && checked.stdout.contains("plugin fetch: not ok"), "{}", checked.said());
}

/// Each client's configuration file (from its documentation), the key of its server list, and the key of a URL.
const CLIENTS: [(&str, &str, &str, Option<&str>); 8] = [
    ("claude-desktop", "home/.config/Claude/claude_desktop_config.json", "mcpServers", None),
    ("claude-code", ".mcp.json", "mcpServers", Some("url")),
    ("vscode", ".vscode/mcp.json", "servers", Some("url")),
    ("cursor", "home/.cursor/mcp.json", "mcpServers", Some("url")),
    ("windsurf", "home/.codeium/windsurf/mcp_config.json", "mcpServers", Some("serverUrl")),
    ("zed", "home/.config/zed/settings.json", "context_servers", Some("url")),
    ("codex", "home/.codex/config.toml", "mcp_servers", Some("url")),
    ("gemini", "home/.gemini/settings.json", "mcpServers", Some("httpUrl")),
];

fn entry(world: &World, file: &str, list: &str) -> Value {
    let text = read(world, file);
    let document: Value = match file.ends_with(".toml") {
        true => toml::from_str(&text).unwrap(),
        false => serde_json::from_str(&text).unwrap(),
    };
    document[list]["toolgate"].clone()
}

#[test]
fn what_connect_writes_for_a_client_starts_a_server_that_answers_it() {
    let world = fresh();
    for (client, file, list, _) in CLIENTS {
        let written = world.run_as_is(&["connect", client, "--write", "--yes", "--config", CONFIG]);
        assert_eq!(written.code, 0, "{client}: {}", written.said());
        assert_eq!(mode(&world.path(file)), 0o600, "{client}");
        let entry = entry(&world, file, list);
        // From another folder and with an empty environment, as a client may start it.
        let mut server = Command::new(entry["command"].as_str().unwrap())
            .args(entry["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()))
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": client, "version": "1" },
        } });
        let mut stdin = server.stdin.take().unwrap();
        writeln!(stdin, "{hello}").unwrap();
        let mut answer = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        drop(stdin);
        assert!(process::ended(server).status.success());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["result"]["serverInfo"]["name"], "toolgate", "{client}: {answer}");

        let again = world.run_as_is(&["connect", client, "--write", "--yes", "--config", CONFIG]);
        assert!(again.code == 0 && again.stdout.contains("nothing was written"), "{}", again.said());
    }
}

#[test]
fn over_http_connect_names_a_server_that_answers_and_says_when_none_does() {
    let world = fresh();
    let server = World::new().plugin("seven", &guest::seven()).serve(Transport::Http);
    let listen = format!("\n[server]\nlisten = \"{}\"\n", server.address());
    let config = read(&world, CONFIG).replace("\n[server]\n", &listen);
    world.put(CONFIG, config.as_bytes(), 0o644);
    let url = format!("http://{}/mcp", server.address());
    for (client, file, list, key) in CLIENTS {
        let args = ["connect", client, "--http", "--write", "--yes", "--config", CONFIG];
        let written = world.run_as_is(&args);
        match key {
            Some(key) => {
                assert!(written.code == 0 && written.stdout.contains("seven_seven"), "{}", written.said());
                assert_eq!(entry(&world, file, list)[key], url, "{client}");
            }
            None => assert!(written.code == 2 && written.stderr.contains("HTTPS"), "{}", written.said()),
        }
    }
    server.signal("TERM");
    server.wait();
    let silent = world.run_as_is(&["connect", "cursor", "--http", "--config", CONFIG]);
    assert!(silent.code == 1 && silent.stderr.contains("toolgate serve"), "{}", silent.said());
    assert!(silent.stdout.contains(&url), "what to paste is shown all the same");
    let args = ["connect", "cursor", "--http", "--name", "other", "--write", "--yes", "--config", CONFIG];
    assert_eq!(world.run_as_is(&args).code, 1);
    assert!(!read(&world, "home/.cursor/mcp.json").contains("other"));
}

#[test]
fn clients_without_a_file_are_told_what_to_do() {
    let world = fresh();
    let inspector = world.run_as_is(&["connect", "inspector", "--config", CONFIG]);
    assert_eq!(inspector.code, 0, "{}", inspector.said());
    let command = inspector.stdout.lines().find(|line| line.starts_with("npx ")).unwrap();
    assert!(command.contains(toolgate().to_str().unwrap()), "{command}");
    let near = world.run_as_is(&["connect", "chatgpt", "--config", CONFIG]);
    assert!(near.code == 2 && near.stderr.contains("--url"), "{}", near.said());
    let url = "https://tools.example.com/mcp";
    let far = world.run_as_is(&["connect", "chatgpt", "--url", url, "--config", CONFIG]);
    assert!(far.code == 0 && far.stdout.contains(url), "{}", far.said());
    for client in ["chatgpt", "inspector"] {
        let args = ["connect", client, "--url", url, "--write", "--yes", "--config", CONFIG];
        let told = world.run_as_is(&args);
        assert!(told.code == 2 && told.stderr.contains("no file"), "{}", told.said());
    }
}

const SETTINGS: &str = "{\n  // mine\n  \"theme\": \"One\", /* kept */\n  \"context_servers\": {\n    \"other\": { \"command\": \"x\" }, // trailing\n  },\n}\n";

#[test]
fn everything_else_in_a_clients_file_stays_and_a_copy_is_kept() {
    let world = fresh();
    let file = "home/.config/zed/settings.json";
    world.put("home/dotfiles/zed.json", SETTINGS.as_bytes(), 0o640);
    std::fs::create_dir_all(world.path("home/.config/zed")).unwrap();
    symlink(world.path("home/dotfiles/zed.json"), world.path(file)).unwrap();
    let written = world.run_as_is(&["connect", "zed", "--write", "--yes", "--config", CONFIG]);
    assert_eq!(written.code, 0, "{}", written.said());
    let after = read(&world, file);
    for kept in
        ["// mine", "\"theme\": \"One\", /* kept */", "\"other\": { \"command\": \"x\" }", "// trailing"]
    {
        assert!(after.contains(kept), "{kept}: {after}");
    }
    assert!(after.contains("\"toolgate\""), "{after}");
    assert!(world.path(file).symlink_metadata().unwrap().is_symlink(), "a link stays one");
    assert_eq!(mode(&world.path("home/dotfiles/zed.json")), 0o640);
    let copies = toolgate_tests::world::names(&world.path("home/dotfiles"));
    let copy = copies.iter().find(|name| name.contains("before-toolgate")).unwrap();
    assert_eq!(read(&world, &format!("home/dotfiles/{copy}")), SETTINGS);
    assert_eq!(mode(&world.path(&format!("home/dotfiles/{copy}"))), 0o640);

    world.put(
        "home/.codex/config.toml",
        b"# mine\nmodel = \"x\"\n[mcp_servers.other]\ncommand = \"y\" # kept\n",
        0o600,
    );
    let written = world.run_as_is(&["connect", "codex", "--write", "--yes", "--config", CONFIG]);
    assert_eq!(written.code, 0, "{}", written.said());
    let after = read(&world, "home/.codex/config.toml");
    assert!(
        after.starts_with("# mine\nmodel = \"x\"\n[mcp_servers.other]\ncommand = \"y\" # kept\n"),
        "{after}"
    );
}

#[test]
fn a_clients_file_that_cannot_be_read_is_left_alone() {
    let world = fresh();
    let file = "home/.cursor/mcp.json";
    for broken in [
        "{",
        "[]",
        "null",
        "{ \"mcpServers\": [] }",
        "{ \"mcpServers\": {}, \"mcpServers\": { \"a\": {} } }",
        "{ \"mcpServers\": { \"toolgate\": 1, \"toolgate\": 2 } }",
        "{ \"mcpServers\": { \"a\": 1 } } trailing",
    ] {
        world.put(file, broken.as_bytes(), 0o600);
        let refused = world.run_as_is(&["connect", "cursor", "--write", "--yes", "--config", CONFIG]);
        assert_eq!(refused.code, 2, "{broken}: {}", refused.said());
        assert!(refused.stderr.contains("mcp.json"), "{broken}: {}", refused.said());
        assert_eq!(read(&world, file), broken);
        assert_eq!(toolgate_tests::world::names(&world.path("home/.cursor")), ["mcp.json"]);
    }
}

#[test]
fn nothing_is_written_into_a_clients_file_without_a_yes() {
    let world = fresh();
    let file = "home/.cursor/mcp.json";
    let args = ["connect", "cursor", "--write", "--config", CONFIG];
    let nobody = world.run_as_is(&args);
    assert!(nobody.code == 2 && nobody.stderr.contains("--yes"), "{}", nobody.said());
    let (code, shown) = Prompt::start(&world, &args).answer("n");
    assert!(code == 3 && shown.contains("+    \"toolgate\": {"), "{shown}");
    assert!(!world.path(file).exists());
    // Changes that another program writes meanwhile are not lost.
    world.put(file, b"{}", 0o600);
    let prompt = Prompt::start(&world, &args);
    world.put(file, b"{ \"mcpServers\": {} }", 0o600);
    let (code, shown) = prompt.answer("y");
    assert!(code == 4 && shown.contains("meanwhile"), "{shown}");
    assert_eq!(read(&world, file), "{ \"mcpServers\": {} }");
    let (code, shown) = Prompt::start(&world, &args).answer("y");
    assert_eq!(code, 0, "{shown}");
    assert!(read(&world, file).contains("\"toolgate\""));
}
