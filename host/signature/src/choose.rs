//! Chooses signature files to read if there are too many: first those that name a signer of the policy, with signers in
//! turn. Strangers, and copies of one signer's hint, cannot displace another signer's signature.

use std::collections::BTreeMap;

use toolgate_policy::limits::load::{ATTACHED_BYTES_MAX, ATTACHED_MAX};

use super::anchor::Anchor;
use super::{SignatureFile, Unread, name, read};

/// Authority over file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileNaming {
    /// A folder, where a name is unique: nobody can add a second file under a signer's own name.
    Unique,
    /// Whoever attached the files. The names prove nothing.
    Free,
}

/// Reading priority of a file; smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    says: Says,
    /// False if it has a name that only one file of its signer can have; false sorts first.
    other_name: bool,
    /// Number of earlier files that name the same signer.
    turn: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Signer,
    Stranger,
    Nothing,
}

/// Splits into the files to read, in their original order, and the others.
pub fn choose(
    files: Vec<SignatureFile>,
    signers: &[Anchor],
    names: FileNaming,
) -> (Vec<SignatureFile>, Vec<Unread>) {
    let mut turns = BTreeMap::new();
    let mut ranked: Vec<(Rank, usize, SignatureFile)> = files
        .into_iter()
        .enumerate()
        .map(|(place, file)| (rank(&file, signers, names, &mut turns), place, file))
        .collect();
    ranked.sort_by_key(|(rank, place, _)| (*rank, *place));
    let mut beyond = ranked.split_off(ranked.len().min(ATTACHED_MAX));
    // Small files come first here: using up the bytes takes files smaller than a genuine signature.
    ranked.sort_by_key(|(rank, place, file)| (rank.says, file.bytes.len(), *place));
    let (chosen, large) = affordable(ranked, ATTACHED_BYTES_MAX, |(.., file)| file.bytes.len() as u64);
    beyond.extend(large);
    let in_order = |mut ranked: Vec<(Rank, usize, SignatureFile)>| {
        ranked.sort_by_key(|(_, place, _)| *place);
        ranked.into_iter().map(|(_, _, file)| file)
    };
    let beyond = in_order(beyond).map(|file| Unread::beyond(&file.name)).collect();
    (in_order(chosen).collect(), beyond)
}

/// Splits into those that fit into `bytes_max` one after the other, and the rest.
pub fn affordable<T>(all: Vec<T>, bytes_max: u64, bytes: impl Fn(&T) -> u64) -> (Vec<T>, Vec<T>) {
    let mut left = bytes_max;
    all.into_iter().partition(|one| {
        let rest = left.checked_sub(bytes(one));
        left = rest.unwrap_or(left);
        rest.is_some()
    })
}

fn rank(
    file: &SignatureFile,
    signers: &[Anchor],
    names: FileNaming,
    turns: &mut BTreeMap<(usize, bool), usize>,
) -> Rank {
    let claim = read(file).ok().map(|signature| signature.claim());
    let signer = claim.as_ref().and_then(|claim| signers.iter().position(|signer| signer.is_named_by(claim)));
    let digits = signer.and_then(|place| signers.get(place)).map(|signer| name::digits_of(signer.id()));
    let is_own =
        name::is_plain(&file.name) || (digits.is_some() && name::digits(&file.name) == digits.as_deref());
    let other_name = names == FileNaming::Free || !is_own;
    let Some(signer) = signer else {
        let says = if claim.is_some() { Says::Stranger } else { Says::Nothing };
        return Rank { says, other_name, turn: 0 };
    };
    let before = turns.entry((signer, other_name)).or_insert(0);
    let turn = *before;
    *before += 1;
    Rank { says: Says::Signer, other_name, turn }
}

/// Truncates skipped files to the number that is listed, and appends the count of the others.
pub fn listed(mut unread: Vec<Unread>, not_seen: usize, component: &str) -> Vec<Unread> {
    let more = unread.len().saturating_sub(ATTACHED_MAX) + not_seen;
    unread.truncate(ATTACHED_MAX);
    if more > 0 {
        let why = format!("{more} more things are attached, which are not listed here");
        unread.push(Unread { name: component.to_owned(), why });
    }
    unread
}
