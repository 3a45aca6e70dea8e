//! Paths, lints and types in a source file, found by tokens: comments and strings do not count, nor does code built for
//! tests only.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path, such as `["crate", "spec", "Spec"]`. A group in a `use` gives one for each name.
pub(super) type Path = Vec<String>;

/// Paths in code that is built into the program.
pub(super) fn paths(text: &str) -> Result<Vec<Path>, String> {
    let mut paths = Vec::new();
    add_paths(without_tests(parse(text)?), &[], false, &mut paths);
    Ok(paths)
}

/// Lints that are allowed or expected anywhere in the file, including tests.
pub(super) fn lints(text: &str) -> Result<Vec<Path>, String> {
    let mut lints = Vec::new();
    add_lints(parse(text)?, &mut lints);
    Ok(lints)
}

/// Conditions in `cfg(…)` and the like, anywhere in the file.
pub(super) fn conditions(text: &str) -> Result<Vec<String>, String> {
    let mut conditions = Vec::new();
    add_conditions(parse(text)?, &mut conditions);
    Ok(conditions)
}

/// Modules named `…_tests` that are built into the program.
pub(super) fn built_tests(text: &str) -> Result<Vec<String>, String> {
    let tokens: Vec<TokenTree> = without_tests(parse(text)?).into_iter().collect();
    let modules = tokens.windows(2).filter_map(|pair| match pair {
        [TokenTree::Ident(word), name] if word == "mod" => Some(name.to_string()),
        _ => None,
    });
    let attributes = tokens.iter().filter(|token| is_group(token, Delimiter::Bracket));
    let named = attributes.map(ToString::to_string).filter(|text| text.contains("_tests.rs"));
    Ok(modules.filter(|name| name.ends_with("_tests")).chain(named).collect())
}

/// Error types in the program, by `derive(Error)` or `impl Error for …`.
pub(super) fn errors(text: &str) -> Result<Vec<String>, String> {
    let mut errors = Vec::new();
    add_errors(without_tests(parse(text)?), &mut errors);
    Ok(errors)
}

/// Top-level types of the program that other files can see (`pub` or `pub(…)`).
pub(super) fn visible_types(text: &str) -> Result<Vec<String>, String> {
    let tokens: Vec<TokenTree> = without_tests(parse(text)?).into_iter().collect();
    let mut types = Vec::new();
    let mut rest = tokens.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        if !matches!(first, TokenTree::Ident(word) if word == "pub") {
            continue;
        }
        let item = match after {
            [to, item @ ..] if is_group(to, Delimiter::Parenthesis) => item,
            item => item,
        };
        if let [TokenTree::Ident(kind), TokenTree::Ident(name), ..] = item
            && ["struct", "enum", "trait", "type", "union"].iter().any(|word| kind == word)
        {
            types.push(name.to_string());
        }
    }
    Ok(types)
}

/// Functions of the program, by name.
pub(super) fn functions(text: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    add_functions(without_tests(parse(text)?), &mut names);
    Ok(names)
}

/// Imports by another name: the path, and the name.
pub(super) fn aliases(text: &str) -> Result<Vec<(Path, String)>, String> {
    let paths = paths(text)?;
    let named = paths.windows(3).filter_map(|three| match three {
        [path, word, name] if word.last().is_some_and(|word| word == "as") => {
            Some((path.clone(), name.last()?.clone()))
        }
        _ => None,
    });
    Ok(named.collect())
}

fn parse(text: &str) -> Result<TokenStream, String> {
    text.parse().map_err(|error: proc_macro2::LexError| format!("it is not Rust: {error}"))
}

/// Removes items after `#[cfg(test)]` or `#[cfg(all(test, …))]` at any depth, up to the end of a block or statement.
fn without_tests(tokens: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    let mut kept = Vec::new();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (hash, [TokenTree::Group(attribute), item @ ..])
                if is_punct(hash, '#') && is_for_tests(attribute) =>
            {
                let is_end = |token: &TokenTree| {
                    is_group(token, Delimiter::Brace) || is_punct(token, ';') || is_punct(token, ',')
                };
                let end = item.iter().position(is_end).map_or(item.len(), |end| end + 1);
                item.get(end..).unwrap_or_default()
            }
            (TokenTree::Group(group), _) => {
                kept.push(Group::new(group.delimiter(), without_tests(group.stream())).into());
                after
            }
            _ => {
                kept.push(first.clone());
                after
            }
        };
    }
    TokenStream::from_iter(kept)
}

fn is_for_tests(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// Adds paths of at least two names, and in a `use` also of one. Names in a group of a `use` get the prefix of the
/// group.
fn add_paths(tokens: TokenStream, before: &[String], mut is_use: bool, paths: &mut Vec<Path>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        rest = after;
        match token {
            TokenTree::Ident(name) if name == "use" => is_use = !starts_with(after, '<'),
            TokenTree::Ident(name) if name == "extern" => is_use = is_name(after, "crate"),
            TokenTree::Ident(name) => {
                let mut path = [before, &[name.to_string()]].concat();
                rest = follow(&mut path, after);
                match rest {
                    [TokenTree::Group(group), after @ ..] if is_use && ends_open(&path) => {
                        path.pop();
                        paths.push(path.clone());
                        add_paths(group.stream(), &path, true, paths);
                        rest = after;
                    }
                    _ if path.len() > 1 || is_use => paths.push(path),
                    _ => {}
                }
            }
            TokenTree::Group(group) => add_paths(group.stream(), before, is_use, paths),
            TokenTree::Punct(_) | TokenTree::Literal(_) => is_use &= !is_punct(token, ';'),
        }
    }
}

/// Appends names that follow by `::`. If something else follows, appends `*`.
fn follow<'a>(path: &mut Path, mut tokens: &'a [TokenTree]) -> &'a [TokenTree] {
    while let [one, two, after @ ..] = tokens
        && is_punct(one, ':')
        && is_punct(two, ':')
    {
        let [TokenTree::Ident(name), next @ ..] = after else {
            path.push("*".to_owned());
            return after;
        };
        path.push(name.to_string());
        tokens = next;
    }
    tokens
}

fn ends_open(path: &[String]) -> bool {
    path.last().is_some_and(|name| name == "*")
}

/// Adds the lints in `allow(…)` or `expect(…)` at any depth.
fn add_lints(tokens: TokenStream, lints: &mut Vec<Path>) {
    let mut changes = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            if changes {
                add_paths(group.stream(), &[], true, lints);
            }
            add_lints(group.stream(), lints);
        }
        changes = matches!(&token, TokenTree::Ident(name) if name == "allow" || name == "expect");
    }
}

fn add_conditions(tokens: TokenStream, conditions: &mut Vec<String>) {
    let mut asks = false;
    for token in tokens {
        match &token {
            TokenTree::Ident(name) if name == "cfg" => asks = true,
            TokenTree::Ident(name) if name == "cfg_attr" => conditions.push(name.to_string()),
            TokenTree::Group(group) if asks => {
                add_all_names(group.stream(), conditions);
                asks = false;
            }
            TokenTree::Group(group) => add_conditions(group.stream(), conditions),
            TokenTree::Punct(mark) if mark.as_char() == '!' => {}
            _ => asks = false,
        }
    }
}

fn add_all_names(tokens: TokenStream, names: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => names.push(name.to_string()),
            TokenTree::Group(group) => add_all_names(group.stream(), names),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn add_errors(tokens: TokenStream, errors: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_word = |token: &TokenTree, words: &[&str]| words.iter().any(|word| token.to_string() == *word);
    for (index, token) in tokens.iter().enumerate() {
        let after = tokens.get(index + 1..).unwrap_or_default();
        match token {
            // Further attributes, a visibility, `struct` or `enum`, and the name follow.
            TokenTree::Group(attribute) if derives_error(attribute) => {
                let named = after.iter().skip_while(|token| !is_word(token, &["struct", "enum"])).nth(1);
                errors.extend(named.map(ToString::to_string));
            }
            TokenTree::Ident(name) if name == "Error" && is_name(after, "for") => {
                errors.extend(after.get(1).map(ToString::to_string));
            }
            TokenTree::Group(group) => add_errors(group.stream(), errors),
            _ => {}
        }
    }
}

fn add_functions(tokens: TokenStream, names: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match (token, tokens.peek()) {
            (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if word == "fn" => {
                names.push(name.to_string());
            }
            (TokenTree::Group(group), _) => add_functions(group.stream(), names),
            _ => {}
        }
    }
}

fn derives_error(attribute: &Group) -> bool {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(derive), TokenTree::Group(list)] if derive == "derive" => {
            list.stream().into_iter().any(|token| matches!(token, TokenTree::Ident(name) if name == "Error"))
        }
        _ => false,
    }
}

fn is_punct(token: &TokenTree, is: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == is)
}

fn starts_with(tokens: &[TokenTree], punct: char) -> bool {
    tokens.first().is_some_and(|token| is_punct(token, punct))
}

fn is_name(tokens: &[TokenTree], is: &str) -> bool {
    matches!(tokens, [TokenTree::Ident(name), ..] if name == is)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        paths(text).unwrap().iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn errors_are_found_however_they_are_written() {
        let text = "#[derive(Debug, thiserror::Error)] #[error(\"x\")] pub(crate) struct A; #[derive(Error)] enum B {} \
                    mod m { impl std::error::Error for C {} } #[derive(Debug)] struct D; \
                    #[cfg(test)] #[derive(Error)] struct E;";
        assert_eq!(errors(text).unwrap(), ["A", "B", "C"]);
    }

    #[test]
    fn types_that_other_files_see_are_found_and_no_others() {
        let text = "pub struct A; pub(crate) enum B {} pub(in crate::x) trait C {} #[derive(Debug)] pub type D = u8; \
                    struct E; pub fn f() { pub struct G; } #[cfg(test)] pub struct H; mod m { pub struct I; }";
        assert_eq!(visible_types(text).unwrap(), ["A", "B", "C", "D"]);
    }

    #[test]
    fn every_path_is_found_however_it_is_written() {
        assert_eq!(named("use a::b;"), ["a::b"]);
        assert_eq!(named("use ::a as other;"), ["a", "as", "other"]);
        assert_eq!(
            named("use a::{b::c, d::{self, *}}; fn f() { e }"),
            ["a", "a::b::c", "a::d", "a::d::self"]
        );
        assert_eq!(named("use {a, b::c};"), ["a", "b::c"]);
        assert_eq!(named("use a::*;"), ["a::*"]);
        assert_eq!(named("extern crate a;"), ["crate", "a"]);
        assert_eq!(
            named("fn f() -> impl T + use<> { Vec::<a::B>::new(); select! { x = c::d() => e::f!(g) } }"),
            ["Vec::*", "a::B", "c::d", "e::f"]
        );
        assert_eq!(named("#[derive(a::B)] struct C(d::E);"), ["a::B", "d::E"]);
    }

    #[test]
    fn comments_texts_and_tests_name_nothing_and_hide_nothing() {
        assert_eq!(named("// a::b\n/* c::d */ /// e::f\nfn f() { g(\"h::i\", r#\"j::k\"#) }"), [""; 0]);
        assert_eq!(named("fn f() { let url = \"https://example.org\"; a::b() }"), ["a::b"]);
        assert_eq!(named("#[cfg(test)] use a::b;\nfn f() { c::d() }"), ["c::d"]);
        assert_eq!(named("#[cfg(test)] use a::{b, c};\nfn f() { c::d() }"), ["c::d"]);
        assert_eq!(
            named("mod m { #[cfg(all(test, unix))] #[allow(x)] fn f() { a::b() } fn g() { c::d() } }"),
            ["c::d"]
        );
        assert_eq!(
            named("#[cfg(any(test, unix))] fn f() { a::b() }\n#[cfg(not(test))] fn f() { c::d() }"),
            ["a::b", "c::d"]
        );
    }

    #[test]
    fn lints_that_are_switched_off_are_found_in_tests_too() {
        let text = "#![allow(clippy::all)]\n#[cfg(test)] mod t { #[cfg_attr(x, expect(a::b, reason = \"c\"))] fn f() {} }";
        let lints: Vec<String> = lints(text).unwrap().iter().map(|path| path.join("::")).collect();
        assert!(lints.contains(&"clippy::all".to_owned()) && lints.contains(&"a::b".to_owned()), "{lints:?}");
    }

    #[test]
    fn files_that_are_called_tests_are_tests() {
        let built = |text: &str| built_tests(text).unwrap().len();
        assert_eq!(built("#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;"), 0);
        assert_eq!(built("#[path = \"a_tests.rs\"]\nmod a;"), 1);
        assert_eq!(built("mod a_tests;"), 1);
    }
}
