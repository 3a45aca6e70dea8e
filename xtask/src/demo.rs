//! `cargo xtask demo`: from a clone to a server with signed plugins, and calls through it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::guests;
use crate::shell::{self, Build, Outcome};

/// End of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// On Ctrl-C.
    CtrlC,
    /// After the calls.
    OneCall,
}

/// Token for the demo's web service. Not a secret: it protects nothing.
const TOKEN: &str = "demo-token-that-no-plugin-sees";

/// Builds everything, sets it up and serves it.
pub(crate) fn run(until: Until, build: Build) -> Outcome {
    let profile = if build == Build::Release { "release" } else { "debug" };
    let is_first = !shell::target()?.join(profile).join("toolgate").exists();
    eprintln!("{}", announcement(build, is_first));
    step(1, "the compiler for plugins");
    let toolchain = guests::toolchain()?;
    step(2, "the program; cargo shows how many crates are left");
    let toolgate = shell::build_toolgate(build)?;
    step(3, "the example plugins");
    let built = guests::folder()?;
    for plugin in guests::plugins()? {
        guests::build_plugin(toolchain, &toolgate, &plugin, &built)?;
    }
    step(4, "signing, approving, serving, a call of each plugin");
    serve_it(until, &toolgate)
}

/// Announces the expected duration before building.
fn announcement(build: Build, is_first: bool) -> String {
    let time = match (is_first, build) {
        (false, _) => return "Four steps; what was built before is not built again.".to_owned(),
        (true, Build::Release) => {
            "15 minutes, since it is optimised over all crates; without --release about 6"
        }
        (true, Build::Program | Build::Tests) => "6 minutes",
    };
    format!(
        "Four steps. This is the first build here, which compiles a WebAssembly engine: on two cores with nothing else to do about \
         {time}, on a busy machine three times as long. Later ones take seconds."
    )
}

fn step(number: u32, what: &str) {
    eprintln!("── step {number} of 4: {what}");
}

/// Sets up an existing program and plugins, and serves them.
pub(crate) fn serve_it(until: Until, toolgate: &Path) -> Outcome {
    let built = guests::folder()?;
    let folder = shell::target()?.join("demo");
    let service = web_service().map_err(|error| format!("the demo's web service: {error}"))?;
    set_up(toolgate, &built, &folder, service)?;
    let listen = match until {
        Until::CtrlC => "127.0.0.1:7411",
        Until::OneCall => "127.0.0.1:0",
    };
    let (mut server, address) = serve(toolgate, &folder, listen)?;
    let shown = show(address, service);
    match (until, shown) {
        (Until::OneCall, shown) => {
            stop(&mut server)?;
            shown?;
            Ok("demo: one call of each plugin answered".to_owned())
        }
        (Until::CtrlC, Err(why)) => {
            stop(&mut server)?;
            Err(why)
        }
        (Until::CtrlC, Ok(())) => {
            how_to_connect(toolgate, &folder, address);
            let status = server.wait().map_err(|error| error.to_string())?;
            Ok(format!("demo: the server ended with {status}"))
        }
    }
}

/// Writes missing keys, plugins, signatures and configuration.
fn set_up(toolgate: &Path, built: &Path, folder: &Path, service: SocketAddr) -> Outcome<()> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for name in ["plugins", "docs", "notes", "secrets", "keys"] {
        std::fs::create_dir_all(folder.join(name)).map_err(failed)?;
    }
    let key = folder.join("keys/demo");
    if !key.exists() {
        shell::run(Command::new(toolgate).args(["key", "generate", "--out"]).arg(&key))?;
    }
    for name in ["hello", "files", "fetch", "notes"] {
        let plugin = folder.join(format!("plugins/{name}.wasm"));
        let fresh = std::fs::read(built.join(format!("{name}.wasm"))).map_err(failed)?;
        let signature = PathBuf::from(format!("{}.sigstore.json", plugin.display()));
        if std::fs::read(&plugin).is_ok_and(|old| old == fresh) && signature.exists() {
            continue;
        }
        std::fs::write(&plugin, fresh).map_err(failed)?;
        shell::run(Command::new(toolgate).arg("sign").arg(&plugin).arg("--key").arg(&key))?;
    }
    write(
        &folder.join("docs/welcome.txt"),
        "Welcome to Toolgate.\nThis file is all that the files plugin sees.\n",
        0o644,
    )?;
    write(&folder.join("secrets/demo-token"), TOKEN, 0o600)?;
    write(&folder.join("trust.toml"), TRUST, 0o644)?;
    write(&folder.join("toolgate.toml"), &CONFIG.replace("PORT", &service.port().to_string()), 0o644)?;
    let mut approve = Command::new(toolgate);
    approve.current_dir(folder).args(["plugin", "approve", "--all", "--yes", "--by", "the demo"]);
    shell::run(approve.stdout(Stdio::null()))
}

/// Trust policy for one key, `keys/demo`.
pub(crate) const TRUST: &str = r#"# Whom this demo trusts: one key, made on this machine.
version = 1

[[signer]]
id = "demo"
key = "keys/demo.pub"

[[role]]
name = "publisher"
threshold = 1
signers = ["demo"]

[[rule]]
plugin = "*"
require = ["publisher"]
"#;

const CONFIG: &str = r#"# Four plugins, each with what it needs and no more.
[trust]
policy = "trust.toml"

[[plugin]]
name = "hello"
source = "file:plugins/hello.wasm"          # no grant: pure computation

[[plugin]]
name = "files"
source = "file:plugins/files.wasm"
[plugin.grant]
files = [{ host = "docs", guest = "/docs", access = "read" }]

[[plugin]]
name = "notes"
source = "file:plugins/notes.wasm"
[plugin.grant]
files = [{ host = "notes", guest = "/notes", access = "read-write" }]

[[plugin]]
name = "fetch"
source = "file:plugins/fetch.wasm"
[plugin.grant]
# A web service that this demo runs on this machine, which is why http and private are needed.
http = [{ scheme = "http", host = "127.0.0.1", port = PORT, methods = ["GET"], paths = ["/v1/*"], secret = "demo-token", private = true }]

[[secret]]
name = "demo-token"
file = "secrets/demo-token"
"#;

/// Writes a file with a mode.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Outcome<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)
}

/// Starts the server and waits for its listening address.
pub(crate) fn serve(toolgate: &Path, folder: &Path, listen: &str) -> Outcome<(Child, SocketAddr)> {
    let mut command = Command::new(toolgate);
    command.args(["serve", "--listen", listen, "--config"]).arg(folder.join("toolgate.toml"));
    eprintln!("$ toolgate serve --listen {listen} --config {}", folder.join("toolgate.toml").display());
    let mut server =
        command.stderr(Stdio::piped()).spawn().map_err(|error| format!("toolgate serve: {error}"))?;
    let stderr = server.stderr.take().ok_or("toolgate serve has no stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut said = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        let address = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .and_then(|at| at.parse().ok());
        if let Some(address) = address {
            // The log goes on and must be drained.
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
            return Ok((server, address));
        }
        said.push(line);
    }
    drop(server.wait());
    Err(format!("the server did not start:\n{}", said.join("\n")))
}

/// One call of each plugin, as a client makes it.
fn show(address: SocketAddr, service: SocketAddr) -> Outcome<()> {
    let tools = request(address, "tools/list", &json!({}))?;
    let names: Vec<&str> = tools
        .pointer("/result/tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("name")?.as_str())
        .collect();
    println!("\ntools: {}\n", names.join(", "));
    for (tool, arguments) in [
        ("hello_greet", json!({ "name": "world", "style": "excited" })),
        ("files_read", json!({ "path": "/docs/welcome.txt" })),
        ("notes_write", json!({ "name": "first", "text": "written by a sandboxed plugin" })),
        ("notes_read", json!({ "name": "first" })),
        ("fetch_get", json!({ "url": format!("http://{service}/v1/status") })),
    ] {
        let answer = request(address, "tools/call", &json!({ "name": tool, "arguments": arguments }))?;
        if answer.pointer("/result/isError") != Some(&Value::Bool(false)) {
            return Err(format!("{tool} {arguments} answered {answer}"));
        }
        let text = answer.pointer("/result/content/0/text").and_then(Value::as_str).unwrap_or("(no result)");
        println!("{tool} {arguments}\n  → {}", text.trim_end().replace('\n', "\n    "));
        if text.contains(TOKEN) {
            return Err("the plugin saw the token".to_owned());
        }
    }
    println!();
    Ok(())
}

/// Sends one request of MCP 2026-07-28, which needs no session.
fn request(address: SocketAddr, method: &str, params: &Value) -> Outcome<Value> {
    let mut params = params.clone();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let name = params
        .get("name")
        .and_then(Value::as_str)
        .map(|name| format!("Mcp-Name: {name}\r\n"))
        .unwrap_or_default();
    if let Some(params) = params.as_object_mut() {
        params.insert("_meta".to_owned(), meta);
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: {method}\r\n{name}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("{method}: {error}"))?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).map_err(|_| format!("{method}: the server answered {answer}"))
}

/// A web service that requires a token and reports whether it was sent.
fn web_service() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            drop(answer(stream));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut authorised = false;
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            break;
        }
        authorised |= line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}"));
    }
    let text = if authorised {
        "the service was given its token, by the host"
    } else {
        "the service wants its token"
    };
    let status = if authorised { "200 OK" } else { "401 Unauthorized" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn how_to_connect(toolgate: &Path, folder: &Path, address: SocketAddr) {
    let config = folder.join("toolgate.toml");
    let stdio = json!({ "mcpServers": { "toolgate": {
        "command": toolgate, "args": ["serve", "--stdio", "--config", config],
    } } });
    println!("Over HTTP, in a client that takes a URL:\n  http://{address}/mcp\n");
    println!("Over stdio, in Claude Desktop (claude_desktop_config.json) or Cursor (mcp.json):\n{stdio:#}\n");
    println!("Serving until Ctrl-C.");
}

/// Stops the server.
pub(crate) fn stop(server: &mut Child) -> Outcome<()> {
    // The signal of a service manager, so that the shutdown is the same.
    let pid = server.id().to_string();
    shell::output(Command::new("kill").arg(&pid))?;
    let status = server.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("the server ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_build_is_announced_with_the_time_that_it_takes() {
        assert!(announcement(Build::Program, true).contains("about 6 minutes"));
        assert!(announcement(Build::Release, true).contains("15 minutes"));
        assert!(!announcement(Build::Program, false).contains("minutes"));
    }
}
