//! A tool: what is listed of it, what the judge may know of it, and what runs when it is called.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use toolgate_policy::call::Target;
use toolgate_policy::capability::Effects;
use toolgate_policy::load::{Clearance, Provenance};
use toolgate_policy::name::ExportPath;
use toolgate_policy::{PluginName, ToolName};

use crate::admission::Admission;
use crate::json::Json;
use crate::mapping::lower::{LowerError, Lowered, lower_within};
use crate::mapping::schema::Reply;
use crate::mapping::shape::Function;
use crate::sandbox::prepare::{Export, Val};

/// What a plugin says of a tool's effects. The host takes it only where it makes callers more careful.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// It changes nothing.
    pub read_only: Option<bool>,
    /// It may destroy something.
    pub destructive: Option<bool>,
    /// Calling it twice is like calling it once.
    pub idempotent: Option<bool>,
    /// It deals with things outside.
    pub open_world: Option<bool>,
}

/// A picture for a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icon {
    /// Its media type.
    pub mime: String,
    /// A `data:` URL.
    pub src: String,
}

/// An argument that clients repeat in a header of their requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The names that lead to it from the arguments.
    pub path: Vec<String>,
    /// The name of the header, in lower case.
    pub name: String,
}

/// One tool as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Its name.
    pub name: ToolName,
    /// Where the component exports it.
    pub path: ExportPath,
    /// What it takes and gives.
    pub function: Function,
    /// How its result is told.
    pub reply: Reply,
    /// A name for people.
    pub title: Option<String>,
    /// What it says of itself.
    pub description: String,
    /// What it says of its effects.
    pub claims: Claims,
    /// What it looks like.
    pub icons: Vec<Icon>,
    /// The schema of its arguments.
    pub input: Map<String, Value>,
    /// Those of them that clients repeat in headers.
    pub headers: Vec<ParamHeader>,
    /// The schema of its answer.
    pub output: Option<Map<String, Value>>,
}

/// A tool that is ready to serve.
pub(crate) struct Ready {
    pub(crate) listing: Arc<Listing>,
    pub(crate) export: Arc<Export>,
    /// The plugin's own name for it, when it is one of those that it names when it runs.
    pub(crate) own_name: Option<String>,
}

/// A tool that serves.
pub struct Tool {
    /// What is listed of it.
    pub listing: Arc<Listing>,
    /// What the judge may know of it.
    pub target: Target,
    pub(crate) export: Arc<Export>,
    pub(crate) admission: Arc<Admission>,
    /// On whose word it serves.
    pub provenance: Arc<Provenance>,
    /// Ends the plugin's calls when it is revoked.
    pub(crate) revoked: CancellationToken,
    own_name: Option<String>,
}

impl Tool {
    pub(super) fn new(
        plugin: &PluginName,
        clearance: &Clearance,
        ready: Ready,
        admission: Arc<Admission>,
        provenance: Arc<Provenance>,
        revoked: CancellationToken,
    ) -> Self {
        let Ready { listing, export, own_name } = ready;
        #[expect(clippy::disallowed_methods, reason = "all of it is what was cleared")]
        let target = Target::new(
            listing.name.clone(),
            plugin.clone(),
            clearance.digest(),
            clearance.effective().effects(),
        );
        Self { listing, target, export, admission, provenance, revoked, own_name }
    }

    /// Arguments as the values that its function takes, in so many bytes of memory.
    ///
    /// # Errors
    /// Everything wrong with them. What a plugin names when it runs it checks itself; here they need only be an object.
    pub(crate) fn lower(&self, arguments: &Json, bytes_max: u64) -> Result<Lowered, LowerError> {
        match (&self.own_name, arguments) {
            (Some(own), Json::Object(_)) => {
                let text = arguments.text();
                let bytes = (own.len() + text.len()) as u64;
                if bytes > bytes_max {
                    return Err(LowerError::Large);
                }
                Ok(Lowered { vals: vec![Val::String(own.clone()), Val::String(text)], bytes })
            }
            // No parameters: says that it is no object.
            (Some(_), other) => {
                let nothing = Function { params: Vec::new(), result: None, deferred: None };
                lower_within(other, &nothing, bytes_max)
            }
            (None, arguments) => lower_within(arguments, self.export.function(), bytes_max),
        }
    }

    /// What its plugin's grants amount to.
    pub fn effects(&self) -> Effects {
        self.target.effects()
    }
}
