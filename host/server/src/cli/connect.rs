//! `toolgate connect`: a client's settings for this server, printed or written into the client's file.

mod answers;
mod client;
mod edit;

use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::exit::Exit;
use super::plugin::agreed;
use super::{ConfigArg, output};
use crate::config::Config;

use client::{Client, Setup, Transport};
use edit::ClientEdit;

/// Arguments of `connect`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The client
    #[arg(value_enum)]
    client: Client,
    /// Connect to a server that runs already (`toolgate serve`), instead of letting the client start one over stdio
    #[arg(long)]
    http: bool,
    /// The server's address as the client sees it, such as https://tools.example.com/mcp; implies --http
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Name of this server in the client's list
    #[arg(long, value_name = "NAME", default_value = "toolgate", value_parser = server_name)]
    name: String,
    /// Edit the client's file, after showing the change and asking; a copy of the file is kept beside it
    #[arg(long)]
    write: bool,
    /// With --write: do not ask
    #[arg(long, requires = "write")]
    yes: bool,
    #[command(flatten)]
    config: ConfigArg,
}

/// Checks a server name for characters that clients accept everywhere: in tool names, TOML keys and command lines.
fn server_name(text: &str) -> Result<String, String> {
    const CHARS_MAX: usize = 32;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > CHARS_MAX || !text.chars().all(plain) {
        return Err(format!("use 1 to {CHARS_MAX} letters, digits, `-` and `_`"));
    }
    Ok(text.to_owned())
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let path = std::path::absolute(&args.config.config)
        .map_err(|error| Exit::usage(format!("{}: {error}", args.config.config.display())))?;
    let config = Config::load(&path)?;
    let transport = transport(args, &path, &config)?;
    let setup = args.client.setup(&transport, &args.name).map_err(Exit::usage)?;
    if args.write {
        return write(args, &transport, &setup);
    }
    output::print(&setup.text(args.client));
    check(&transport)
}

fn transport(args: &Args, config_path: &Path, config: &Config) -> Result<Transport, Exit> {
    if let Some(url) = &args.url {
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        if !is_web || url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"') {
            return Err(Exit::usage("--url: write the whole address, such as https://tools.example.com/mcp"));
        }
        return Ok(Transport::Http { url: url.clone(), own: None });
    }
    if args.http {
        let own = client::reachable(config.server.listen);
        return Ok(Transport::Http { url: format!("http://{own}/mcp"), own: Some(own) });
    }
    let program = std::env::current_exe().map_err(|error| Exit::host(&error))?;
    let text = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|path| {
            Exit::usage(format!("{}: a client's file cannot hold this path", path.to_string_lossy()))
        })
    };
    let config = text(config_path.to_owned())?;
    let arguments = ["serve", "--stdio", "--config"].map(str::to_owned).into_iter().chain([config]).collect();
    Ok(Transport::Stdio { program: text(program)?, arguments })
}

/// Requests the server's tools, as the client will.
fn check(transport: &Transport) -> Result<(), Exit> {
    let tools = answers::tools(transport)
        .map_err(|why| Exit::failed(format!("\nThe server does not answer: {why}")))?;
    output::print(&match tools {
        Some(tools) => format!("\nThe server answers: {tools}."),
        None => "\nThe server was not asked: that address may be reached from elsewhere alone.".to_owned(),
    });
    Ok(())
}

/// Puts the entry into the client's file.
fn write(args: &Args, transport: &Transport, setup: &Setup) -> Result<(), Exit> {
    let Setup::File(entry) = setup else {
        let title = args.client.title();
        return Err(Exit::usage(format!(
            "{title} has no file to write this to; `toolgate connect` without --write says what to do"
        )));
    };
    let edit = ClientEdit::of(entry).map_err(Exit::usage)?;
    if edit.is_nothing() {
        output::print(&format!("{} has this entry already; nothing was written", entry.file.display()));
        return check(transport);
    }
    check(transport).map_err(|why| why.with("\nNothing was written."))?;
    let diff = TextDiff::from_lines(edit.before(), edit.after.as_str());
    output::print(&format!("\n{}:\n{}", entry.file.display(), diff.unified_diff().context_radius(2)));
    if !args.yes && !agreed("Write this?")? {
        return Err(Exit::refused("nothing was written"));
    }
    let copy = edit.save().map_err(Exit::host_failed)?;
    if let Some(copy) = copy {
        output::print(&format!("the file as it was: {}", copy.display()));
    }
    output::print(&format!("{}: written. {}", entry.file.display(), entry.afterwards));
    Ok(())
}
