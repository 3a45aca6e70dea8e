//! Prepares a cleared plugin: compiles it, compares it with what was inspected, links its grants, opens its folders and
//! builds its prototypes. All that can fail fails here, before the first call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use toolgate_base::artifact::Artifact;
use toolgate_base::secret::SecretSpec;
use toolgate_base::spec::{EngineKind, Isolation};
use toolgate_mapping::compiled;
use toolgate_mapping::cost::Ratio;
use toolgate_mapping::shape::Function;
use toolgate_net::egress::RuleClientError;
use toolgate_policy::capability::{Effects, Wasi, keyvalue as keyvalue_policy};
use toolgate_policy::limits::call::{CallLimit, CallLimits};
use toolgate_policy::load::{Clearance, Effective};
use toolgate_policy::name::ExportPath;
use toolgate_policy::principal::Tenant;
use toolgate_policy::{Capability, Digest, PluginName};
use toolgate_state::keyvalue;
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use super::Sandbox;
use super::compile::CompileError;
use super::export::{Export, InProcessModule, Prepared, PreparedTarget};
use super::export_request::{ExportRequest, Given};
use super::isolated::handle::{Isolated, WorkerModule};
use super::linker::Linkers;
use crate::imports::host_calls::{GrantedStores, Powers};
use crate::imports::{CallPrototype, Ctx, files};

/// Secrets by name.
type Secrets = BTreeMap<String, Arc<SecretSpec>>;

/// Reason that a cleared plugin cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The clearance is for other bytes.
    #[error("prepare it: the clearance is for {0}")]
    OtherBytes(Digest),
    /// Compilation failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The compiled form does not have the types that were inspected.
    #[error("prepare it: the compiled form of {0} is not of the type that was inspected")]
    OtherTypes(ExportPath),
    /// Its initial memory exceeds the limit of its calls.
    #[error(
        "prepare it: it needs {needs} bytes of memory to start, memory_bytes_max is {has}; raise it in its [plugin.limits]"
    )]
    Memory {
        /// Bytes needed.
        needs: u64,
        /// Bytes allowed.
        has: u64,
    },
    /// The imports do not fit what is provided.
    #[error("link it: {0}")]
    Link(String),
    /// A granted folder cannot be opened.
    #[error("open the granted folder {0}: {1}")]
    Folder(String, String),
    /// Its store cannot be opened.
    #[error(transparent)]
    Store(#[from] keyvalue::KeyvalueOpenError),
    /// Its worker cannot be started or confined.
    #[error("isolate it: {0}")]
    Worker(String),
    /// A rule for outbound HTTP cannot be set up.
    #[error("set up its http grant: {0}")]
    Egress(String),
}

impl Sandbox {
    /// Prepares a plugin by its clearance alone: `name` is the operator's name for it, and of `secrets` those are taken that the cleared
    /// grants name.
    pub fn prepare(
        &self,
        clearance: &Clearance,
        artifact: &Artifact,
        wanted: Vec<ExportRequest>,
        name: &PluginName,
        secrets: &Secrets,
    ) -> Result<Vec<Arc<Export>>, PrepareError> {
        if clearance.digest() != artifact.digest() {
            return Err(PrepareError::OtherBytes(clearance.digest()));
        }
        let kind = clearance.engine();
        let engine = self.compiler.engine(kind);
        let effective = clearance.effective();
        let component = self.compiler.component(name, artifact, kind)?;
        check_memory(&component, clearance.limits())?;
        let powers = |effective: &Effective| {
            self.powers(clearance.trusted().plugin(), effective, name, secrets).map(Arc::new)
        };
        let places = match clearance.isolation() {
            Isolation::Thread => {
                let pre = linked(&self.linkers, engine, kind, &component)?;
                let in_process = |effective: &Effective| -> Result<PreparedTarget, PrepareError> {
                    let prototype = Arc::new(CallPrototype {
                        folders: effective.files.mounts().iter().map(|mount| mount.guest.clone()).collect(),
                        powers: powers(effective)?,
                        effective: effective.clone(),
                    });
                    let module = InProcessModule { kind, pre: pre.clone(), prototype };
                    Ok(PreparedTarget::InProcess(Arc::new(module)))
                };
                [
                    in_process(effective)?,
                    in_process(&Effective::nothing())?,
                    in_process(&Effective::nothing_as_before())?,
                ]
            }
            Isolation::Process => {
                let powers = powers(effective)?;
                let worker = self.isolate(clearance, &component, &wanted, kind)?;
                let nothing =
                    || WorkerModule { worker: Arc::clone(&worker), powers: Arc::new(Powers::none()) };
                let (nothing, as_before) = (nothing(), nothing());
                [WorkerModule { worker, powers }, nothing, as_before].map(PreparedTarget::Worker)
            }
        };
        let of = (artifact.digest(), effective.effects());
        exports(&component, clearance.limits(), of, places, wanted)
    }

    /// Starts a worker with this component, which proves that its confinement works.
    fn isolate(
        &self,
        clearance: &Clearance,
        component: &Component,
        wanted: &[ExportRequest],
        kind: EngineKind,
    ) -> Result<Arc<Isolated>, PrepareError> {
        let program = self.compiler.program();
        let program =
            program.ok_or_else(|| PrepareError::Worker("this process has no program for it".to_owned()))?;
        let worker = Arc::new(Isolated::new(program, clearance, component, wanted, kind));
        let started = self.guests.wait_for(worker.start()).unwrap_or_else(|| Err("it panicked".to_owned()));
        started.map(|()| worker).map_err(PrepareError::Worker)
    }

    fn powers(
        &self,
        id: &str,
        effective: &Effective,
        name: &PluginName,
        secrets: &Secrets,
    ) -> Result<Powers, PrepareError> {
        let link = |rule: &toolgate_policy::capability::http::Rule| {
            let secret = rule.secret.as_ref().and_then(|name| secrets.get(name).cloned());
            self.egress.link(rule, secret)
        };
        let links: Result<Vec<_>, RuleClientError> = effective.http.rules().iter().map(link).collect();
        Ok(Powers {
            http: effective.http.clone(),
            links: links.map_err(|error| PrepareError::Egress(error.to_string()))?,
            stores: self.stores(id, effective, name)?,
            files: Some(
                files::FilesPrototype::open(&effective.files)
                    .map_err(|(folder, error)| PrepareError::Folder(folder, error))?,
            ),
            sockets: effective.sockets.clone(),
            egress: Arc::clone(&self.egress),
        })
    }

    /// The stores of a plugin, if it is granted any. That of the default tenant is opened now, so that a store that
    /// cannot be used is found before the first call; those of others when they are used.
    fn stores(
        &self,
        id: &str,
        effective: &Effective,
        name: &PluginName,
    ) -> Result<Option<Arc<GrantedStores>>, PrepareError> {
        let tenant = Tenant::default();
        let pass = match effective.keyvalue.allow(&tenant, name) {
            Ok(pass) => pass,
            Err(keyvalue_policy::KeyvalueDeniedError) => return Ok(None),
        };
        let opened = self.stores.open(id, pass)?;
        Ok(Some(Arc::new(GrantedStores {
            grant: effective.keyvalue.clone(),
            id: id.to_owned(),
            plugin: name.clone(),
            stores: Arc::clone(&self.stores),
            open: Mutex::new(BTreeMap::from([(tenant, opened)])),
        })))
    }
}

/// Links a component with its imports and grants, ready to be instantiated.
pub(super) fn linked(
    linkers: &Linkers,
    engine: &Engine,
    kind: EngineKind,
    component: &Component,
) -> Result<InstancePre<Ctx>, PrepareError> {
    let failed = |error: wasmtime::Error| PrepareError::Link(format!("{error:#}"));
    let linker = linkers.for_words(engine, kind, &linked_words(component, engine));
    let pre = linker.and_then(|linker| linker.instantiate_pre(component)).map_err(failed)?;
    // Done now rather than in the first call.
    component.initialize_copy_on_write_image().map_err(failed)?;
    Ok(pre)
}

/// Builds the wanted exports, each compared with what was inspected. `places` is in the order of [`Given`]; `of` is the
/// digest of the bytes and the effects of the plugin's grants.
pub(super) fn exports(
    component: &Component,
    limits: &CallLimits,
    of: (Digest, Effects),
    places: [PreparedTarget; 3],
    wanted: Vec<ExportRequest>,
) -> Result<Vec<Arc<Export>>, PrepareError> {
    let looks_at_cancelled =
        imports(component, component.engine()).any(|name| name == "toolgate:plugin/cancelled");
    let (digest, effects) = of;
    let prepared = |place, effects| {
        let (limits, pace) = (limits.clone(), Arc::default());
        Arc::new(Prepared { digest, effects, limits, place, pace, looks_at_cancelled })
    };
    let [granted, nothing, as_before] = places;
    let granted = prepared(granted, effects);
    let [nothing, as_before] = [nothing, as_before].map(|place| prepared(place, Effects::default()));
    let export = |(number, wanted): (u32, ExportRequest)| {
        let ExportRequest { tool, path, function, reply, given } = wanted;
        let plugin = match given {
            Given::Grants => &granted,
            Given::Nothing => &nothing,
            Given::NothingAsBefore => &as_before,
        };
        let other = || PrepareError::OtherTypes(path.clone());
        let (shape, index) = exported(component, &path).ok_or_else(other)?;
        if shape.as_ref() != Some(&function) {
            return Err(other());
        }
        let (ratio, plugin) = (Ratio::of(&function), Arc::clone(plugin));
        Ok(Arc::new(Export { tool, path, function, reply, index, ratio, number, plugin }))
    };
    (0..).zip(wanted).map(export).collect()
}

/// Finds the shape and index of an export in the compiled form.
pub(super) fn exported(
    component: &Component,
    path: &ExportPath,
) -> Option<(Option<Function>, ComponentExportIndex)> {
    let inside = match &path.interface {
        None => None,
        Some(name) => Some(component.get_export_index(None, name)?),
    };
    let (item, index) = component.get_export(inside.as_ref(), &path.function)?;
    Some((compiled::function(item), index))
}

/// Capabilities that its imports need. What is imported is linked; clearance has checked that each is granted.
fn linked_words(component: &Component, engine: &Engine) -> BTreeSet<Capability> {
    let meant = |interface: String| {
        let has = |word: &Capability| {
            Wasi::ALL.into_iter().any(|wasi| word.interfaces(wasi).contains(&interface.as_str()))
        };
        Capability::ALL.into_iter().find(has)
    };
    imports(component, engine).filter_map(meant).collect()
}

/// Interfaces that it imports, without versions.
fn imports(component: &Component, engine: &Engine) -> impl Iterator<Item = String> {
    let ty = component.component_type();
    let names: Vec<String> =
        ty.imports(engine).map(|(name, _)| name.split('@').next().unwrap_or(name).to_owned()).collect();
    names.into_iter()
}

/// Checks its declared memory before the first call.
fn check_memory(component: &Component, limits: &CallLimits) -> Result<(), PrepareError> {
    const PAGE_BYTES: u64 = 64 << 10;
    let has = limits.get(CallLimit::Memory);
    let Some(required) = component.resources_required() else { return Ok(()) };
    let needs = required.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE_BYTES);
    if needs > has { Err(PrepareError::Memory { needs, has }) } else { Ok(()) }
}
