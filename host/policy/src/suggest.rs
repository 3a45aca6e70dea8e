//! Suggests the nearest known name, for error messages. Nothing is decided by it.

/// The nearest of `known` to `text`, if near enough: one edit for short names, two for longer ones.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Length above which a text is no typing error, and comparing is expensive.
    const CHARS_MAX: usize = 64;
    let enough = if text.chars().count() < 4 { 1 } else { 2 };
    if text.len() > CHARS_MAX {
        return None;
    }
    let near = known.into_iter().filter(|name| name.len() <= CHARS_MAX && *name != text);
    near.map(|name| (distance(text, name), name))
        .filter(|(distance, name)| *distance <= enough && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance, ignoring ASCII case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, (diagonal, above)) in b.iter().zip(row.iter().zip(row.iter().skip(1))) {
            left = (diagonal + usize::from(x != *y)).min(left + 1).min(above + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_what_was_meant_and_another_word_finds_nothing() {
        let known = ["plain", "formal", "excited", "is-folder", "a"];
        for (text, meant) in [
            ("exited", Some("excited")),
            ("Formal", Some("formal")),
            ("is_folder", Some("is-folder")),
            ("plian", Some("plain")),
            ("b", None),
            ("something", None),
            ("excited", None),
            (&"x".repeat(100), None),
        ] {
            assert_eq!(nearest(text, known), meant, "{text}");
        }
    }
}
