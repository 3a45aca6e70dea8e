//! Request to prepare an exported function.

use toolgate_mapping::schema::Reply;
use toolgate_mapping::shape::Function;
use toolgate_policy::ToolName;
use toolgate_policy::name::ExportPath;

/// Function to prepare.
pub struct ExportRequest {
    /// Name of the tool.
    pub tool: ToolName,
    /// Export of the component.
    pub path: ExportPath,
    /// Type that was inspected; the compiled export must have it.
    pub function: Function,
    /// Form of the answer.
    pub reply: Reply,
    /// Grants with which it is called.
    pub given: Given,
}

/// Grants with which a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Given {
    /// The plugin's grants.
    Grants,
    /// None, whatever the plugin is granted.
    Nothing,
    /// None, with the behaviour of the previous release.
    NothingAsBefore,
}
