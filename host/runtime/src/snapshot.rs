//! What serves now: one value, swapped whole. A call takes one snapshot at its beginning and keeps it to its end. Nothing
//! is loaded here.

pub mod plugin;
pub mod tool;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use toolgate_policy::call::{Permit, Target};
use toolgate_policy::load::TrustPolicy;
use toolgate_policy::load::lint::{similar_prefixes, skeleton};
use toolgate_policy::{Digest, ToolName};

use plugin::Plugin;
use tool::Tool;

/// What serves.
#[derive(Default)]
pub struct Snapshot {
    plugins: Vec<Arc<Plugin>>,
    tools: BTreeMap<ToolName, Arc<Tool>>,
}

/// The one place where the current snapshot is.
pub(crate) struct Snapshots {
    now: watch::Sender<Arc<Snapshot>>,
    /// What was revoked since the policy that published last, with the version that did it: a load that began before must not
    /// bring it back.
    revoked: Mutex<BTreeMap<Digest, u64>>,
}

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
                let holder = held.target.plugin().to_string();
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
                    holder: held.target.plugin().to_string(),
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

    /// The same without some plugins.
    fn without(&self, gone: impl Fn(&Arc<Plugin>) -> bool) -> Self {
        let plugins: Vec<Arc<Plugin>> = self.plugins.iter().filter(|plugin| !gone(plugin)).cloned().collect();
        let tools = plugins.iter().flat_map(|plugin| plugin.tools());
        let tools = tools.map(|tool| (tool.listing.name.clone(), Arc::clone(tool))).collect();
        Self { plugins, tools }
    }

    /// Whether a client would see the same list.
    fn lists_like(&self, other: &Self) -> bool {
        let listed =
            |tool: &Arc<Tool>| (Arc::clone(&tool.listing), tool.effects(), Arc::clone(&tool.provenance));
        self.tools.values().map(listed).eq(other.tools.values().map(listed))
    }

    /// The tool that a permit is for.
    pub(crate) fn resolve(&self, permit: &Permit) -> Option<Arc<Tool>> {
        let tool = self.tools.get(permit.tool())?;
        (tool.target.digest() == permit.digest()).then(|| Arc::clone(tool))
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { now: watch::Sender::new(Arc::default()), revoked: Mutex::default() }
    }
}

impl Snapshots {
    /// What serves now.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.borrow())
    }

    /// Serves another from now on, which was loaded under `policy`. Calls in flight go on; those of what is revoked end.
    pub(crate) fn publish(&self, snapshot: Snapshot, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.retain(|_, version| *version >= policy.version());
        self.swap(&snapshot, policy, &revoked)
    }

    /// Takes what a policy revokes out of what serves, at once: nothing is waited for. What is revoked stays out until a newer
    /// policy lets it in.
    pub(crate) fn revoke(&self, policy: &TrustPolicy) -> Vec<Arc<Plugin>> {
        let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        for digest in policy.parts().revoked.keys() {
            let version = revoked.entry(*digest).or_default();
            *version = policy.version().max(*version);
        }
        let now = self.now();
        let serves = |plugin: &Arc<Plugin>| revoked.contains_key(&plugin.digest());
        if now.plugins.iter().any(serves) { self.swap(&now, policy, &revoked) } else { Vec::new() }
    }

    /// Serves `next` but for what is revoked, and ends the calls of that. What was ended.
    fn swap(
        &self,
        next: &Snapshot,
        policy: &TrustPolicy,
        revoked: &BTreeMap<Digest, u64>,
    ) -> Vec<Arc<Plugin>> {
        let is_revoked = |plugin: &Arc<Plugin>| {
            revoked.contains_key(&plugin.digest()) || policy.revoked(&plugin.digest()).is_some()
        };
        let next = Arc::new(next.without(is_revoked));
        let ended =
            self.now().plugins.iter().filter(|plugin| is_revoked(plugin)).cloned().collect::<Vec<_>>();
        self.now.send_if_modified(|now| {
            let changed = !now.lists_like(&next);
            *now = next;
            changed
        });
        // After the swap: whoever finds one of these from now on holds an old snapshot, and is ended as it begins.
        ended.iter().for_each(|plugin| plugin.end_calls());
        ended
    }

    /// Tells of every swap that changes the list of tools.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.now.subscribe()
    }
}
