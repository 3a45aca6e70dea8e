//! Names of plugins, and of tools, which derive from a component's exports. Only this file knows the separator, the
//! length limit and the hash suffix of tool names.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Digest;
use crate::redact::printable;

/// The name of a plugin in a configuration: `[a-z][a-z0-9-]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(String);

/// Prefix of a plugin's tool names: empty, or `[A-Za-z0-9_-]{1,32}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// The name of a tool: `[A-Za-z0-9_-]{1,64}`, which is what every known client accepts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolName(String);

/// Path of an exported function in a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportPath {
    /// Interface as the component names it, such as `docs:adv/calc@1.0.0` or `calc`; `None` for the world itself.
    pub interface: Option<String>,
    /// Name of the function.
    pub function: String,
}

/// A text that is not a valid name. It is shown escaped, as an attacker may have chosen it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a {what}; write {write}", printable(text, 100))]
pub struct NameError {
    text: String,
    what: &'static str,
    write: &'static str,
}

const TOOL_NAME_MAX: usize = 64;
const SEPARATOR: char = '_';

/// Parts of an export's path in a tool's name. Longer forms only avoid clashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Function,
    Interface,
    Package,
    Version,
    Namespace,
}

impl PluginName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Prefix {
    /// Reads a prefix. Refuses other characters, or more than 32.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() <= 32 && text.bytes().all(is_tool_byte) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            text: text.to_owned(),
            what: "prefix",
            write: "up to 32 letters, digits, - or _, or \"\" for none",
        })
    }

    /// The empty prefix.
    pub const fn none() -> Self {
        Self(String::new())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&PluginName> for Prefix {
    fn from(name: &PluginName) -> Self {
        Self(name.0.clone())
    }
}

impl ToolName {
    /// Reads a name from a caller.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if (1..=TOOL_NAME_MAX).contains(&text.len()) && text.bytes().all(is_tool_byte) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError { text: text.to_owned(), what: "tool name", write: "1 to 64 letters, digits, - or _" })
    }

    /// A name for an internal call that is never listed: no caller can write it.
    pub fn internal(what: &str) -> Self {
        Self(format!("({what})"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExportPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

/// Names the tools of one plugin, in the order of `paths`: `prefix_function`. Names that clash get the interface too,
/// then package, version and namespace. A name that is too long is cut and ends in six digits of its path's hash. The
/// names are distinct when the paths are.
pub fn tool_names(prefix: &Prefix, paths: &[ExportPath]) -> Vec<ToolName> {
    let mut forms = vec![Form::Function; paths.len()];
    for longer in [Form::Interface, Form::Package, Form::Version, Form::Namespace] {
        let mut sharing: BTreeMap<ToolName, Vec<usize>> = BTreeMap::new();
        for (index, (path, form)) in paths.iter().zip(&forms).enumerate() {
            sharing.entry(tool_name(prefix, path, *form)).or_default().push(index);
        }
        for index in sharing.into_values().filter(|group| group.len() > 1).flatten() {
            if let (Some(form), Some(path)) = (forms.get_mut(index), paths.get(index))
                && path.interface.is_some()
            {
                *form = longer;
            }
        }
    }
    let named: Vec<ToolName> =
        paths.iter().zip(&forms).map(|(path, form)| tool_name(prefix, path, *form)).collect();
    let mut count: BTreeMap<&ToolName, usize> = BTreeMap::new();
    for name in &named {
        *count.entry(name).or_default() += 1;
    }
    let is_shared = |name: &ToolName| count.get(name).is_some_and(|n| *n > 1);
    let told_apart = |(name, path): (&ToolName, &ExportPath)| {
        if is_shared(name) { with_tail(&name.0, path) } else { name.clone() }
    };
    named.iter().zip(paths).map(told_apart).collect()
}

fn tool_name(prefix: &Prefix, path: &ExportPath, form: Form) -> ToolName {
    let mut name = prefix.0.clone();
    let mut push = |part: &str| {
        if !part.is_empty() {
            if !name.is_empty() {
                name.push(SEPARATOR);
            }
            name.extend(part.chars().map(|c| if c.is_ascii() && is_tool_byte(c as u8) { c } else { '-' }));
        }
    };
    if let Some(interface) = &path.interface {
        let (rest, version) = interface.split_once('@').unwrap_or((interface, ""));
        let (package, interface) = rest.rsplit_once('/').unwrap_or(("", rest));
        let (namespace, package) = package.split_once(':').unwrap_or(("", package));
        if form >= Form::Namespace {
            push(namespace);
        }
        if form >= Form::Package {
            push(package);
        }
        if form >= Form::Version && !version.is_empty() {
            push(&format!("{interface}-{version}"));
        } else if form >= Form::Interface {
            push(interface);
        }
    }
    push(&path.function);
    if name.len() > TOOL_NAME_MAX { with_tail(&name, path) } else { ToolName(name) }
}

fn with_tail(name: &str, path: &ExportPath) -> ToolName {
    let tail = Digest::of(path.to_string().as_bytes()).short(6);
    let kept: String = name.chars().take(TOOL_NAME_MAX - 1 - tail.len()).collect();
    ToolName(format!("{kept}{SEPARATOR}{tail}"))
}

fn is_tool_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

impl FromStr for PluginName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if starts && rest && text.len() <= 32 {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            text: text.to_owned(),
            what: "plugin name",
            write: "a lower-case letter, then up to 31 lower-case letters, digits or -",
        })
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(interface: &str, function: &str) -> ExportPath {
        let interface = (!interface.is_empty()).then(|| interface.to_owned());
        ExportPath { interface, function: function.to_owned() }
    }

    fn names(prefix: &str, paths: &[(&str, &str)]) -> Vec<String> {
        let paths: Vec<ExportPath> = paths.iter().map(|(i, f)| path(i, f)).collect();
        tool_names(&Prefix::parse(prefix).unwrap(), &paths).into_iter().map(|name| name.0).collect()
    }

    #[test]
    fn a_function_is_named_after_its_plugin_and_itself() {
        assert_eq!(
            names("files", &[("", "read-file"), ("a:b/search@1.0.0", "find")]),
            ["files_read-file", "files_find"]
        );
        assert_eq!(names("", &[("", "greet")]), ["greet"]);
    }

    #[test]
    fn all_that_clash_take_the_long_form_and_only_as_much_of_it_as_tells_them_apart() {
        assert_eq!(
            names("p", &[("a:x/add@1.0.0", "run"), ("a:x/sub@1.0.0", "run"), ("", "other")]),
            ["p_add_run", "p_sub_run", "p_other"]
        );
        assert_eq!(names("p", &[("", "run"), ("a:x/add", "run")]), ["p_run", "p_add_run"]);
        assert_eq!(
            names("", &[("docs:adv/calc@1.0.0", "add"), ("docs:adv/calc@2.0.0", "add")]),
            ["adv_calc-1-0-0_add", "adv_calc-2-0-0_add"]
        );
        assert_eq!(names("", &[("a:m/calc", "add"), ("b:m/calc", "add")]), ["a_m_calc_add", "b_m_calc_add"]);
    }

    #[test]
    fn a_long_name_is_cut_to_64_and_ends_in_a_hash_of_its_path() {
        let long = "x".repeat(200);
        let named = names("plugin", &[("", &long), ("a:b/c", &long)]);
        for name in &named {
            assert_eq!(name.len(), 64);
            assert!(ToolName::parse(name).is_ok());
        }
        assert_ne!(named.first(), named.last());
        assert_eq!(named, names("plugin", &[("", &long), ("a:b/c", &long)]), "the same each time");
    }

    #[test]
    fn names_are_distinct_whatever_the_paths_are_called() {
        let tricky = [
            ("a:b/c", "d"),
            ("a:b/c-d", "e"),
            ("a:b-c/d", "e"),
            ("", "c_d"),
            ("c", "d"),
            ("a:b/c@1.0.0-rc.1", "d"),
            ("a:b/c@1.0.0-rc-1", "d"),
            ("a:b/c@1-0-0-rc-1", "d"),
        ];
        let mut named = names("p", &tricky);
        named.sort();
        named.dedup();
        assert_eq!(named.len(), tricky.len());
    }

    #[test]
    fn plugin_names_and_prefixes_are_what_the_contract_says() {
        for good in ["a", "files", "a1-b", &"a".repeat(32)] {
            assert!(good.parse::<PluginName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "-a", "a_b", "a.b", "ä", &"a".repeat(33)] {
            assert!(bad.parse::<PluginName>().is_err(), "{bad}");
        }
        assert!(
            Prefix::parse("").is_ok() && Prefix::parse("My_tools-2").is_ok() && Prefix::parse("a b").is_err()
        );
    }
}
