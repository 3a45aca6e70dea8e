//! A function that is to be made ready.

use toolgate_policy::ToolName;
use toolgate_policy::name::ExportPath;

use crate::mapping::schema::Reply;
use crate::mapping::shape::Function;

/// A function to be made ready.
pub(crate) struct ExportRequest {
    pub(crate) tool: ToolName,
    pub(crate) path: ExportPath,
    pub(crate) function: Function,
    pub(crate) reply: Reply,
    /// With what it is entered.
    pub(crate) given: Given,
}

/// With what a function is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Given {
    /// What the plugin is granted.
    Grants,
    /// Nothing, whatever the plugin is granted.
    Nothing,
    /// Nothing, as it was in the former release.
    NothingAsBefore,
}
