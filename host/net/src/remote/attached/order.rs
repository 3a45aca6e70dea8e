//! Order of attachments, of which anybody may add any number. Hints in an index can be copied, so kinds of hint take
//! turns and filling one displaces no other.

use std::collections::{BTreeMap, BTreeSet};

use toolgate_base::artifact::Artifact;
use toolgate_policy::Digest;
use toolgate_signature::SignatureFile;
use toolgate_signature::anchor::Anchor;
use toolgate_signature::choose::affordable;

use super::super::artefact::{self, Descriptor, says};

/// Hint that an index gives about an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    /// A signature, without a signer.
    Signature,
    Nothing,
    /// A signature by a signer that the policy does not list.
    Stranger,
    /// A signature by the signer at this index of the policy.
    Signer(usize),
}

impl Hint {
    /// Hint for an entry whose type is a signature's (`is_typed`) or unknown.
    pub(super) fn of(described: &Descriptor, is_typed: bool, signers: &[Anchor]) -> Self {
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

/// Interleaves entries: one per hint, then another of each; by digest within a hint. A manifest occurs once per type it
/// may have, at its best hint, so a false entry hides no genuine one.
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
    /// Name of the attachment.
    pub(in crate::remote) name: String,
    pub(in crate::remote) described: Descriptor,
    ending: &'static str,
    /// Number of files before it in the same attachment, and in all.
    turn: (usize, usize),
}

impl Layer {
    /// The signature file with this content, under a name that nobody chose.
    pub(in crate::remote) fn file(&self, content: &Artifact) -> SignatureFile {
        let name = format!("component.{}{}", self.described.digest.short(8), self.ending);
        SignatureFile { name, bytes: content.bytes().to_vec() }
    }
}

/// Files of attachments, by digest, size and ending. A wrong size or ending announced for a genuine file therefore does
/// not hide it, nor does listing it again after many others.
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

    /// Splits into files to read, within `count_max` and `bytes_max`, and the others. Attachments take turns, so that
    /// one with many files displaces no other. Of those chosen small files come first, so that a few large ones do not
    /// use up the bytes.
    pub(in crate::remote) fn affordable(self, count_max: usize, bytes_max: u64) -> (Vec<Layer>, Vec<Layer>) {
        let mut layers: Vec<Layer> = self.all.into_values().collect();
        layers.sort_by_key(|layer| layer.turn);
        let mut beyond = layers.split_off(layers.len().min(count_max));
        layers.sort_by_key(|layer| (layer.described.size, layer.described.digest));
        let (read, large) = affordable(layers, bytes_max, |layer| layer.described.size);
        beyond.extend(large);
        (read, beyond)
    }
}
