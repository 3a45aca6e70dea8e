//! Regular expressions in a schema. Clients match them with backtracking engines, so neither features of such engines
//! are allowed nor repetitions that can match one text in many ways.

use std::collections::BTreeSet;

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, Flags, GroupKind, RepetitionKind, RepetitionRange};
use regex_syntax::hir::translate::Translator;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};
use toolgate_policy::limits::load::{
    PATTERN_BYTES_MAX, PATTERN_CHOICES_MAX, PATTERN_OVERLAPS_MAX, PATTERN_STEPS_MAX,
};

/// White space beyond ASCII (ECMA-262, "White Space" and "Line Terminators").
const BLANKS: [(char, char); 8] = [
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{feff}', '\u{feff}'),
];

/// A pattern that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("a pattern of more than {PATTERN_BYTES_MAX} bytes, or with too many ways to look at")]
    Long,
    #[error(
        "a pattern that engines of linear time do not read; write it without look-around, references and flags"
    )]
    Unreadable,
    #[error(
        "a pattern that can read one text in many ways, which takes some clients for ever; write it so that what a repetition reads cannot be read by what follows it, or by itself in another way"
    )]
    Ambiguous,
}

/// Cost of a pattern with its repetitions expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// Character ranges: the cost of compiling.
    pub(super) ranges: u64,
    /// Automaton states, each of which may be active at each byte of a text: the cost of matching.
    pub(super) places: u64,
}

/// Checks that any client can match a pattern in bounded time, and returns its cost.
pub(super) fn check(pattern: &str) -> Result<Cost, PatternError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::Long);
    }
    let pattern = jsonschema_regex::to_rust_regex(pattern).map_err(|()| PatternError::Unreadable)?;
    let ast = Parser::new().parse(&pattern).map_err(|_| PatternError::Unreadable)?;
    let mut reading = Reading {
        pattern: &pattern,
        places: Vec::new(),
        overlaps: 0,
        choices: 0,
        steps: 0,
        times: 1,
        cost: Cost { ranges: 0, places: 0 },
    };
    reading.part(&ast, false)?;
    Ok(reading.cost)
}

/// Characters that a position can match: ASCII ones individually, others by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Set {
    ascii: u128,
    blank: bool,
    other: bool,
}

impl Set {
    fn meets(self, other: Self) -> bool {
        self.ascii & other.ascii != 0 || (self.blank && other.blank) || (self.other && other.other)
    }

    fn with(self, other: Self) -> Self {
        Self {
            ascii: self.ascii | other.ascii,
            blank: self.blank || other.blank,
            other: self.other || other.other,
        }
    }

    fn of(class: &ClassUnicode) -> Self {
        let mut ascii = 0u128;
        for range in class.ranges() {
            for c in u32::from(range.start())..=u32::from(range.end()).min(127) {
                ascii |= 1 << c;
            }
        }
        let ranges = |list: &[(char, char)]| {
            ClassUnicode::new(list.iter().map(|(first, last)| ClassUnicodeRange::new(*first, *last)))
        };
        let mut blank = class.clone();
        blank.intersect(&ranges(&BLANKS));
        let mut other = class.clone();
        other.difference(&ranges(&[BLANKS.as_slice(), &[('\0', '\u{7f}')]].concat()));
        Self { ascii, blank: !blank.ranges().is_empty(), other: !other.ranges().is_empty() }
    }
}

/// A part of a pattern: its possible first and last positions, and whether it can be empty.
#[derive(Default)]
struct Part {
    first: Vec<usize>,
    last: Vec<usize>,
    is_empty: bool,
}

/// A position of a pattern, which matches one character.
struct Place {
    reads: Set,
    /// Possible next positions, once per way to reach them.
    next: Vec<usize>,
    /// Characters of next positions by repeating, and by moving on.
    again: Set,
    onward: Set,
}

/// Glushkov automaton: a state for each position of the pattern.
struct Reading<'p> {
    pattern: &'p str,
    places: Vec<Place>,
    overlaps: u32,
    choices: u32,
    steps: u32,
    /// Number of copies of the present part once repetitions are expanded.
    times: u64,
    cost: Cost,
}

impl Reading<'_> {
    fn part(&mut self, ast: &Ast, is_repeated: bool) -> Result<Part, PatternError> {
        match ast {
            Ast::Empty(_) | Ast::Assertion(_) => Ok(Part { is_empty: true, ..Part::default() }),
            Ast::Flags(_) => Err(PatternError::Unreadable),
            Ast::Literal(_)
            | Ast::Dot(_)
            | Ast::ClassUnicode(_)
            | Ast::ClassPerl(_)
            | Ast::ClassBracketed(_) => self.place(ast),
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(Flags { items, .. }) if !items.is_empty() => {
                    Err(PatternError::Unreadable)
                }
                _ => self.part(&group.ast, is_repeated),
            },
            Ast::Concat(concat) => self.sequence(&concat.asts, is_repeated),
            Ast::Alternation(alternation) => self.branches(&alternation.asts, is_repeated),
            Ast::Repetition(repetition) => self.repetition(&repetition.ast, &repetition.op.kind, is_repeated),
        }
    }

    fn place(&mut self, ast: &Ast) -> Result<Part, PatternError> {
        let hir = Translator::new().translate(self.pattern, ast).map_err(|_| PatternError::Unreadable)?;
        let mut ranges = 1;
        let reads = match hir.kind() {
            HirKind::Class(Class::Unicode(class)) => {
                ranges = class.ranges().len() as u64;
                Set::of(class)
            }
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| PatternError::Unreadable)?;
                Set::of(&ClassUnicode::new(text.chars().map(|c| ClassUnicodeRange::new(c, c))))
            }
            _ => return Err(PatternError::Unreadable),
        };
        self.cost.ranges = self.cost.ranges.saturating_add(ranges.saturating_mul(self.times));
        self.cost.places = self.cost.places.saturating_add(self.times);
        let place = self.places.len();
        self.places.push(Place { reads, next: Vec::new(), again: Set::default(), onward: Set::default() });
        Ok(Part { first: vec![place], last: vec![place], is_empty: false })
    }

    fn sequence(&mut self, asts: &[Ast], is_repeated: bool) -> Result<Part, PatternError> {
        let mut whole = Part { is_empty: true, ..Part::default() };
        for ast in asts {
            let next = self.part(ast, is_repeated)?;
            self.join(&whole.last, &next.first, false, is_repeated)?;
            if whole.is_empty {
                whole.first.extend(&next.first);
            }
            if !next.is_empty {
                whole.last.clear();
            }
            whole.last.extend(next.last);
            whole.is_empty &= next.is_empty;
        }
        Ok(whole)
    }

    fn branches(&mut self, asts: &[Ast], is_repeated: bool) -> Result<Part, PatternError> {
        let (mut whole, mut reads, mut alike) = (Part::default(), Set::default(), 0u32);
        for ast in asts {
            let next = self.part(ast, is_repeated)?;
            let first = self.reads(&next.first);
            if reads.meets(first) || (whole.is_empty && next.is_empty) {
                alike += 1;
            }
            reads = reads.with(first);
            whole.first.extend(next.first);
            whole.last.extend(next.last);
            whole.is_empty |= next.is_empty;
        }
        // A choice among n branches counts as log2(n) binary choices.
        self.choose((alike + 1).next_power_of_two().trailing_zeros(), is_repeated)?;
        Ok(whole)
    }

    fn repetition(
        &mut self,
        ast: &Ast,
        kind: &RepetitionKind,
        is_repeated: bool,
    ) -> Result<Part, PatternError> {
        let (min, max) = match kind {
            RepetitionKind::ZeroOrOne => (0, 1),
            RepetitionKind::ZeroOrMore => (0, u32::MAX),
            RepetitionKind::OneOrMore => (1, u32::MAX),
            RepetitionKind::Range(RepetitionRange::Exactly(n)) => (*n, *n),
            RepetitionKind::Range(RepetitionRange::AtLeast(n)) => (*n, u32::MAX),
            RepetitionKind::Range(RepetitionRange::Bounded(min, max)) => (*min, *max),
        };
        let begin = self.places.len();
        let times = self.times;
        // Unbounded repetitions count as one more than their minimum.
        let most = if max == u32::MAX { min.saturating_add(1) } else { max };
        self.times = times.saturating_mul(u64::from(most));
        let mut part = self.part(ast, is_repeated || max > 1)?;
        self.times = times;
        if max == 0 {
            return Ok(Part { is_empty: true, ..Part::default() });
        }
        // A fixed count of one character matches in one way; anything else is treated as an unbounded repetition.
        let is_single = self.places.get(begin).is_some_and(|place| place.next.is_empty())
            && self.places.len() == begin + 1
            && !part.is_empty;
        let is_run = is_single && min == max;
        if max > 1 && !is_run {
            if part.is_empty {
                return Err(PatternError::Ambiguous);
            }
            self.join(&part.last, &part.first, true, true)?;
            if !is_repeated {
                self.check_loop(begin)?;
            }
        }
        part.is_empty |= min == 0;
        Ok(part)
    }

    /// Lets each of `first` follow each of `last`.
    fn join(
        &mut self,
        last: &[usize],
        first: &[usize],
        is_again: bool,
        is_repeated: bool,
    ) -> Result<(), PatternError> {
        let reads = self.reads(first);
        let (mut overlaps, mut chooses) = (false, false);
        for place in last {
            self.step(first.len())?;
            let Some(place) = self.places.get_mut(*place) else { continue };
            place.next.extend(first);
            if is_again {
                place.again = place.again.with(reads);
            } else {
                overlaps |= place.again.meets(reads);
                chooses |= place.onward.meets(reads);
                place.onward = place.onward.with(reads);
            }
        }
        self.overlaps += u32::from(overlaps);
        if self.overlaps > PATTERN_OVERLAPS_MAX {
            return Err(PatternError::Ambiguous);
        }
        self.choose(u32::from(chooses), is_repeated)
    }

    /// Counts choices outside repetitions; [`Reading::check_loop`] checks those inside.
    fn choose(&mut self, choices: u32, is_repeated: bool) -> Result<(), PatternError> {
        if !is_repeated {
            self.choices += choices;
        }
        if self.choices > PATTERN_CHOICES_MAX { Err(PatternError::Ambiguous) } else { Ok(()) }
    }

    fn reads(&self, places: &[usize]) -> Set {
        let reads = |place: &usize| self.places.get(*place).map(|place| place.reads);
        places.iter().filter_map(reads).fold(Set::default(), Set::with)
    }

    /// Refuses a repetition, whose positions from `begin` on all reach each other, if one text leads between two
    /// positions in two ways: n repetitions then have 2^n. Follows pairs of paths until they meet.
    fn check_loop(&mut self, begin: usize) -> Result<(), PatternError> {
        let mut found = BTreeSet::new();
        let mut open: Vec<(usize, usize)> = (begin..self.places.len()).map(|place| (place, place)).collect();
        while let Some((one, other)) = open.pop() {
            let next =
                |place: usize| self.places.get(place).map(|place| place.next.clone()).unwrap_or_default();
            let (ways, others) = (next(one), next(other));
            self.step(ways.len() * others.len())?;
            for (index, a) in ways.iter().enumerate() {
                let is_from = if one == other { index + 1 } else { 0 };
                for b in others.iter().skip(is_from) {
                    if !self.reads(&[*a]).meets(self.reads(&[*b])) {
                        continue;
                    }
                    if a == b {
                        return Err(PatternError::Ambiguous);
                    }
                    let pair = (*a.min(b), *a.max(b));
                    if found.insert(pair) {
                        open.push(pair);
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, steps: usize) -> Result<(), PatternError> {
        self.steps = self.steps.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        if self.steps > PATTERN_STEPS_MAX { Err(PatternError::Long) } else { Ok(()) }
    }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
