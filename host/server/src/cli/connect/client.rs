//! MCP clients, and path and form of their server lists. From the clients' documentation, November 2026.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};

/// An MCP client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Client {
    ClaudeDesktop,
    ClaudeCode,
    Vscode,
    Cursor,
    Windsurf,
    Zed,
    Codex,
    Gemini,
    Chatgpt,
    Inspector,
}

/// Route from client to server.
pub(super) enum Transport {
    /// The client starts it.
    Stdio { program: String, arguments: Vec<String> },
    /// The server listens on this machine.
    Http { listen: SocketAddr },
    /// The server has an address that may be another machine's.
    Elsewhere { url: String },
}

/// Steps that configure a client.
#[derive(Debug)]
pub(super) enum Setup {
    /// An entry in one of the client's files.
    File(Entry),
    /// A command to run.
    Command(Vec<String>),
    /// Steps in the client's own settings.
    Settings(String),
}

/// An entry in a client's list of servers.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: PathBuf,
    pub(super) format: Format,
    /// The key of the list.
    pub(super) list: &'static str,
    /// The key in the list.
    pub(super) name: String,
    pub(super) value: Value,
    /// Step after the entry is written.
    pub(super) afterwards: &'static str,
    /// A command that has the same effect.
    pub(super) instead: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// JSON, in which clients take comments.
    Json,
    Toml,
}

impl Transport {
    fn url(&self) -> Option<String> {
        match self {
            Self::Stdio { .. } => None,
            Self::Http { listen } => Some(format!("http://{}/mcp", reachable(*listen))),
            Self::Elsewhere { url } => Some(url.clone()),
        }
    }
}

/// Address at which this machine reaches a listener: loopback for an unspecified address.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

impl Client {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Vscode => "VS Code",
            Self::Cursor => "Cursor",
            Self::Windsurf => "Windsurf",
            Self::Zed => "Zed",
            Self::Codex => "Codex",
            Self::Gemini => "Gemini CLI",
            Self::Chatgpt => "ChatGPT",
            Self::Inspector => "MCP Inspector",
        }
    }

    /// The setup steps for this client.
    ///
    /// # Errors
    /// The reason why the client cannot reach the server like this, with a remedy.
    pub(super) fn setup(self, transport: &Transport, name: &str) -> Result<Setup, String> {
        let url = transport.url();
        let (file, list, afterwards) = match self {
            Self::Chatgpt => return connector(transport, CHATGPT).map(Setup::Settings),
            Self::Inspector => return Ok(Setup::Command(inspector(transport, url))),
            Self::ClaudeDesktop if url.is_some() => {
                return connector(transport, CLAUDE_DESKTOP).map(Setup::Settings);
            }
            Self::ClaudeDesktop => (
                claude_desktop_folder()?.join("claude_desktop_config.json"),
                "mcpServers",
                "Quit Claude Desktop and start it again.",
            ),
            Self::ClaudeCode => (
                here()?.join(".mcp.json"),
                "mcpServers",
                "Start `claude` in this folder and allow the server; /mcp shows it.",
            ),
            Self::Vscode => (
                here()?.join(".vscode/mcp.json"),
                "servers",
                "Open this folder in VS Code and run the command \"MCP: List Servers\".",
            ),
            Self::Cursor => (
                home()?.join(".cursor/mcp.json"),
                "mcpServers",
                "Cursor lists it in its settings, under MCP.",
            ),
            Self::Windsurf => (
                home()?.join(".codeium/windsurf/mcp_config.json"),
                "mcpServers",
                "Press the refresh button in Windsurf's list of MCP servers.",
            ),
            Self::Zed => (
                config_home()?.join("zed/settings.json"),
                "context_servers",
                "Zed lists it in the settings of its Agent Panel.",
            ),
            Self::Codex => (codex_home()?.join("config.toml"), "mcp_servers", "`codex mcp list` shows it."),
            Self::Gemini => {
                (home()?.join(".gemini/settings.json"), "mcpServers", "`gemini mcp list` shows it.")
            }
        };
        let format = if self == Self::Codex { Format::Toml } else { Format::Json };
        let value = self.value(transport, url.as_deref());
        let instead = self.instead(transport, url, name);
        Ok(Setup::File(Entry { file, format, list, name: name.to_owned(), value, afterwards, instead }))
    }

    /// The entry in this client's form.
    fn value(self, transport: &Transport, url: Option<&str>) -> Value {
        let typed = matches!(self, Self::ClaudeCode | Self::Vscode);
        match (transport, url) {
            (Transport::Stdio { program, arguments }, _) => {
                if typed {
                    json!({ "type": "stdio", "command": program, "args": arguments })
                } else {
                    json!({ "command": program, "args": arguments })
                }
            }
            (_, url) => match self {
                Self::Windsurf => json!({ "serverUrl": url }),
                Self::Gemini => json!({ "httpUrl": url }),
                _ if typed => json!({ "type": "http", "url": url }),
                _ => json!({ "url": url }),
            },
        }
    }

    /// The client's own command that adds the entry.
    fn instead(self, transport: &Transport, url: Option<String>, name: &str) -> Option<Vec<String>> {
        let program = match self {
            Self::ClaudeCode => "claude",
            Self::Codex => "codex",
            _ => return None,
        };
        let mut command: Vec<String> = [program, "mcp", "add"].map(str::to_owned).into();
        match (transport, url) {
            (Transport::Stdio { program, arguments }, _) => {
                command.extend([name.to_owned(), "--".to_owned(), program.clone()]);
                command.extend(arguments.iter().cloned());
            }
            (_, url) if self == Self::ClaudeCode => {
                command.extend(["--transport".to_owned(), "http".to_owned(), name.to_owned()]);
                command.extend(url);
            }
            (_, url) => {
                command.extend([name.to_owned(), "--url".to_owned()]);
                command.extend(url);
            }
        }
        Some(command)
    }
}

impl Setup {
    /// Instructions for people.
    pub(super) fn text(&self, client: Client) -> String {
        let title = client.title();
        match self {
            Self::Settings(text) => text.clone(),
            Self::Command(command) => format!("Run:\n\n{}", shell(command)),
            Self::File(entry) => {
                let instead = entry.instead.as_ref().map_or(String::new(), |command| {
                    format!("\n\nOr let the client do it:\n\n{}", shell(command))
                });
                format!(
                    "{title} reads {}. Add this to it (--write does so):\n\n{}{instead}\n\n{}",
                    entry.file.display(),
                    entry.snippet().trim_end(),
                    entry.afterwards,
                )
            }
        }
    }
}

impl Entry {
    /// A file of the client's format with only this entry.
    pub(super) fn snippet(&self) -> String {
        let document = json!({ self.list: { self.name.as_str(): self.value } });
        match self.format {
            Format::Json => format!("{document:#}\n"),
            Format::Toml => toml::to_string(&document).unwrap_or_else(|error| error.to_string()),
        }
    }
}

/// A client whose vendor connects to the server over the internet.
struct Connector {
    title: &'static str,
    steps: &'static str,
    otherwise: &'static str,
}

const CHATGPT: Connector = Connector {
    title: "ChatGPT",
    steps: "In ChatGPT on the web: Settings, Apps & Connectors, Advanced settings: switch developer mode on. Then Create, and as MCP server URL:",
    otherwise: "",
};

const CLAUDE_DESKTOP: Connector = Connector {
    title: "Claude Desktop",
    steps: "In Claude Desktop: Settings, Connectors, Add custom connector, and as URL:",
    otherwise: " Without --http and --url it starts Toolgate on this machine itself.",
};

fn connector(transport: &Transport, client: Connector) -> Result<String, String> {
    let Connector { title, steps, otherwise } = client;
    match transport {
        Transport::Elsewhere { url } if url.starts_with("https://") => Ok(format!(
            "{steps}\n\n{url}\n\nToolgate has no login of its own yet: let a proxy before it ask who calls."
        )),
        _ => Err(format!(
            "{title} reaches servers over the internet and HTTPS alone: put a proxy with a certificate and a login before \
             `toolgate serve`, and give its address with --url.{otherwise}"
        )),
    }
}

fn inspector(transport: &Transport, url: Option<String>) -> Vec<String> {
    let mut command: Vec<String> = ["npx", "@modelcontextprotocol/inspector"].map(str::to_owned).into();
    match (transport, url) {
        (Transport::Stdio { program, arguments }, _) => {
            command.push("--".to_owned());
            command.push(program.clone());
            command.extend(arguments.iter().cloned());
        }
        (_, url) => {
            command.extend(["--transport", "http", "--server-url"].map(str::to_owned));
            command.extend(url);
        }
    }
    command
}

/// A command in POSIX shell syntax.
fn shell(command: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+".contains(c);
    let word = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn here() -> Result<PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("the current folder: {error}"))
}

fn home() -> Result<PathBuf, String> {
    folder_of("HOME").ok_or_else(|| "HOME is not set, so the client's file cannot be found".to_owned())
}

/// An absolute path from an environment variable.
fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// XDG Base Directory Specification, "Environment variables".
fn config_home() -> Result<PathBuf, String> {
    folder_of("XDG_CONFIG_HOME").map_or_else(|| Ok(home()?.join(".config")), Ok)
}

fn codex_home() -> Result<PathBuf, String> {
    folder_of("CODEX_HOME").map_or_else(|| Ok(home()?.join(".codex")), Ok)
}

fn claude_desktop_folder() -> Result<PathBuf, String> {
    if cfg!(target_os = "macos") {
        return Ok(home()?.join("Library/Application Support/Claude"));
    }
    Ok(config_home()?.join("Claude"))
}
