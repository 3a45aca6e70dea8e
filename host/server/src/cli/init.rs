//! `toolgate init`: a folder with a configuration, a trust policy and a new key.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::key::Pair;
use super::{output, place};
use crate::config::Config;

/// Arguments of `init`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The folder; made if it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

const CONFIG: &str = "toolgate.toml";
const POLICY: &str = "trust.toml";
const KEY: &str = "signing-key";
const IGNORED: &str = ".gitignore";

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let dir = std::path::absolute(&args.dir).map_err(|error| unwritten(&args.dir, &error))?;
    let there = |name: &&str| dir.join(name).symlink_metadata().is_ok();
    let ours = [CONFIG, POLICY, KEY, "signing-key.pub"];
    let found: Vec<&str> = ours.into_iter().filter(there).collect();
    if !found.is_empty() {
        return Err(Exit::usage(format!(
            "{} has {} already; nothing was written. Name another folder, or remove what is there",
            dir.display(),
            found.join(", ")
        )));
    }
    place::folder(&dir).map_err(|error| unwritten(&dir, &error))?;
    let pair = Pair::generate()?;
    pair.write(&dir.join(KEY))?;
    create(&dir.join(POLICY), include_str!("init/trust.toml"))?;
    create(&dir.join(CONFIG), include_str!("init/toolgate.toml"))?;
    // An existing one of a repository is left unchanged.
    if !there(&IGNORED) {
        create(&dir.join(IGNORED), "/signing-key\n/state/\n")?;
    }
    let config = dir.join(CONFIG);
    // A folder that others can write to makes the files untrustworthy; loading reports that now rather than later.
    Config::load(&config).map_err(|problems| {
        Exit::from(problems)
            .with("\nThe files are written, but they cannot be used here until that is put right.")
    })?;
    output::print(&report(&dir, &pair));
    Ok(())
}

fn report(dir: &Path, pair: &Pair) -> String {
    let there = if dir == std::env::current_dir().unwrap_or_default() {
        String::new()
    } else {
        format!(" in {}", dir.display())
    };
    format!(
        "Written{there}:\n\
         \x20 {CONFIG}      what is served, and within which limits\n\
         \x20 {POLICY}         whose plugins are trusted: for now, what you sign with the key below\n\
         \x20 {KEY}        your private key; keep it secret\n\
         \x20 {KEY}.pub    its public half (key {id})\n\
         \n\
         Next{there}, with a plugin hello.wasm:\n\
         \x20 toolgate sign hello.wasm --key {KEY}\n\
         \x20 toolgate plugin add hello.wasm\n\
         \x20 toolgate connect CLIENT\n\
         \n\
         `toolgate connect --help` names the clients.",
        id = pair.public.id(),
    )
}

fn create(path: &Path, text: &str) -> Result<(), Exit> {
    place::create(path, text.as_bytes(), place::FILE_MODE).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Exit {
    Exit::host_failed(format!("{} cannot be written: {error}", path.display()))
}
