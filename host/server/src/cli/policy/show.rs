//! `toolgate policy show`.

use serde_json::json;

use crate::cli::exit::Exit;
use crate::cli::{PrintArgs, output};
use crate::config::Config;

pub(super) fn run(args: &PrintArgs) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    let (rules, _) = config.spec.rules.set.bind(&[]);
    let (cedar, ids) = (rules.to_cedar(), rules.ids().map(|id| id.as_str()));
    let files: Vec<String> = config.access.files().map(|path| path.display().to_string()).collect();
    if args.json {
        output::print_json(&json!({ "rows": cedar, "rules": ids.collect::<Vec<_>>(), "files": files }));
        return Ok(());
    }
    let rows = if cedar.is_empty() { "// there are no [[allow]] rows".to_owned() } else { cedar };
    let files = files.iter().map(|path| format!("// further policies: {path}"));
    output::print(&std::iter::once(rows).chain(files).collect::<Vec<_>>().join("\n"));
    Ok(())
}
