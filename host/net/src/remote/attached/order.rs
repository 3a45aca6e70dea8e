//! In which order attachments are looked at, of which anybody may add any number. What a list says of each is a hint that can be
//! copied, so every kind of hint has its turn: whoever fills one does not push out another.

use std::collections::{BTreeMap, BTreeSet};

use toolgate_policy::Digest;
use toolgate_signature::anchor::SignerHint;

use super::super::artefact::{self, Descriptor, says};

/// What a list says of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    /// It is a signature.
    Signature,
    /// Nothing.
    Nothing,
    /// It is a signature by somebody who is no signer.
    Stranger,
    /// It is a signature by the signer at this place of the policy.
    Signer(usize),
}

impl Hint {
    /// What is said of this one, which says that it is a signature or says nothing of its type.
    pub(super) fn of(described: &Descriptor, is_typed: bool, signers: &[SignerHint]) -> Self {
        match artefact::named(described) {
            Some(claim) => signers
                .iter()
                .position(|signer| signer.is_named_by(&claim))
                .map_or(Self::Stranger, Self::Signer),
            None if is_typed => Self::Signature,
            None => Self::Nothing,
        }
    }
}

/// One of each hint, then another of each, and so on; of one hint by digest. A manifest comes once for each thing that its type may
/// say, in the place of its best hint: an entry that says something else of it hides no other.
pub(super) fn in_turns(mut hinted: Vec<(Hint, Descriptor)>) -> Vec<Descriptor> {
    let identity = |described: &Descriptor| (described.digest, says(described.kind()));
    hinted.sort_by_key(|(hint, described)| (*hint, identity(described)));
    hinted.dedup_by_key(|(hint, described)| (*hint, identity(described)));
    let mut turns = BTreeMap::new();
    let mut ranked: Vec<_> = hinted
        .into_iter()
        .map(|(hint, described)| {
            let turn: &mut usize = turns.entry(hint).or_default();
            *turn += 1;
            ((*turn, hint), described)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut seen = BTreeSet::new();
    ranked.retain(|(_, described)| seen.insert(identity(described)));
    ranked.into_iter().map(|(_, described)| described).collect()
}

/// A file of an attachment.
#[derive(Debug)]
pub(in crate::remote) struct Layer {
    /// The attachment.
    pub(in crate::remote) name: String,
    /// The file.
    pub(in crate::remote) described: Descriptor,
    /// The ending of its name.
    pub(in crate::remote) ending: &'static str,
    /// How many files of the same attachment are before it, and how many of all.
    turn: (usize, usize),
}

/// The files of attachments. Of files of one digest each is here that has another size or ending: whoever announces a genuine file
/// wrongly does not hide it, and whoever names it after many others does not put it behind them.
#[derive(Debug, Default)]
pub(in crate::remote) struct Layers {
    all: BTreeMap<(Digest, u64, &'static str), Layer>,
    added: usize,
}

impl Layers {
    /// Adds the files of one attachment.
    pub(in crate::remote) fn add(&mut self, name: &str, mut files: Vec<(Descriptor, &'static str)>) {
        files.sort_by_key(|(file, _)| file.size);
        for (before, (described, ending)) in files.into_iter().enumerate() {
            let turn = (before, self.added);
            self.added += 1;
            let key = (described.digest, described.size, ending);
            if self.all.get(&key).is_none_or(|there| turn < there.turn) {
                self.all.insert(key, Layer { name: name.to_owned(), described, ending, turn });
            }
        }
    }

    /// The files that are read, at most so many with at most so many bytes, and the others: one of each attachment first, so that
    /// one attachment with many files pushes out no other, and of these the small ones first, so that a few large ones do not use
    /// up the bytes.
    pub(in crate::remote) fn affordable(self, count_max: usize, bytes_max: u64) -> (Vec<Layer>, Vec<Layer>) {
        let mut layers: Vec<Layer> = self.all.into_values().collect();
        layers.sort_by_key(|layer| layer.turn);
        let mut beyond = layers.split_off(layers.len().min(count_max));
        layers.sort_by_key(|layer| (layer.described.size, layer.described.digest));
        let mut bytes_left = bytes_max;
        let mut read = Vec::new();
        for layer in layers {
            match bytes_left.checked_sub(layer.described.size) {
                Some(left) => {
                    bytes_left = left;
                    read.push(layer);
                }
                None => beyond.push(layer),
            }
        }
        (read, beyond)
    }
}
