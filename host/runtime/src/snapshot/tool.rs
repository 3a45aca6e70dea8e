//! A tool: what is listed of it, what the judge may know of it, and what runs when it is called.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use toolgate_policy::ToolName;
use toolgate_policy::call::Target;
use toolgate_policy::capability::Effects;
use toolgate_policy::limits::lift::SMALL_VALUES_BYTES;
use toolgate_policy::limits::load::{SCHEMA_VALUE_STEPS_MAX, SCHEMA_VALUE_STEPS_SMALL};
use toolgate_policy::load::{Clearance, Provenance};
use toolgate_policy::name::ExportPath;

use crate::admission::Admission;
use crate::json::Json;
use crate::mapping::lower::{LowerError, Lowered, lower_within};
use crate::mapping::schema::Reply;
use crate::mapping::shape::Function;
use crate::outcome::{Answer, Content, Verdict};
use crate::sandbox::export::{Export, Val};
use crate::spec::{CrashDetails, PluginSpec};

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

/// Memory of a value of JSON while it is held to a schema, in bytes: more than it and what is counted of it take on the average.
const NODE_BYTES: u64 = 160;

/// What is said of a value that takes too long.
pub(crate) const TOO_LARGE: &str = "it is too large to be held to this tool's schema";

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
pub struct ToolListing {
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

/// Holds values to a schema.
pub(crate) trait Judge<V>: Send + Sync {
    /// Whether a value fits, in so many steps.
    ///
    /// # Errors
    /// [`Misfit`].
    fn judge(&self, value: &V, steps_max: u64) -> Result<(), Misfit>;
}

/// Why a value does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It takes more steps to know.
    Large,
    /// It does not.
    Wrong {
        /// Where: a JSON Pointer, empty for the whole.
        at: String,
        /// What is wrong there.
        what: String,
    },
}

/// A tool that its plugin names when it runs: what is the plugin's own.
pub(crate) struct Own {
    /// Its name.
    pub(crate) name: String,
    /// What holds arguments to its schema.
    pub(crate) input: Box<dyn Judge<Json>>,
    /// … answers, where it says what they are.
    pub(crate) output: Option<Box<dyn Judge<Value>>>,
}

/// A tool that is ready to serve.
pub(crate) struct ReadyTool {
    pub(crate) listing: Arc<ToolListing>,
    pub(crate) export: Arc<Export>,
    /// When it is one of those that the plugin names when it runs.
    pub(crate) own: Option<Own>,
}

/// A tool that serves.
pub struct Tool {
    /// What is listed of it.
    pub listing: Arc<ToolListing>,
    /// What the judge may know of it.
    pub target: Target,
    pub(crate) export: Arc<Export>,
    pub(crate) admission: Arc<Admission>,
    /// On whose word it serves.
    pub provenance: Arc<Provenance>,
    /// Ends the plugin's calls when it is revoked.
    pub(crate) revoked: CancellationToken,
    /// Who is told what the plugin wrote last when it crashes.
    pub(crate) crash_details: CrashDetails,
    own: Option<Own>,
}

impl Tool {
    pub(super) fn new(
        spec: &PluginSpec,
        clearance: &Clearance,
        ready: ReadyTool,
        admission: Arc<Admission>,
        provenance: Arc<Provenance>,
        revoked: CancellationToken,
    ) -> Self {
        let ReadyTool { listing, export, own } = ready;
        #[expect(clippy::disallowed_methods, reason = "all of it is what was cleared")]
        let target = Target::new(
            listing.name.clone(),
            spec.name.clone(),
            clearance.digest(),
            clearance.effective().effects(),
        );
        let crash_details = spec.crash_details;
        Self { listing, target, export, admission, provenance, revoked, crash_details, own }
    }

    /// Arguments as the values that its function takes, in so many bytes of memory.
    ///
    /// # Errors
    /// Everything wrong with them; of a tool that its plugin names when it runs, the first thing.
    pub(crate) fn lower(&self, arguments: &Json, bytes_max: u64) -> Result<Lowered, LowerError> {
        match (&self.own, arguments) {
            (Some(own), Json::Object(_)) => {
                let text = arguments.text();
                let bytes = (own.name.len() + text.len()) as u64;
                let is_small = bytes_max <= SMALL_VALUES_BYTES;
                if bytes > bytes_max || self.judging_bytes(arguments) > bytes_max {
                    return Err(LowerError::Large);
                }
                let steps_max = if is_small { SCHEMA_VALUE_STEPS_SMALL } else { SCHEMA_VALUE_STEPS_MAX };
                match own.input.judge(arguments, steps_max) {
                    Ok(()) => {}
                    Err(Misfit::Large) if is_small => return Err(LowerError::Large),
                    Err(Misfit::Large) => {
                        return Err(LowerError::Schema(format!(
                            "the arguments: {TOO_LARGE}; give less at once"
                        )));
                    }
                    Err(Misfit::Wrong { at, what }) => {
                        let at = if at.is_empty() { "the arguments" } else { &at };
                        return Err(LowerError::Schema(format!("{at}: {what}")));
                    }
                }
                Ok(Lowered { vals: vec![Val::String(own.name.clone()), Val::String(text)], bytes })
            }
            // No parameters: says that it is no object.
            (Some(_), other) => {
                let nothing = Function { params: Vec::new(), result: None, deferred: None };
                lower_within(other, &nothing, bytes_max)
            }
            (None, arguments) => lower_within(arguments, self.export.function(), bytes_max),
        }
    }

    /// Memory that arguments take while they are held to a schema that the plugin wrote.
    pub(crate) fn judging_bytes(&self, arguments: &Json) -> u64 {
        self.own.as_ref().map_or(0, |_| (arguments.nodes() as u64).saturating_mul(NODE_BYTES))
    }

    /// Whether it says itself what its answers are, so that they are to be held to it.
    pub(crate) fn judges_answers(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.output.is_some())
    }

    /// Holds an answer to what the tool says that its answers are. An error is none.
    ///
    /// # Errors
    /// [`Misfit`].
    pub(crate) fn judge(&self, answer: &Answer, steps_max: u64) -> Result<(), Misfit> {
        let Some(output) = self.own.as_ref().and_then(|own| own.output.as_ref()) else { return Ok(()) };
        match (answer.verdict, &answer.content) {
            (Verdict::Err, _) => Ok(()),
            (
                Verdict::Ok,
                Content::Blocks { structured: Some(structured), .. } | Content::Value { structured, .. },
            ) => output.judge(structured, steps_max),
            (Verdict::Ok, _) => {
                let what = "there is no structured content, and the schema is of an object".to_owned();
                Err(Misfit::Wrong { at: String::new(), what })
            }
        }
    }

    /// What its plugin's grants amount to.
    pub fn effects(&self) -> Effects {
        self.target.effects()
    }
}
