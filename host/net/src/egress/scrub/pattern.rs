//! Streaming search for the forms of a secret with constant amortised work per character (Knuth, Morris, Pratt).

use std::collections::VecDeque;

use zeroize::Zeroizing;

/// Form of a secret.
pub(super) type Form = Zeroizing<Vec<u8>>;

/// Form with its search table.
pub(super) struct Pattern {
    bytes: Form,
    /// For each length of a partial match, the next shorter one.
    fallback: Vec<usize>,
}

impl Pattern {
    fn new(bytes: Form) -> Self {
        let mut pattern = Self { bytes, fallback: Vec::new() };
        let mut matched = 0;
        for at in 0..pattern.bytes.len() {
            if at > 0 {
                matched = pattern.step(matched, pattern.byte(at), &mut Work::default());
            }
            pattern.fallback.push(matched);
        }
        pattern
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or_default()
    }

    fn shorter(&self, matched: usize) -> usize {
        matched.checked_sub(1).and_then(|at| self.fallback.get(at)).copied().unwrap_or_default()
    }

    /// Length of the match after one more character.
    fn step(&self, mut matched: usize, byte: u8, work: &mut Work) -> usize {
        loop {
            work.count();
            if matched < self.len() && self.byte(matched) == byte {
                return matched + 1;
            }
            if matched == 0 {
                return 0;
            }
            matched = self.shorter(matched);
        }
    }
}

/// Search for several forms in one stream of characters.
#[derive(Default)]
pub(super) struct Search {
    matched: Vec<usize>,
    /// Raw-text positions of the characters of partial matches.
    starts: VecDeque<u64>,
}

impl Search {
    /// Feeds a character at `start` in the raw text. Returns the start of the longest form that ends with it.
    pub(super) fn feed(&mut self, patterns: &Patterns, byte: u8, start: u64, work: &mut Work) -> Option<u64> {
        work.count();
        if self.starts.is_empty() && !patterns.begin_with(byte) {
            return None;
        }
        self.matched.resize(patterns.all.len(), 0);
        self.starts.push_back(start);
        let (mut longest, mut found) = (0, None);
        for (pattern, matched) in patterns.all.iter().zip(&mut self.matched) {
            *matched = pattern.step(*matched, byte, work);
            if *matched == pattern.len() {
                let began = self.starts.len().checked_sub(pattern.len()).and_then(|at| self.starts.get(at));
                found = found.into_iter().chain(began.copied()).min();
                *matched = pattern.shorter(*matched);
            }
            longest = longest.max(*matched);
        }
        while self.starts.len() > longest {
            self.starts.pop_front();
        }
        found
    }

    /// Start of the longest partial match.
    pub(super) fn began(&self) -> Option<u64> {
        self.starts.front().copied()
    }

    /// Resets partial matches.
    pub(super) fn reset(&mut self) {
        self.matched.clear();
        self.starts.clear();
    }
}

/// Several forms, with the set of their first characters.
pub(super) struct Patterns {
    all: Vec<Pattern>,
    first: [bool; 256],
}

impl Patterns {
    pub(super) fn new(forms: impl IntoIterator<Item = Form>, bytes_min: usize) -> Self {
        let mut forms: Vec<Form> = forms.into_iter().filter(|form| form.len() >= bytes_min).collect();
        forms.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
        forms.dedup();
        let mut first = [false; 256];
        for form in &forms {
            if let Some(slot) = form.first().and_then(|byte| first.get_mut(usize::from(*byte))) {
                *slot = true;
            }
        }
        Self { all: forms.into_iter().map(Pattern::new).collect(), first }
    }

    fn begin_with(&self, byte: u8) -> bool {
        self.first.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

/// Count of steps, for tests of the bound on work.
#[derive(Default)]
pub(super) struct Work {
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Work {
    pub(super) fn count(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}
