//! In which order attachments are looked at, of which anybody may add any number. What a list says of each is a hint that can be
//! copied, so every kind of hint has its turn: whoever fills one does not push out another.

use std::collections::BTreeMap;

use toolgate_policy::limits::load::{ATTACHED_BYTES_MAX, ATTACHED_MAX};

use super::super::artefact::{self, Descriptor};
use crate::signature::anchor::SignerHint;

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

/// One of each hint, then another of each, and so on; of one hint by digest.
pub(super) fn in_turns(mut hinted: Vec<(Hint, Descriptor)>) -> Vec<Descriptor> {
    hinted.sort_by_key(|(hint, described)| (*hint, described.digest));
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
    ranked.into_iter().map(|(_, described)| described).collect()
}

/// A file of an attachment.
#[derive(Debug)]
pub(super) struct Layer {
    /// The attachment.
    pub(super) name: String,
    /// The file.
    pub(super) described: Descriptor,
    /// The ending of its name.
    pub(super) ending: &'static str,
    /// How many files of the same attachment are before it.
    pub(super) turn: usize,
}

/// The files that are fetched, and the others: one of each attachment first, so that one attachment with many files pushes out no
/// other, and of these the small ones first, so that a few large ones do not use up the bytes.
pub(super) fn affordable(mut layers: Vec<Layer>) -> (Vec<Layer>, Vec<Layer>) {
    layers.sort_by_key(|layer| layer.turn);
    let mut beyond = layers.split_off(layers.len().min(ATTACHED_MAX));
    layers.sort_by_key(|layer| (layer.described.size, layer.described.digest));
    let mut bytes_left = ATTACHED_BYTES_MAX;
    let mut fetched = Vec::new();
    for layer in layers {
        match bytes_left.checked_sub(layer.described.size) {
            Some(left) => {
                bytes_left = left;
                fetched.push(layer);
            }
            None => beyond.push(layer),
        }
    }
    (fetched, beyond)
}
