//! Reasons why a call is denied.

use std::sync::Arc;

use super::rule_id::RuleId;

/// Reason why a call is denied. Callers cannot tell an unknown tool from a forbidden one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeniedError {
    /// There is no such tool.
    #[error("no tool of that name is served")]
    Unknown,
    /// No rule permits it, or these forbid it.
    #[error("{}", if .by.is_empty() { "no rule permits it".to_owned() } else { format!("forbidden by {}", listed(.by)) })]
    Hidden {
        /// Rules that forbid it; empty where none permits it.
        by: Arc<[RuleId]>,
    },
    /// It would be permitted with more scopes, which the issuer can grant (RFC 6750 §3.1, `insufficient_scope`).
    #[error("it needs {} {}", if .needed.len() == 1 { "scope" } else { "scopes" }, .needed.join(" "))]
    Scope {
        /// The scopes that are missing, sorted.
        needed: Arc<[String]>,
        /// Rules that would permit it.
        by: Arc<[RuleId]>,
    },
    /// A rule forbids it with these arguments.
    #[error("{}", .reason.as_deref().map_or_else(|| format!("forbidden by {rule}"), str::to_owned))]
    Arguments {
        /// The rule.
        rule: RuleId,
        /// Its `@reason`, which the caller may see.
        reason: Option<Arc<str>>,
    },
    /// The rules changed between the two steps of the verdict, or could not be evaluated.
    #[error("the rules could not be evaluated{}", if .ids.is_empty() { String::new() } else { format!(": {}", listed(.ids)) })]
    Errored {
        /// Rules that failed.
        ids: Arc<[RuleId]>,
    },
}

impl DeniedError {
    /// The rule `id` could not be applied.
    pub fn errored(id: RuleId) -> Self {
        Self::Errored { ids: Arc::new([id]) }
    }

    /// Whether lists show the target nevertheless: a client that never sees it would never ask for the scope.
    pub fn is_listed(&self) -> bool {
        matches!(self, Self::Scope { .. })
    }

    /// Rules that decided.
    pub fn rules(&self) -> &[RuleId] {
        match self {
            Self::Unknown => &[],
            Self::Hidden { by } | Self::Scope { by, .. } => by,
            Self::Arguments { rule, .. } => std::slice::from_ref(rule),
            Self::Errored { ids } => ids,
        }
    }
}

fn listed(rules: &[RuleId]) -> String {
    rules.iter().map(RuleId::as_str).collect::<Vec<_>>().join(", ")
}
