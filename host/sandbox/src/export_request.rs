//! A function that is to be made ready.

use toolgate_mapping::schema::Reply;
use toolgate_mapping::shape::Function;
use toolgate_policy::ToolName;
use toolgate_policy::name::ExportPath;

/// A function to be made ready.
pub struct ExportRequest {
    /// Name of the tool.
    pub tool: ToolName,
    /// Export of the component.
    pub path: ExportPath,
    /// Type that was inspected; the compiled export must have it.
    pub function: Function,
    /// Form of the answer.
    pub reply: Reply,
    /// With what it is entered.
    pub given: Given,
}

/// With what a function is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Given {
    /// What the plugin is granted.
    Grants,
    /// Nothing, whatever the plugin is granted.
    Nothing,
    /// Nothing, as it was in the former release.
    NothingAsBefore,
}
