//! Chooses the signature files that are looked at, where more were found than are: first those that name a signer of the policy, each
//! signer in its turn, so that neither strangers nor copies of one signer's hint take the place of another's signature.

use std::collections::BTreeMap;

use toolgate_policy::limits::load::{ATTACHED_BYTES_MAX, ATTACHED_MAX};

use super::anchor::SignerHint;
use super::{SignatureFile, Unread, name, read};

/// Who gave files their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileNaming {
    /// A folder, where each name stands once: the name of a signer's own file cannot be had a second time.
    Unique,
    /// Whoever attached them. The names say nothing.
    Free,
}

/// How early a file is looked at; the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    says: Says,
    /// It has a name that only one file of the signer's can have: false sorts first.
    other_name: bool,
    /// How many files that name the same signer are before it.
    turn: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Signer,
    Stranger,
    Nothing,
}

/// As many of the files as are looked at, in the order in which they came, and the others.
pub fn choose(
    files: Vec<SignatureFile>,
    signers: &[SignerHint],
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
    // Of these the small ones first: whoever fills the bytes needs files that are smaller than a genuine signature.
    ranked.sort_by_key(|(rank, place, file)| (rank.says, file.bytes.len(), *place));
    let mut bytes_left = ATTACHED_BYTES_MAX;
    let mut chosen = Vec::new();
    for one in ranked {
        match bytes_left.checked_sub(one.2.bytes.len() as u64) {
            Some(left) => {
                bytes_left = left;
                chosen.push(one);
            }
            None => beyond.push(one),
        }
    }
    let in_order = |mut ranked: Vec<(Rank, usize, SignatureFile)>| {
        ranked.sort_by_key(|(_, place, _)| *place);
        ranked.into_iter().map(|(_, _, file)| file)
    };
    let beyond = in_order(beyond).map(|file| Unread::beyond(&file.name)).collect();
    (in_order(chosen).collect(), beyond)
}

fn rank(
    file: &SignatureFile,
    signers: &[SignerHint],
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

/// So many of the things that are not read as are listed, and how many more there are.
pub fn listed(mut unread: Vec<Unread>, not_seen: usize, component: &str) -> Vec<Unread> {
    let more = unread.len().saturating_sub(ATTACHED_MAX) + not_seen;
    unread.truncate(ATTACHED_MAX);
    if more > 0 {
        let why = format!("{more} more things are attached, which are not listed here");
        unread.push(Unread { name: component.to_owned(), why });
    }
    unread
}
