//! `toolgate apikey create`.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use toml_edit::{Array, Table, value};
use toolgate_auth::apikey;
use toolgate_policy::principal::Tenant;
use toolgate_policy::redact::printable;
use toolgate_state::file_lock::FileLocks;

use super::keys_of;
use crate::cli::edit::TomlEdit;
use crate::cli::exit::Exit;
use crate::cli::plugin::who;
use crate::cli::{ConfigArg, output};
use crate::config::read_api_keys;

/// Arguments of `apikey create`.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The holder, such as ci. Keys of one name are one caller, so that a key can be replaced without a gap
    #[arg(long)]
    name: String,
    /// The tenant that it acts for
    #[arg(long, default_value = "default")]
    tenant: Tenant,
    /// Groups, separated by commas; rules know them as apikey/NAME
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// Scopes, separated by commas
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// Limit it to these tools, separated by commas
    #[arg(long, value_delimiter = ',')]
    tools: Vec<String>,
    /// Networks that it may come from, separated by commas, such as 10.20.0.0/16
    #[arg(long, value_delimiter = ',')]
    from: Vec<ipnet::IpNet>,
    /// Days for which it is good, at most [auth] key_days_max
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// Name of its maker, for readers of the file; default: user and machine
    #[arg(long)]
    by: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let (_, auth, path) = keys_of(&args.config)?;
    if args.days == 0 || args.days > auth.key_days_max {
        return Err(Exit::usage(format!("--days takes 1 to {} ([auth] key_days_max)", auth.key_days_max)));
    }
    if !auth.tenants.contains(&args.tenant) {
        return Err(Exit::usage(format!("`{}` is not a [[tenant]] of the configuration", args.tenant)));
    }
    if args.name.trim().is_empty() || printable(&args.name, 256) != args.name {
        return Err(Exit::usage("--name takes 1 to 256 printable characters"));
    }
    let by = who(args.by.as_ref())?;
    let key = apikey::generate().map_err(|error| Exit::host(&error))?;
    let not_after = SystemTime::now() + Duration::from_secs(args.days.saturating_mul(86_400));
    let locks = FileLocks::take([path.as_path()]).map_err(|error| Exit::host(&error))?;
    let mut edit = TomlEdit::open_or_new(&path)?;
    let mut table = Table::new();
    table.insert("id", value(&key.id));
    table.insert("hash", value(key.hash.to_string()));
    table.insert("name", value(&args.name));
    if args.tenant != Tenant::default() {
        table.insert("tenant", value(args.tenant.as_str()));
    }
    let from: Vec<String> = args.from.iter().map(ToString::to_string).collect();
    for (name, list) in
        [("groups", &args.groups), ("scopes", &args.scopes), ("tools", &args.tools), ("from", &from)]
    {
        if !list.is_empty() {
            table.insert(name, value(list.iter().collect::<Array>()));
        }
    }
    table.insert("not_after", value(datetime(not_after)?));
    table.insert("created_by", value(by));
    edit.push("key", table)?;
    // What was written is what a server will accept.
    let rows = read_api_keys(&path, &edit.text())?;
    let longest = Duration::from_secs(auth.key_days_max.saturating_mul(86_400));
    apikey::ApiKeys::new(rows, SystemTime::now(), longest)
        .map_err(|error| Exit::usage(format!("{}: {}", error.at, error.why)))?;
    edit.save_as(&locks, 0o600)?;
    output::print(&key.text);
    output::complain(&format!(
        "this is the key of `{}`; it is shown this once. Clients send it as: Authorization: Bearer KEY\n\
         a running server takes it within two seconds; `toolgate apikey revoke {}` ends it",
        args.name, key.id
    ));
    Ok(())
}

/// A time as TOML writes it, in whole seconds.
pub(super) fn datetime(time: SystemTime) -> Result<toml_edit::Datetime, Exit> {
    let time = Timestamp::try_from(time).map_err(|error| Exit::host(&error))?;
    let text = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    text.parse().map_err(|_| Exit::host_failed(format!("{text} is not a time")))
}
