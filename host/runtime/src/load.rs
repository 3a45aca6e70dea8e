//! LOAD in one function: from where a plugin's bytes are to a plugin that is ready to be called. Each stage takes what the
//! one before it returned. Nothing is published here. No guest code runs, but for one question to a plugin that names its tools itself,
//! without any grant and when everything else is cleared.

mod clock;
pub mod describe;
mod dynamic;
mod param_header;
mod pattern;
mod schema;
pub mod source;
pub mod verify;

use std::sync::Arc;

use toolgate_base::artifact::Artifact;
use toolgate_base::spec::PluginSpec;
use toolgate_policy::load::clear::{ClearanceInput, check_lints, clear};
use toolgate_policy::load::pin::{Approved, PinChangeError};
use toolgate_policy::load::signer::UnixTime;
use toolgate_policy::load::trust::Standing;
use toolgate_policy::load::{Clearance, ClearanceError, RequestedCapabilities};
use toolgate_policy::name::Prefix;
use toolgate_policy::{Digest, ToolName};
use toolgate_sandbox::Sandbox;
use toolgate_sandbox::export_request::{ExportRequest, Given};
pub use toolgate_sandbox::inspect;
use toolgate_sandbox::prepare::PrepareError;
use toolgate_signature::trust::TrustSpec;

use crate::snapshot::plugin::{Plugin, Surfaces};
use crate::snapshot::tool::{ReadyTool, ToolListing};
pub use clock::{now, to_date};
use describe::Former;
use source::Sources;
use verify::Verified;

/// Why a plugin did not load.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// What kind of reason it is.
    pub kind: Kind,
    /// Its bytes, when they could be read.
    pub digest: Option<Digest>,
    /// Every reason, each a sentence.
    pub reasons: Vec<String>,
}

/// What kind of reason keeps a plugin from loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something is not allowed: trust, grants, what it is.
    Refused,
    /// It is not what was approved, and waits for somebody to look at it.
    Held,
    /// Something does not work: its file, the compiler, the state directory.
    Failed,
}

impl Kind {
    /// One word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

/// A plugin that may be compiled and run, before it is.
pub struct Cleared {
    found: source::Found,
    /// A sentence for each thing beside it that was no signature of it.
    set_aside: Vec<String>,
    clearance: Clearance,
    listings: Vec<ToolListing>,
    surface: Artifact,
    former: Option<Former>,
    version: Option<String>,
    /// The interface by which it names further tools when it runs.
    dynamic: Option<String>,
}

/// What a plugin is held against.
#[derive(Clone, Copy)]
pub(crate) struct Against<'a> {
    pub(crate) trust: &'a TrustSpec,
    pub(crate) approved: Approved<'a>,
    /// When it is judged.
    pub(crate) now: UnixTime,
}

impl Against<'_> {
    /// What these bytes were before.
    fn standing(&self, digest: Digest) -> Standing {
        match self.approved {
            Approved::Asked(Some(pin)) if pin.digest == digest && pin.revoked.is_none() => Standing::Approved,
            Approved::Asked(_) | Approved::NotAsked => Standing::New,
        }
    }
}

/// Why what was found is not trusted, if it is not.
fn distrust(spec: &PluginSpec, found: &source::Found, against: Against<'_>) -> Option<LoadError> {
    let digest = found.artifact.digest();
    let verified = verify::verify(spec, against.trust, found, against.standing(digest), against.now);
    let error = verified.err()?;
    Some(LoadError { kind: Kind::Refused, digest: Some(digest), reasons: vec![told(&error)] })
}

/// What was fetched before of a plugin from elsewhere whose digest is known, if it is trusted, or why not.
pub(crate) fn fetched_before(
    sources: &Sources,
    spec: &PluginSpec,
    against: Against<'_>,
) -> Option<Result<source::Found, LoadError>> {
    let found = sources.fetched_before(&spec.source, spec.digest)?;
    Some(distrust(spec, &found, against).map_or(Ok(found), Err))
}

/// Fetches a plugin from where its bytes are, and waits for it. What was fetched before and is trusted is not fetched again,
/// where its digest is known; what is, is kept.
///
/// # Errors
/// [`LoadError`].
pub(crate) fn fetch(
    sources: &Sources,
    spec: &PluginSpec,
    against: Against<'_>,
) -> Result<source::Found, LoadError> {
    if let Some(Ok(found)) = fetched_before(sources, spec, against) {
        return Ok(found);
    }
    let fetched = sources.fetch(&spec.source, spec.digest, &against.trust.hints());
    take_fetched(sources, spec, against, fetched.as_ref())
}

/// What was fetched for a plugin: kept, where its digest is known and it is trusted.
///
/// # Errors
/// [`LoadError`].
pub(crate) fn take_fetched(
    sources: &Sources,
    spec: &PluginSpec,
    against: Against<'_>,
    fetched: Result<&source::Found, &source::SourceError>,
) -> Result<source::Found, LoadError> {
    match fetched {
        Ok(found) => {
            if spec.source.is_elsewhere() && spec.digest.is_some() && distrust(spec, found, against).is_none()
            {
                let signatures = verify::worth_keeping(against.trust, found);
                sources.keep(&spec.source, &found.artifact, &signatures);
            }
            Ok(found.clone())
        }
        Err(error) => {
            if error.is_absence()
                && let Some(Err(why)) = fetched_before(sources, spec, against)
            {
                // Nothing newer is to be had, and this says more.
                return Err(why);
            }
            let kind = if error.is_absence() { Kind::Failed } else { Kind::Refused };
            Err(LoadError { kind, digest: None, reasons: vec![told(error)] })
        }
    }
}

/// Loads what was found up to the decision whether it may be compiled. Cheap next to compiling.
///
/// # Errors
/// [`LoadError`].
pub(crate) fn clear_found(
    spec: &PluginSpec,
    found: source::Found,
    against: Against<'_>,
) -> Result<Cleared, LoadError> {
    let digest = found.artifact.digest();
    let standing = against.standing(digest);
    let Proved { found, verified, inspected } = prove(spec, against.trust, found, standing, against.now)?;
    let refused = |reasons: Vec<String>| LoadError { kind: Kind::Refused, digest: Some(digest), reasons };
    let described =
        describe::describe(&inspected, &spec.prefix).map_err(|error| refused(vec![told(&error)]))?;
    let former = match against.approved {
        Approved::Asked(Some(pin)) if pin.surfaces.first() == Some(&described.surface.digest()) => None,
        Approved::Asked(None) => None,
        Approved::Asked(Some(_)) | Approved::NotAsked => {
            let former = Former::of(&inspected, &described.listings);
            Some(former.map_err(|error| refused(vec![told(&error)]))?)
        }
    };
    let case = ClearanceInput {
        inspected: inspected.digest,
        declared_id: inspected.manifest.id.as_deref(),
        asked: &inspected.asked,
        tools: described.listings.len() + usize::from(inspected.dynamic.is_some()),
        program: inspected.program,
        findings: &described.findings,
        allowed: &spec.allow_lints,
        surface: described.surface.digest(),
        former_surface: former.as_ref().and_then(Former::approvable),
        approved: against.approved,
    };
    let clearance =
        clear(verified.trusted, &case, &spec.grants, spec.limits.clone()).map_err(
            |reasons| match reasons {
                ClearanceError::Refused(reasons) => {
                    refused(reasons.iter().map(ToString::to_string).collect())
                }
                ClearanceError::Held(changes) => held(spec, digest, &changes),
            },
        )?;
    Ok(Cleared {
        found,
        set_aside: verified.set_aside,
        clearance,
        listings: described.listings,
        surface: described.surface,
        former,
        version: inspected.manifest.version.clone(),
        dynamic: inspected.dynamic,
    })
}

fn held(spec: &PluginSpec, digest: Digest, changes: &[PinChangeError]) -> LoadError {
    let mut reasons: Vec<String> = changes.iter().map(ToString::to_string).collect();
    if let Some(last) = reasons.last_mut() {
        let name = &spec.name;
        last.push_str(&format!("; see `toolgate plugin diff {name}`, then `toolgate plugin approve {name}`"));
    }
    LoadError { kind: Kind::Held, digest: Some(digest), reasons }
}

/// What a plugin asks, of whom it is said that it may be looked into. Nothing is granted by it.
///
/// # Errors
/// [`LoadError`].
pub fn asked(
    sources: &Sources,
    spec: &PluginSpec,
    trust: &TrustSpec,
) -> Result<RequestedCapabilities, LoadError> {
    let against = Against { trust, approved: Approved::NotAsked, now: now() };
    let found = fetch(sources, spec, against)?;
    Ok(prove(spec, trust, found, Standing::New, against.now)?.inspected.asked)
}

/// Bytes that are trusted, and what is in them.
struct Proved {
    found: source::Found,
    verified: Verified,
    inspected: inspect::Inspected,
}

/// The first half of loading: nothing unproved is looked into.
fn prove(
    spec: &PluginSpec,
    trust: &TrustSpec,
    found: source::Found,
    standing: Standing,
    now: UnixTime,
) -> Result<Proved, LoadError> {
    let digest = found.artifact.digest();
    let refused = |reasons: Vec<String>| LoadError { kind: Kind::Refused, digest: Some(digest), reasons };
    let verified =
        verify::verify(spec, trust, &found, standing, now).map_err(|error| refused(vec![told(&error)]))?;
    let inspected =
        inspect::inspect(&found.artifact, spec.engine).map_err(|error| refused(vec![told(&error)]))?;
    Ok(Proved { found, verified, inspected })
}

impl Cleared {
    /// The bytes, with the signatures that were found beside them.
    pub(crate) fn found(&self) -> &source::Found {
        &self.found
    }

    /// What is beside it and was set aside, a sentence each.
    pub(crate) fn set_aside(&self) -> &[String] {
        &self.set_aside
    }

    /// The names of its tools. Those that it names when it runs stand in what it said when it was approved; without that they
    /// are not known.
    pub(crate) fn tools(&self, prefix: &Prefix, said: Option<&Artifact>) -> Option<Vec<ToolName>> {
        let mut names: Vec<ToolName> = self.listings.iter().map(|listing| listing.name.clone()).collect();
        if let Some(interface) = &self.dynamic {
            names.extend(dynamic::names(said?, interface, prefix)?);
        }
        Some(names)
    }

    /// What was cleared.
    pub fn clearance(&self) -> &Clearance {
        &self.clearance
    }

    /// Makes it ready to be called.
    ///
    /// # Errors
    /// [`LoadError`].
    pub(crate) fn prepare(self, spec: &PluginSpec, sandbox: &Sandbox) -> Result<Plugin, LoadError> {
        let digest = self.found.artifact.digest();
        let refused = |reasons: Vec<String>| LoadError { kind: Kind::Refused, digest: Some(digest), reasons };
        let wanted = self.listings.iter().map(|listing| ExportRequest {
            tool: listing.name.clone(),
            path: listing.path.clone(),
            function: listing.function.clone(),
            reply: listing.reply.clone(),
            given: Given::Grants,
        });
        let wanted = wanted.chain(self.dynamic.iter().flat_map(|interface| dynamic::wanted(interface)));
        // What was approved of it may be what it said by the clock of the former release.
        let before = self.dynamic.iter().filter(|_| self.former.is_some());
        let wanted = wanted.chain(before.map(|interface| dynamic::as_before(interface)));
        let mut exports = sandbox
            .prepare(&self.clearance, &self.found.artifact, wanted.collect(), spec)
            .map_err(|error| not_ready(&error, digest))?;
        let further = exports.split_off(self.listings.len());
        let mut surfaces = vec![self.surface];
        let (mut former, unseen) = self.former.map(|it| (vec![it.surface], it.unseen)).unwrap_or_default();
        let mut tools: Vec<ReadyTool> = self
            .listings
            .into_iter()
            .zip(exports)
            .map(|(listing, export)| ReadyTool { listing: Arc::new(listing), export, own: None })
            .collect();
        if let [list, call, before @ ..] = further.as_slice() {
            let ask = |list| {
                dynamic::ask(sandbox, &self.clearance, list, &spec.name, &spec.prefix)
                    .map_err(|why| refused(vec![why]))
            };
            let said = ask(list)?;
            // Some runtimes end where a clock stands at 0: nothing was approved of them there.
            if let Some(Ok(before)) = before.first().map(ask) {
                former.extend(said.as_approved_before(before));
            }
            check_lints(&said.findings, &spec.allow_lints)
                .map_err(|reasons| refused(reasons.iter().map(ToString::to_string).collect()))?;
            surfaces.push(said.surface);
            for (own, listing) in dynamic::compile(said.tools).map_err(|why| refused(vec![why]))? {
                if let Some(tool) = tools.iter().find(|tool| tool.listing.name == listing.name) {
                    return Err(refused(vec![format!(
                        "its dynamic tool {} has the name of its function {}",
                        own.name, tool.listing.path
                    )]));
                }
                let export = Arc::new(call.named(listing.name.clone()));
                tools.push(ReadyTool { listing: Arc::new(listing), export, own: Some(own) });
            }
        }
        let said = |surfaces: &[Artifact]| {
            self.clearance.check_dynamic_surface(surfaces.get(1).map(Artifact::digest))
        };
        said(&surfaces)
            .or_else(|change| said(&former).map_err(|_| change))
            .map_err(|change| held(spec, digest, &[change]))?;
        if tools.is_empty() {
            return Err(refused(vec!["it names no tool".to_owned()]));
        }
        let surfaces = Surfaces { all: surfaces, former, unseen };
        Ok(Plugin::new(spec.clone(), self.clearance, surfaces, tools, self.version))
    }
}

/// A plugin that cannot be made ready: through no fault of its own, or refused.
fn not_ready(error: &PrepareError, digest: Digest) -> LoadError {
    let kind = match error {
        PrepareError::Compile(_) | PrepareError::Store(_) => Kind::Failed,
        PrepareError::OtherBytes(_)
        | PrepareError::OtherPlugin { .. }
        | PrepareError::OtherTypes(_)
        | PrepareError::Memory { .. }
        | PrepareError::Link(_)
        | PrepareError::Folder(..)
        | PrepareError::Worker(_)
        | PrepareError::Egress(_) => Kind::Refused,
    };
    LoadError { kind, digest: Some(digest), reasons: vec![told(error)] }
}

/// An error with all that caused it, as one sentence.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
