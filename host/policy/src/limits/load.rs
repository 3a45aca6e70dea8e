//! What may be loaded: sizes of files and of what is inside a component. Not settable: a plugin beyond these is refused,
//! with the name of what it exceeds.

use super::{KIB, MIB};

/// Bytes of a component. The largest honest ones, an interpreter with its library inside, have some 20 MB.
pub const COMPONENT_BYTES_MAX: u64 = 64 * MIB;

/// Bytes of a signature file.
pub const SIGNATURE_BYTES_MAX: u64 = MIB;

/// Signature files looked at for one plugin.
pub const SIGNATURES_MAX: usize = 16;

/// Bytes of a configuration file, a trust policy or a key.
pub const CONFIG_BYTES_MAX: u64 = MIB;

/// Bytes of a secret.
pub const SECRET_BYTES_MAX: u64 = 64 * KIB;

/// Bytes of one core function's body. Compile time grows faster than this does.
pub const FUNCTION_BYTES_MAX: u64 = 2 * MIB;

/// Core functions of a component, all its modules together.
pub const FUNCTIONS_MAX: u64 = 200_000;

/// Core modules of a component.
pub const MODULES_MAX: u64 = 256;

/// Core instances that instantiating a component makes.
pub const CORE_INSTANCES_MAX: u32 = 256;

/// Memories of a component. An interpreter assembled from shared libraries has several.
pub const MEMORIES_MAX: u32 = 16;

/// Tables of a component.
pub const TABLES_MAX: u32 = 64;

/// Elements of one table.
pub const TABLE_ELEMENTS_MAX: u64 = 100_000;

/// Nested components and types, and the depth of any nesting.
pub const NESTING_MAX: u32 = 32;

/// Types that a component defines, all levels together.
pub const TYPES_MAX: u64 = 100_000;

/// Bytes of a name that a component imports or exports.
pub const NAME_BYTES_MAX: usize = 512;

/// Interfaces that a component imports.
pub const IMPORTS_MAX: usize = 256;

/// Tools of one plugin.
pub const TOOLS_MAX: usize = 1_024;

/// Depth of one tool's schema.
pub const SCHEMA_DEPTH_MAX: usize = 32;

/// Subschemas of one tool.
pub const SCHEMA_NODES_MAX: usize = 512;

/// Bytes of one tool's schemas.
pub const SCHEMA_BYTES_MAX: usize = 64 * KIB as usize;

/// Bytes of the `toolgate` section.
pub const SECTION_BYTES_MAX: usize = 64 * KIB as usize;

/// Bytes of the `package-docs` section. A larger one is left aside.
pub const DOCS_BYTES_MAX: usize = 256 * KIB as usize;

/// Icons of a tool.
pub const ICONS_MAX: usize = 4;

/// Bytes of an icon's URL.
pub const ICON_BYTES_MAX: usize = 16 * KIB as usize;

/// Bytes of the compiled form of a component that the cache is believed about.
pub const COMPILED_BYTES_MAX: u64 = 1024 * MIB;

/// Plugins in one configuration.
pub const PLUGINS_MAX: usize = 512;
