//! `toolgate policy show`.

use serde_json::json;

use crate::cli::exit::Exit;
use crate::cli::{PrintArgs, output};
use crate::config::Config;

pub(super) fn run(args: &PrintArgs) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    let (rules, _) = config.spec.rules.set.bind(&[]);
    let (cedar, ids) = (rules.to_cedar(), rules.ids().map(|id| id.as_str()));
    if args.json {
        output::print_json(&json!({ "rows": cedar, "rules": ids.collect::<Vec<_>>() }));
    } else if cedar.is_empty() {
        output::print("// there are no [[allow]] rows");
    } else {
        output::print(&cedar);
    }
    Ok(())
}
