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
    /// The server listens; at `own`, if that is known to be on this machine.
    Http { url: String, own: Option<SocketAddr> },
}

/// Steps that configure a client.
#[derive(Debug)]
pub(super) enum Setup {
    /// An entry in one of the client's files.
    File(Entry),
    /// A command to run.
    Command(String),
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
    pub(super) instead: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// JSON, in which clients take comments.
    Json,
    Toml,
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
        let is_http = matches!(transport, Transport::Http { .. });
        let (file, afterwards) = match self {
            Self::Chatgpt => return self.connector(transport, CHATGPT, ""),
            Self::Inspector => return Ok(Setup::Command(inspector(transport))),
            Self::ClaudeDesktop if is_http => return self.connector(transport, CLAUDE_DESKTOP, OTHERWISE),
            Self::ClaudeDesktop => {
                let file = claude_desktop_folder()?.join("claude_desktop_config.json");
                (file, "Quit Claude Desktop and start it again.")
            }
            Self::ClaudeCode => {
                let then = "Start `claude` in this folder and allow the server; /mcp shows it.";
                (here()?.join(".mcp.json"), then)
            }
            Self::Vscode => {
                let then = "Open this folder in VS Code and run the command \"MCP: List Servers\".";
                (here()?.join(".vscode/mcp.json"), then)
            }
            Self::Cursor => (home()?.join(".cursor/mcp.json"), "Cursor lists it in its settings, under MCP."),
            Self::Windsurf => {
                let file = home()?.join(".codeium/windsurf/mcp_config.json");
                (file, "Press the refresh button in Windsurf's list of MCP servers.")
            }
            Self::Zed => {
                let file = config_home()?.join("zed/settings.json");
                (file, "Zed lists it in the settings of its Agent Panel.")
            }
            Self::Codex => {
                (folder_or("CODEX_HOME", ".codex")?.join("config.toml"), "`codex mcp list` shows it.")
            }
            Self::Gemini => (home()?.join(".gemini/settings.json"), "`gemini mcp list` shows it."),
        };
        let (list, format) = match self {
            Self::Vscode => ("servers", Format::Json),
            Self::Zed => ("context_servers", Format::Json),
            Self::Codex => ("mcp_servers", Format::Toml),
            _ => ("mcpServers", Format::Json),
        };
        let (value, instead) = (self.value(transport), self.instead(transport, name));
        Ok(Setup::File(Entry { file, format, list, name: name.to_owned(), value, afterwards, instead }))
    }

    /// The entry in this client's form.
    fn value(self, transport: &Transport) -> Value {
        let typed = matches!(self, Self::ClaudeCode | Self::Vscode);
        match (transport, self) {
            (Transport::Stdio { program, arguments }, _) if typed => {
                json!({ "type": "stdio", "command": program, "args": arguments })
            }
            (Transport::Stdio { program, arguments }, _) => json!({ "command": program, "args": arguments }),
            (Transport::Http { url, .. }, Self::Windsurf) => json!({ "serverUrl": url }),
            (Transport::Http { url, .. }, Self::Gemini) => json!({ "httpUrl": url }),
            (Transport::Http { url, .. }, _) if typed => json!({ "type": "http", "url": url }),
            (Transport::Http { url, .. }, _) => json!({ "url": url }),
        }
    }

    /// The client's own command that adds the entry.
    fn instead(self, transport: &Transport, name: &str) -> Option<String> {
        let mut command = match self {
            Self::ClaudeCode => vec!["claude", "mcp", "add"],
            Self::Codex => vec!["codex", "mcp", "add"],
            _ => return None,
        };
        match transport {
            Transport::Stdio { program, arguments } => {
                command.extend([name, "--", program]);
                command.extend(arguments.iter().map(String::as_str));
            }
            Transport::Http { url, .. } if self == Self::ClaudeCode => {
                command.extend(["--transport", "http", name, url]);
            }
            Transport::Http { url, .. } => command.extend([name, "--url", url]),
        }
        Some(shell(&command))
    }

    /// Steps for a client whose vendor connects to the server over the internet.
    fn connector(self, transport: &Transport, steps: &str, otherwise: &str) -> Result<Setup, String> {
        match transport {
            Transport::Http { url, own: None } if url.starts_with("https://") => {
                Ok(Setup::Settings(format!(
                    "{steps}\n\n{url}\n\nToolgate has no login of its own yet: let a proxy before it ask who calls."
                )))
            }
            _ => Err(format!(
                "{} reaches servers over the internet and HTTPS alone: put a proxy with a certificate and a login before \
                 `toolgate serve`, and give its address with --url.{otherwise}",
                self.title()
            )),
        }
    }
}

impl Setup {
    /// Instructions for people.
    pub(super) fn text(&self, client: Client) -> String {
        let title = client.title();
        match self {
            Self::Settings(text) => text.clone(),
            Self::Command(command) => format!("Run:\n\n{command}"),
            Self::File(entry) => {
                let instead = entry.instead.as_ref();
                let instead = instead.map(|command| format!("\n\nOr let the client do it:\n\n{command}"));
                format!(
                    "{title} reads {}. Add this to it (--write does so):\n\n{}{}\n\n{}",
                    entry.file.display(),
                    entry.snippet().trim_end(),
                    instead.unwrap_or_default(),
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

const CHATGPT: &str = "In ChatGPT on the web: Settings, Apps & Connectors, Advanced settings: switch developer mode on. \
                       Then Create, and as MCP server URL:";
const CLAUDE_DESKTOP: &str = "In Claude Desktop: Settings, Connectors, Add custom connector, and as URL:";
const OTHERWISE: &str = " Without --http and --url it starts Toolgate on this machine itself.";

fn inspector(transport: &Transport) -> String {
    let mut command = vec!["npx", "@modelcontextprotocol/inspector"];
    match transport {
        Transport::Stdio { program, arguments } => {
            command.extend(["--", program]);
            command.extend(arguments.iter().map(String::as_str));
        }
        Transport::Http { url, .. } => command.extend(["--transport", "http", "--server-url", url]),
    }
    shell(&command)
}

/// A command in POSIX shell syntax.
fn shell(command: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+".contains(c);
    let word = |word: &&str| {
        if !word.is_empty() && word.chars().all(plain) {
            (*word).to_owned()
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

/// The folder of an environment variable, or else this one below the home.
fn folder_or(variable: &str, below_home: &str) -> Result<PathBuf, String> {
    folder_of(variable).map_or_else(|| Ok(home()?.join(below_home)), Ok)
}

/// XDG Base Directory Specification, "Environment variables".
fn config_home() -> Result<PathBuf, String> {
    folder_or("XDG_CONFIG_HOME", ".config")
}

fn claude_desktop_folder() -> Result<PathBuf, String> {
    if cfg!(target_os = "macos") {
        return Ok(home()?.join("Library/Application Support/Claude"));
    }
    Ok(config_home()?.join("Claude"))
}
