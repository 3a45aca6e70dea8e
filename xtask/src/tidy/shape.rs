//! Checks a file's size, first line, name, and the length of its functions.

use super::Source;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Names that do not describe content.
const BANNED: [&str; 9] =
    ["utils", "util", "helpers", "common", "misc", "types", "internal", "manager", "service"];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(check_one).collect()
}

fn check_one(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        broken.push(format!("{}: {lines} lines; {FILE_LINES_MAX} at the most", source.path));
    }
    if !source.text.starts_with("//! ") {
        broken
            .push(format!("{}: it does not begin with a `//!` line that says what lives here", source.path));
    }
    let parts = source.path.trim_end_matches(".rs").split('/');
    for part in parts.filter(|part| BANNED.contains(part)) {
        broken.push(format!("{}: `{part}` says nothing about what lives there", source.path));
    }
    if source.path.ends_with("/mod.rs") {
        broken.push(format!("{}: no mod.rs; write the module beside its folder", source.path));
    }
    broken.extend(long_functions(source));
    broken
}

/// Finds long functions. Code is formatted, so a function ends at a brace with its indentation.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut broken = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines.iter().skip(start).take_while(|line| **line != closing).count() + 1;
        if !line.ends_with(['}', ';']) && length > FUNCTION_LINES_MAX {
            let at = start + 1;
            broken.push(format!(
                "{}:{at}: `{name}` has {length} lines; {FUNCTION_LINES_MAX} at the most",
                source.path
            ));
        }
    }
    broken
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        let (word, after) = rest.split_once(' ')?;
        match word {
            "fn" => return after.split(['(', '<']).next(),
            "pub" | "pub(crate)" | "pub(super)" | "const" | "async" | "unsafe" | "extern" => rest = after,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> usize {
        check(&[Source { path: path.to_owned(), text: text.to_owned() }]).len()
    }

    #[test]
    fn size_header_name_and_functions_are_looked_at() {
        assert_eq!(broken("host/a/src/b.rs", "//! B.\nfn f() {\n}\n"), 0);
        assert_eq!(broken("host/a/src/b.rs", "fn f() {\n}\n"), 1);
        assert_eq!(broken("host/a/src/utils.rs", "//! B.\n"), 1);
        assert_eq!(broken("host/a/src/b/mod.rs", "//! B.\n"), 1);
        assert_eq!(broken("host/a/src/b.rs", &format!("//! B.\n{}", "\n".repeat(400))), 1);
        let function = |lines: usize| {
            format!("//! B.\n    pub async fn f<T>(\n    ) {{\n{}    }}\n", "        x();\n".repeat(lines))
        };
        assert_eq!(broken("host/a/src/b.rs", &function(67)), 0);
        assert_eq!(broken("host/a/src/b.rs", &function(68)), 1);
    }
}
