//! Coverage of constructors by place and depth, to prove that the intended cases occurred.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toolgate_tests::wit::grow::{DEPTH_MAX, KINDS, KINDS_BY_CONTENT, kind};
use toolgate_tests::wit::{Place, Type};

/// Counts of constructors, by place and depth. Parameters and results themselves are at depth 0.
#[derive(Default)]
pub(super) struct Table {
    counts: BTreeMap<(&'static str, Option<Place>, usize), usize>,
}

impl Table {
    /// Counts a top-level type and all types in it.
    pub(super) fn add(&mut self, ty: &Type) {
        self.count(ty, None, 0);
    }

    fn count(&mut self, ty: &Type, place: Option<Place>, depth: usize) {
        *self.counts.entry((kind(ty), place, depth)).or_default() += 1;
        if !ty.is_bytes() {
            for (place, part) in ty.parts() {
                self.count(part, Some(place), depth + 1);
            }
        }
    }

    /// The table as text, and the entries that are zero.
    pub(super) fn told(&self) -> (String, Vec<String>) {
        let mut text = format!("{:<25}{:>9}", "", "top");
        for place in Place::ALL {
            write!(text, "{:>17}", format!("{place:?}")).unwrap();
        }
        let mut missing = Vec::new();
        for kind in KINDS.into_iter().chain(KINDS_BY_CONTENT) {
            let mut count = |place, depth| {
                let count = self.counts.get(&(kind, place, depth)).copied().unwrap_or(0);
                if count == 0 {
                    missing.push(format!("{kind} in {place:?} at depth {depth}"));
                }
                count
            };
            write!(text, "\n{kind:<25}{:>9}", count(None, 0)).unwrap();
            for place in Place::ALL {
                let counts: Vec<String> =
                    (1..=DEPTH_MAX).map(|depth| count(Some(place), depth).to_string()).collect();
                write!(text, "{:>17}", counts.join("/")).unwrap();
            }
        }
        (text, missing)
    }
}
