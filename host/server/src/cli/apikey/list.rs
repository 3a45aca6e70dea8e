//! `toolgate apikey list`.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::json;
use toolgate_auth::apikey::ApiKeyRow;
use toolgate_policy::redact::printable;
use toolgate_state::StateDir;
use toolgate_state::key_uses::KeyUses;

use super::keys_of;
use crate::cli::exit::Exit;
use crate::cli::{PrintArgs, output};

/// Arguments of `apikey list`.
pub(in crate::cli) type Args = PrintArgs;

/// Time before its end from which a key is said to end soon.
const SOON: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let (config, auth, _) = keys_of(&args.config)?;
    let uses =
        StateDir::open(&config.state).ok().and_then(|state| KeyUses::read(&state).ok()).unwrap_or_default();
    let mut rows: Vec<&ApiKeyRow> = auth.settings.keys.iter().collect();
    rows.sort_by_key(|row| (&row.name, row.not_after, &row.id));
    let now = SystemTime::now();
    if args.json {
        let rows: Vec<_> = rows.iter().map(|row| {
            json!({
                "id": row.id, "name": row.name, "tenant": row.tenant.as_str(), "groups": row.groups, "scopes": row.scopes,
                "tools": row.tools, "from": row.from.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "not_after": time(row.not_after), "created_by": row.created_by, "revoked": row.revoked.map(time),
                "state": standing(row, now), "last_used": uses.get(&row.id).copied().map(time),
            })
        }).collect();
        output::print(&json!({ "keys": rows }).to_string());
        return Ok(());
    }
    if rows.is_empty() {
        output::print("there are no keys; `toolgate apikey create --name NAME` makes one");
        return Ok(());
    }
    for row in rows {
        let used = uses
            .get(&row.id)
            .copied()
            .map_or_else(|| "never used".to_owned(), |at| format!("used {}", time(at)));
        output::print(&format!(
            "{}  {}  tenant {}  {} (ends {})  {used}",
            row.id,
            printable(&row.name, 100),
            row.tenant,
            standing(row, now),
            time(row.not_after)
        ));
    }
    Ok(())
}

fn standing(row: &ApiKeyRow, now: SystemTime) -> &'static str {
    if row.revoked.is_some() {
        "revoked"
    } else if row.not_after <= now {
        "expired"
    } else if row.not_after <= now + SOON {
        "ends soon"
    } else {
        "good"
    }
}

fn time(at: SystemTime) -> String {
    Timestamp::try_from(at)
        .map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%MZ").to_string())
}
