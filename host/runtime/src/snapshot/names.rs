//! Unique names of tools: no two plugins share one, nor look-alikes unless the operator allows it. The first plugin
//! keeps the name.

use std::collections::BTreeMap;

use toolgate_policy::load::lint::{similar_prefixes, skeleton};
use toolgate_policy::name::Prefix;
use toolgate_policy::{PluginName, ToolName};

#[derive(Default)]
pub(crate) struct TakenNames {
    prefixes: Vec<(PluginName, Prefix)>,
    tools: BTreeMap<ToolName, PluginName>,
    /// Names by their confusable skeleton.
    looks: BTreeMap<String, ToolName>,
}

/// Names that one plugin requests.
pub(crate) struct WantedNames<'a> {
    pub(crate) plugin: &'a PluginName,
    pub(crate) prefix: &'a Prefix,
    pub(crate) tools: Vec<&'a ToolName>,
    /// The operator allows names that look like another's.
    pub(crate) may_be_similar: bool,
}

/// Two plugins with the same name, or names that look alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameClashError {
    #[error("its tool {tool} has the name of one of plugin `{holder}`; give one of them another `prefix`")]
    Same { tool: ToolName, holder: String },
    #[error(
        "{mine} reads like {theirs} of plugin `{holder}`; give one of them another `prefix`, or, if that is meant, add to it: \
         allow_lints = [\"similar-name\"]"
    )]
    Similar {
        /// Requested name or prefix.
        mine: String,
        /// Existing name or prefix.
        theirs: String,
        holder: String,
    },
}

impl TakenNames {
    /// Reserves names for a plugin; not one of them if one clashes.
    pub(crate) fn take(&mut self, wanted: &WantedNames<'_>) -> Result<(), NameClashError> {
        for tool in &wanted.tools {
            if let Some(holder) = self.tools.get(*tool) {
                return Err(NameClashError::Same { tool: (*tool).clone(), holder: holder.to_string() });
            }
        }
        if !wanted.may_be_similar {
            self.similar(wanted)?;
        }
        self.prefixes.push((wanted.plugin.clone(), wanted.prefix.clone()));
        for tool in &wanted.tools {
            self.tools.insert((*tool).clone(), wanted.plugin.clone());
            self.looks.insert(skeleton(tool), (*tool).clone());
        }
        Ok(())
    }

    fn similar(&self, wanted: &WantedNames<'_>) -> Result<(), NameClashError> {
        let alike =
            |(_, other): &&(PluginName, Prefix)| similar_prefixes(wanted.prefix.as_str(), other.as_str());
        if let Some((holder, other)) = self.prefixes.iter().find(alike) {
            return Err(NameClashError::Similar {
                mine: format!("its prefix `{}`", wanted.prefix.as_str()),
                theirs: format!("the prefix `{}`", other.as_str()),
                holder: holder.to_string(),
            });
        }
        for tool in &wanted.tools {
            if let Some(held) = self.looks.get(&skeleton(tool)) {
                return Err(NameClashError::Similar {
                    mine: format!("its tool {tool}"),
                    theirs: held.to_string(),
                    holder: self.tools.get(held).map_or_else(String::new, ToString::to_string),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        names: &mut TakenNames,
        plugin: &str,
        tools: &[&str],
        may_be_similar: bool,
    ) -> Result<(), NameClashError> {
        let name: PluginName = plugin.parse().unwrap();
        let tools: Vec<ToolName> = tools.iter().map(|tool| ToolName::parse(tool).unwrap()).collect();
        let prefix = Prefix::from(&name);
        names.take(&WantedNames {
            plugin: &name,
            prefix: &prefix,
            tools: tools.iter().collect(),
            may_be_similar,
        })
    }

    #[test]
    fn whoever_comes_first_keeps_a_name_and_what_reads_like_it() {
        let mut names = TakenNames::default();
        take(&mut names, "jira-1", &["jira-1_go"], false).unwrap();
        let similar = take(&mut names, "jira-2", &["jira-2_go"], false).unwrap_err();
        assert!(matches!(similar, NameClashError::Similar { holder, .. } if holder == "jira-1"));
        let same = take(&mut names, "other", &["x", "jira-1_go"], true).unwrap_err();
        assert!(matches!(same, NameClashError::Same { holder, .. } if holder == "jira-1"));
        take(&mut names, "third", &["x"], false).unwrap();
        take(&mut names, "jira-2", &["jira-2_go"], true).unwrap();
        assert!(
            take(&mut names, "fourth", &["x"], true).is_err(),
            "a name is one plugin's, whatever is allowed"
        );
    }

    #[test]
    fn confusable_names_are_alike() {
        let mut names = TakenNames::default();
        take(&mut names, "alpha", &["get_l1st"], false).unwrap();
        let clash = take(&mut names, "omega", &["get_list"], false);
        assert!(matches!(clash, Err(NameClashError::Similar { .. })), "{clash:?}");
    }
}
