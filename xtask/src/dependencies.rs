//! Checks the dependency tree against `deny.toml`: licences, banned crates, wildcards, sources. Advisories need an
//! online database: `cargo deny check advisories` reads the same file.

use serde_json::Value;

use crate::shell::{self, Outcome};

struct Rules {
    licences: Vec<spdx::Licensee>,
    banned: Vec<String>,
}

/// Checks every package of every platform.
pub(crate) fn check() -> Outcome {
    let metadata = shell::output(shell::cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).ok_or("cargo metadata names no packages")?;
    let file = shell::root().join("deny.toml");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let rules = Rules::parse(&text)?;
    let broken: Vec<String> = packages.iter().flat_map(|package| rules.broken_by(package)).collect();
    match broken.as_slice() {
        [] => Ok(format!("{} packages keep deny.toml", packages.len())),
        _ => Err(format!("deny.toml is broken:\n{}", broken.join("\n"))),
    }
}

impl Rules {
    fn parse(text: &str) -> Outcome<Self> {
        let file: toml::Table = text.parse().map_err(|error| format!("deny.toml: {error}"))?;
        let list = |section: &str, key: &str| {
            let list = file.get(section).and_then(|section| section.get(key)).and_then(toml::Value::as_array);
            list.cloned().ok_or_else(|| format!("deny.toml: [{section}] has no list `{key}`"))
        };
        let licences = list("licenses", "allow")?;
        let licences = licences.iter().map(|licence| {
            let name = licence.as_str().ok_or("deny.toml: a licence that is not text")?;
            spdx::Licensee::parse(name).map_err(|error| format!("deny.toml: {error}"))
        });
        let banned = list("bans", "deny")?;
        let banned = banned.iter().map(|entry| {
            let name = entry.get("crate").and_then(toml::Value::as_str);
            name.map(str::to_owned)
                .ok_or_else(|| "deny.toml: [bans] deny: an entry without `crate`".to_owned())
        });
        Ok(Self { licences: licences.collect::<Outcome<_>>()?, banned: banned.collect::<Outcome<_>>()? })
    }

    fn broken_by(&self, package: &Value) -> Vec<String> {
        let text =
            |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, source) = (text(package, "name"), text(package, "source"));
        let mut broken = Vec::new();
        let mut breaks = |what: String| broken.push(format!("{name}: {what}"));
        if self.banned.contains(&name) {
            breaks("is banned".to_owned());
        }
        let is_ours = source.is_empty();
        let is_published = source.starts_with("registry+") && source.ends_with("/crates.io-index");
        if !is_ours && !is_published {
            breaks(format!("comes from {source}"));
        }
        let licence = text(package, "license");
        match spdx::Expression::parse_mode(&licence, spdx::ParseMode::LAX) {
            Ok(expression) if self.allow(&expression) => {}
            Ok(_) => breaks(format!("its licence {licence} is not allowed")),
            Err(error) => breaks(format!("its licence cannot be read: {}", error.reason)),
        }
        for dependency in package.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
            let is_wildcard = text(dependency, "req") == "*" && dependency.get("path").is_none();
            if is_ours && is_wildcard {
                breaks(format!("takes any version of {}", text(dependency, "name")));
            }
        }
        broken
    }

    fn allow(&self, expression: &spdx::Expression) -> bool {
        expression.evaluate(|wanted| self.licences.iter().any(|allowed| allowed.satisfies(wanted)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0 WITH LLVM-exception"]
        [bans]
        deny = [{ crate = "openssl", reason = "one TLS" }]
    "#;
    const INDEX: &str = "registry+https://example.com/crates.io-index";

    fn broken(package: &Value) -> usize {
        Rules::parse(RULES).unwrap().broken_by(package).len()
    }

    #[test]
    fn each_kind_of_breach_is_told() {
        let package = |name: &str, licence: &str, source: &str| json!({ "name": name, "license": licence, "source": source, "dependencies": [] });
        assert_eq!(broken(&package("a", "MIT OR GPL-3.0-only", INDEX)), 0);
        assert_eq!(broken(&package("a", "Apache-2.0 WITH LLVM-exception", INDEX)), 0);
        assert_eq!(
            broken(&package("a", "Apache-2.0", INDEX)),
            1,
            "without the exception it is another licence"
        );
        assert_eq!(broken(&package("a", "GPL-3.0-only AND MIT", INDEX)), 1);
        assert_eq!(broken(&package("a", "", INDEX)), 1, "no licence");
        assert_eq!(broken(&package("openssl", "MIT", INDEX)), 1);
        assert_eq!(broken(&package("a", "MIT", "git+https://example.com/a")), 1);
        let ours = json!({ "name": "ours", "license": "MIT", "dependencies": [
            { "name": "any", "req": "*" }, { "name": "beside", "req": "*", "path": "../beside" },
        ] });
        assert_eq!(broken(&ours), 1);
    }

    #[test]
    fn rules_without_a_list_are_refused() {
        assert!(Rules::parse("[licenses]\nallow = [\"MIT\"]").is_err());
    }
}
