//! A world's plugins in the runtime directly, without the program and MCP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use toolgate_base::spec::{Compiling, EngineKind, Isolation, PluginSpec, Source};
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_policy::load::lint::Allowed;
use toolgate_policy::load::role::{Pattern, Role, RoleRule};
use toolgate_policy::load::signer::Signer;
use toolgate_policy::load::trust::Parts;
use toolgate_policy::load::{Grants, TrustPolicy};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, PluginName};
use toolgate_runtime::gate::{Gate, GateLimits};
use toolgate_runtime::spec::{Approvals, OnRefused, Spec};
use toolgate_signature::anchor::Anchor;
use toolgate_signature::trust::TrustSpec;
use toolgate_state::StateDir;

use crate::World;

/// A spec of plugins by name, with no other grants than these.
pub fn spec(world: &World, plugins: &[(&str, Grants)]) -> Spec {
    let key = world.key("vendor").public().unwrap();
    let vendor = Signer {
        id: "vendor".to_owned(),
        key: key.id(),
        identity: None,
        valid_from: None,
        valid_until: None,
    };
    let role = Role { name: "publisher".to_owned(), threshold: 1, signers: vec!["vendor".to_owned()] };
    let rule = RoleRule { plugin: Pattern::Prefix(String::new()), require: vec!["publisher".to_owned()] };
    let parts =
        Parts { version: 1, signers: vec![vendor], roles: vec![role], rules: vec![rule], ..Parts::default() };
    let policy = TrustPolicy::new(parts).unwrap();
    let plugins = plugins.iter().map(|(name, grants)| PluginSpec {
        name: name.parse::<PluginName>().unwrap(),
        id: (*name).to_owned(),
        prefix: Prefix::parse(name).unwrap(),
        source: Source::File(world.path(&format!("plugins/{name}.wasm"))),
        digest: None,
        grants: grants.clone(),
        limits: patient(),
        engine: EngineKind::Sync,
        isolation: Isolation::Thread,
        crash_details: Default::default(),
        allow_lints: Allowed::new(),
        secrets: BTreeMap::new(),
    });
    Spec {
        plugins: plugins.collect(),
        trust: Arc::new(TrustSpec { policy, anchors: vec![Anchor::Key(key)], sha256: Digest::of(b"") }),
        approvals: Approvals::NotAsked,
        rules: Arc::default(),
        on_refused: OnRefused::Stop,
        folders: Vec::new(),
    }
}

/// Default limits with the highest fault limit, so that failing calls lead to no hold.
fn patient() -> CallLimits {
    let mut limits = CallLimits::default();
    limits.set(CallLimit::Faults, CallLimit::Faults.spec().ceiling.cast_signed()).unwrap();
    limits
}

/// A gate with its state in a folder of the world. Compiles in this process.
pub fn gate(world: &World, state: &str) -> Gate {
    gate_with(world, state, Compiling::Here)
}

/// A gate that compiles and isolates with child processes of a program.
pub fn gate_by(world: &World, state: &str, program: PathBuf) -> Gate {
    gate_with(world, state, Compiling::Apart { program, cpu_s: 120, memory_bytes_max: 2 << 30 })
}

fn gate_with(world: &World, state: &str, compiling: Compiling) -> Gate {
    let state = StateDir::open(&world.path(state)).unwrap();
    let bounds = GateLimits {
        calls_max: 64,
        memory_bytes_max: 4 << 30,
        messages_bytes_max: 256 << 20,
        peer_percent: 50,
    };
    Gate::open(&state, bounds, compiling, Vec::new(), Arc::new(|_, _, _| {})).unwrap()
}
