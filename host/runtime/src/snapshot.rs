//! What serves now: one value, swapped whole. A call takes one snapshot at its beginning and keeps it to its end. Nothing
//! is loaded here.

pub mod plugin;
pub mod tool;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use toolgate_policy::ToolName;
use toolgate_policy::call::{Permit, Target};

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

/// Two plugins want one name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its tool {tool} has the name of one of plugin `{holder}`; give one of them another `prefix`")]
pub struct Clash {
    /// The name.
    pub tool: ToolName,
    /// Who has it.
    pub holder: String,
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
                return Err(Clash { tool: tool.listing.name.clone(), holder });
            }
        }
        for tool in plugin.tools() {
            self.tools.insert(tool.listing.name.clone(), Arc::clone(tool));
        }
        self.plugins.push(plugin);
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
