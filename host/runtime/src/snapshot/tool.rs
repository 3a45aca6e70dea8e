//! A tool: its listing, its call target for the judge, and the export that runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use toolgate_base::json::Json;
use toolgate_base::outcome::{Answer, Content, Verdict};
use toolgate_base::spec::{CrashDetails, PluginSpec};
use toolgate_mapping::facts;
use toolgate_mapping::lower::{LowerError, Lowered, lower_within};
use toolgate_mapping::schema::Reply;
use toolgate_mapping::shape::Function;
use toolgate_policy::ToolName;
use toolgate_policy::call::{ArgumentFacts, PluginFacts, ServedTool, Target, TargetKind};
use toolgate_policy::capability::Effects;
use toolgate_policy::limits::lift::{ARGUMENT_VALUES_BYTES_MAX, SMALL_VALUES_BYTES};
use toolgate_policy::limits::load::{SCHEMA_VALUE_STEPS_MAX, SCHEMA_VALUE_STEPS_SMALL};
use toolgate_policy::load::Provenance;
use toolgate_policy::name::ExportPath;
use toolgate_sandbox::export::{Export, Val};
use toolgate_sandbox::inspect::manifest::{Claims, Icon};

use crate::admission::Admission;

/// Bytes of memory assumed per JSON node during validation; more than the average of values and counters.
const NODE_BYTES: u64 = 160;

/// Error text for a value whose validation would take too long.
const TOO_LARGE: &str = "it is too large to be held to this tool's schema";

/// An argument that clients repeat in a request header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// Path of property names from the arguments.
    pub path: Vec<String>,
    /// Header name in lower case.
    pub name: String,
}

/// A tool as listed.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolListing {
    /// Tool name.
    pub name: ToolName,
    /// Export path in the component.
    pub path: ExportPath,
    /// Parameters and result.
    pub function: Function,
    /// Presentation of its result.
    pub reply: Reply,
    /// Display name.
    pub title: Option<String>,
    /// Description by the plugin.
    pub description: String,
    /// Claims about its effects.
    pub claims: Claims,
    /// Icons.
    pub icons: Vec<Icon>,
    /// Schema of its arguments.
    pub input: Map<String, Value>,
    /// Arguments that clients repeat in headers.
    pub headers: Vec<ParamHeader>,
    /// Schema of its answer.
    pub output: Option<Map<String, Value>>,
}

/// Validates values against a schema.
pub(crate) trait Judge<V>: Send + Sync {
    /// Validates a value in at most `steps_max` steps.
    fn judge(&self, value: &V, steps_max: u64) -> Result<(), MisfitError>;
}

/// Result of a failed validation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MisfitError {
    /// Deciding would take too many steps.
    #[error("{TOO_LARGE}")]
    Large,
    /// The value does not match the schema.
    #[error("{at}{}{what}", if at.is_empty() { "" } else { ": " })]
    Wrong {
        /// Place of the fault: a JSON Pointer, empty for the whole value.
        at: String,
        what: String,
    },
}

/// Parts of a dynamic tool, which its plugin declares at run time.
pub(crate) struct Own {
    /// Name that the plugin uses.
    pub(crate) name: String,
    /// Validates arguments.
    pub(crate) input: Box<dyn Judge<Json>>,
    /// Validates answers, if the tool declares a schema for them.
    pub(crate) output: Option<Box<dyn Judge<Value>>>,
}

pub(crate) struct ReadyTool {
    pub(crate) listing: Arc<ToolListing>,
    pub(crate) export: Arc<Export>,
    /// Present for a dynamic tool.
    pub(crate) own: Option<Own>,
}

/// A tool that serves.
pub struct Tool {
    /// Listing of the tool.
    pub listing: Arc<ToolListing>,
    /// Call target, for the judge.
    pub target: Target,
    pub(crate) export: Arc<Export>,
    pub(crate) admission: Arc<Admission>,
    /// Signers and approval on which it serves.
    pub provenance: Arc<Provenance>,
    /// Cancelled to end the plugin's calls when it is revoked.
    pub(crate) revoked: CancellationToken,
    /// Callers that receive the plugin's last output when it crashes.
    pub(crate) crash_details: CrashDetails,
    own: Option<Own>,
}

impl Tool {
    pub(super) fn new(
        spec: &PluginSpec,
        facts: &Arc<PluginFacts>,
        ready: ReadyTool,
        admission: Arc<Admission>,
        provenance: Arc<Provenance>,
        revoked: CancellationToken,
    ) -> Self {
        let ReadyTool { listing, export, own } = ready;
        #[expect(clippy::disallowed_methods, reason = "all of it is what was cleared")]
        let target = Target::new(TargetKind::Tool(listing.name.clone()), Arc::clone(facts));
        let crash_details = spec.crash_details;
        Self { listing, target, export, admission, provenance, revoked, crash_details, own }
    }

    /// Converts arguments to the values that its function takes, within `bytes_max` bytes of memory.
    ///
    /// # Errors
    /// All faults of the arguments; for a dynamic tool, the first.
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
                    Err(MisfitError::Large) if is_small => return Err(LowerError::Large),
                    Err(MisfitError::Large) => {
                        return Err(LowerError::Schema(format!(
                            "the arguments: {TOO_LARGE}; give less at once"
                        )));
                    }
                    Err(MisfitError::Wrong { at, what }) => {
                        let at = if at.is_empty() { "the arguments" } else { &at };
                        return Err(LowerError::Schema(format!("{at}: {what}")));
                    }
                }
                Ok(Lowered { vals: vec![Val::String(own.name.clone()), Val::String(text)], bytes })
            }
            // A function without parameters makes the error say that an object is expected.
            (Some(_), other) => {
                let nothing = Function { params: Vec::new(), result: None, deferred: None };
                lower_within(other, &nothing, bytes_max)
            }
            (None, arguments) => lower_within(arguments, self.export.function(), bytes_max),
        }
    }

    /// The tool as rules are bound to it.
    pub(crate) fn served(&self) -> ServedTool {
        let arguments = match &self.own {
            // A dynamic tool has no types in WIT.
            Some(_) => BTreeMap::new(),
            None => facts::types(self.export.function()),
        };
        let writes = self.effects().writes;
        let destructive = writes || self.listing.claims.destructive == Some(true);
        ServedTool { target: self.target.clone(), arguments, destructive }
    }

    /// Facts about lowered arguments, for rules.
    pub(crate) fn facts(&self, args: &Lowered) -> ArgumentFacts {
        match &self.own {
            Some(_) => ArgumentFacts::new(BTreeMap::new()),
            None => facts::facts(&args.vals, self.export.function()),
        }
    }

    /// Facts about these arguments as rules would see them in a call. The plugin is not entered.
    ///
    /// # Errors
    /// All faults of the arguments; for a dynamic tool, the first.
    pub fn argument_facts(&self, arguments: &Json) -> Result<ArgumentFacts, LowerError> {
        Ok(self.facts(&self.lower(arguments, ARGUMENT_VALUES_BYTES_MAX)?))
    }

    /// Memory for validating arguments against the plugin's schema.
    pub(crate) fn judging_bytes(&self, arguments: &Json) -> u64 {
        self.own.as_ref().map_or(0, |_| (arguments.nodes() as u64).saturating_mul(NODE_BYTES))
    }

    /// Whether it declares a schema for its answers, so that they must be validated.
    pub(crate) fn judges_answers(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.output.is_some())
    }

    /// Validates an answer against the declared schema. Errors are not validated.
    pub(crate) fn judge(&self, answer: &Answer, steps_max: u64) -> Result<(), MisfitError> {
        let Some(output) = self.own.as_ref().and_then(|own| own.output.as_ref()) else { return Ok(()) };
        match (answer.verdict, &answer.content) {
            (Verdict::Err, _) => Ok(()),
            (
                Verdict::Ok,
                Content::Blocks { structured: Some(structured), .. } | Content::Value { structured, .. },
            ) => output.judge(structured, steps_max),
            (Verdict::Ok, _) => {
                let what = "there is no structured content, and the schema is of an object".to_owned();
                Err(MisfitError::Wrong { at: String::new(), what })
            }
        }
    }

    /// Effects that the plugin's grants amount to.
    pub fn effects(&self) -> Effects {
        self.target.effects()
    }
}
