//! What serves now: one value, swapped whole. A call takes one snapshot at its beginning and keeps it to its end. Nothing
//! is loaded here.

pub mod plugin;
pub mod tool;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use toolgate_policy::ToolName;
use toolgate_policy::call::{Permit, Target};
use toolgate_policy::load::lint::{similar_prefixes, skeleton};

use plugin::Plugin;
use tool::Tool;

/// What serves.
#[derive(Default)]
pub struct Snapshot {
    plugins: Vec<Arc<Plugin>>,
    tools: BTreeMap<ToolName, Arc<Tool>>,
}

/// The one place where the current snapshot is.
pub(crate) struct Snapshots(watch::Sender<Arc<Snapshot>>);

/// Two plugins want one name, or names that read alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// One name.
    #[error("its tool {tool} has the name of one of plugin `{holder}`; give one of them another `prefix`")]
    Same {
        /// The name.
        tool: ToolName,
        /// Who has it.
        holder: String,
    },
    /// Names that read alike.
    #[error(
        "{mine} reads like {theirs} of plugin `{holder}`; give one of them another `prefix`, or, if that is meant, add to it: \
         allow_lints = [\"similar-name\"]"
    )]
    Similar {
        /// A name or a prefix.
        mine: String,
        /// Another plugin's.
        theirs: String,
        /// Whose.
        holder: String,
    },
}

impl Snapshot {
    /// Adds a plugin.
    ///
    /// # Errors
    /// [`Clash`]; nothing is added then.
    pub(crate) fn add(&mut self, plugin: Arc<Plugin>) -> Result<(), Clash> {
        for tool in plugin.tools() {
            if let Some(held) = self.tools.get(&tool.listing.name) {
                let holder = held.target.plugin.to_string();
                return Err(Clash::Same { tool: tool.listing.name.clone(), holder });
            }
        }
        if !plugin.may_be_similar() {
            self.similar(&plugin)?;
        }
        for tool in plugin.tools() {
            self.tools.insert(tool.listing.name.clone(), Arc::clone(tool));
        }
        self.plugins.push(plugin);
        Ok(())
    }

    fn similar(&self, plugin: &Plugin) -> Result<(), Clash> {
        let alike =
            |other: &&Arc<Plugin>| similar_prefixes(plugin.prefix().as_str(), other.prefix().as_str());
        if let Some(other) = self.plugins.iter().find(alike) {
            return Err(Clash::Similar {
                mine: format!("its prefix `{}`", plugin.prefix().as_str()),
                theirs: format!("the prefix `{}`", other.prefix().as_str()),
                holder: other.name().to_string(),
            });
        }
        let taken: BTreeMap<String, &Arc<Tool>> =
            self.tools.values().map(|tool| (skeleton(&tool.listing.name), tool)).collect();
        for tool in plugin.tools() {
            if let Some(held) = taken.get(&skeleton(&tool.listing.name)) {
                return Err(Clash::Similar {
                    mine: format!("its tool {}", tool.listing.name),
                    theirs: held.listing.name.to_string(),
                    holder: held.target.plugin.to_string(),
                });
            }
        }
        Ok(())
    }

    /// The plugins, in the operator's order.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The tools, by name.
    pub fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// What the judge may know of the tool of this name.
    pub fn find(&self, name: &str) -> Option<&Target> {
        let name = ToolName::parse(name).ok()?;
        self.tools.get(&name).map(|tool| &tool.target)
    }

    /// Whether a client would see the same list.
    fn lists_like(&self, other: &Self) -> bool {
        let listed = |tool: &Arc<Tool>| (Arc::clone(&tool.listing), tool.effects());
        self.tools.values().map(listed).eq(other.tools.values().map(listed))
    }

    /// The tool that a permit is for.
    pub(crate) fn resolve(&self, permit: &Permit) -> Option<Arc<Tool>> {
        let tool = self.tools.get(permit.tool())?;
        (tool.target.digest == permit.digest()).then(|| Arc::clone(tool))
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl Snapshots {
    /// What serves now.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.borrow())
    }

    /// Serves another from now on.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.0.send_if_modified(|now| {
            let changed = !now.lists_like(&snapshot);
            *now = snapshot;
            changed
        });
    }

    /// Tells of every swap that changes the list of tools.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.subscribe()
    }
}
