//! Tokens whose verification is remembered for a moment, by their whole digest. All are forgotten when rules, issuers or keys
//! change. The one that was used least recently makes room.

use std::collections::{BTreeMap, HashMap};

use toolgate_policy::Digest;
use toolgate_policy::limits::auth::{VERIFIED_TOKEN_S, VERIFIED_TOKENS_BYTES_MAX, VERIFIED_TOKENS_MAX};

use super::authenticated::Authenticated;

/// Verified tokens of one generation of settings and keys.
#[derive(Default)]
pub(crate) struct VerifiedTokens {
    generation: u64,
    tokens: HashMap<Digest, Remembered>,
    /// Digests by their last use.
    order: BTreeMap<u64, Digest>,
    uses: u64,
    /// Memory of all holders.
    bytes: usize,
}

struct Remembered {
    authenticated: Authenticated,
    until_s: u64,
    used: u64,
}

impl VerifiedTokens {
    /// A token that was verified under this generation.
    pub(crate) fn get(&mut self, generation: u64, token: &Digest, now_s: u64) -> Option<Authenticated> {
        self.begin(generation);
        let remembered = self.tokens.get_mut(token)?;
        self.order.remove(&remembered.used);
        if now_s >= remembered.until_s || generation != self.generation {
            self.forget(token);
            return None;
        }
        self.uses += 1;
        remembered.used = self.uses;
        self.order.insert(self.uses, *token);
        Some(remembered.authenticated.clone())
    }

    /// Remembers a token that was verified under `generation`, unless that is past.
    pub(crate) fn put(
        &mut self,
        (generation, current): (u64, u64),
        token: Digest,
        authenticated: Authenticated,
        (expires_s, now_s): (u64, u64),
    ) {
        self.begin(current);
        if generation != self.generation {
            return;
        }
        self.forget(&token);
        self.bytes += authenticated.memory_bytes();
        while self.tokens.len() >= VERIFIED_TOKENS_MAX || self.bytes > VERIFIED_TOKENS_BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.forget(&oldest);
        }
        self.uses += 1;
        let until_s = expires_s.min(now_s.saturating_add(VERIFIED_TOKEN_S));
        self.tokens.insert(token, Remembered { authenticated, until_s, used: self.uses });
        self.order.insert(self.uses, token);
    }

    /// Forgets all if settings or keys are newer than what is here.
    fn begin(&mut self, generation: u64) {
        if generation > self.generation {
            self.generation = generation;
            self.tokens.clear();
            self.order.clear();
            self.bytes = 0;
        }
    }

    fn forget(&mut self, token: &Digest) {
        if let Some(former) = self.tokens.remove(token) {
            self.order.remove(&former.used);
            self.bytes = self.bytes.saturating_sub(former.authenticated.memory_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{authenticated, authenticated_in};

    fn digest(number: usize) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    #[test]
    fn a_token_is_remembered_for_a_minute_or_until_it_expires() {
        let mut cache = VerifiedTokens::default();
        cache.put((1, 1), digest(1), authenticated(), (1_000, 100));
        cache.put((1, 1), digest(2), authenticated(), (130, 100));
        assert!(cache.get(1, &digest(1), 159).is_some() && cache.get(1, &digest(2), 129).is_some());
        assert!(cache.get(1, &digest(1), 160).is_none() && cache.get(1, &digest(2), 130).is_none());
        assert!(cache.get(1, &digest(1), 100).is_none(), "and is gone then");
        assert!(cache.tokens.is_empty() && cache.order.is_empty() && cache.bytes == 0);
    }

    #[test]
    fn holders_with_many_groups_are_bounded_in_memory() {
        let mut cache = VerifiedTokens::default();
        let groups = (0..512).map(|number| format!("corp/{number:0>250}")).collect();
        let holder = authenticated_in(groups);
        assert!(holder.memory_bytes() > 512 * 250);
        for number in 0..1_000 {
            cache.put((0, 0), digest(number), holder.clone(), (1_000, 100));
        }
        assert_eq!(cache.tokens.len(), VERIFIED_TOKENS_BYTES_MAX / holder.memory_bytes());
        assert_eq!(cache.bytes, cache.tokens.len() * holder.memory_bytes());
        assert!(cache.get(0, &digest(999), 100).is_some());
        cache.begin(1);
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn all_are_forgotten_when_anything_changes_and_what_was_verified_before_is_not_taken() {
        let mut cache = VerifiedTokens::default();
        cache.put((1, 1), digest(1), authenticated(), (1_000, 100));
        cache.put((1, 2), digest(2), authenticated(), (1_000, 100));
        assert!(cache.get(2, &digest(1), 100).is_none() && cache.get(2, &digest(2), 100).is_none());
        cache.put((1, 1), digest(1), authenticated(), (1_000, 100));
        assert!(cache.get(2, &digest(1), 100).is_none(), "by one that was slow");
    }

    #[test]
    fn it_is_bounded_and_the_least_recently_used_makes_room() {
        let mut cache = VerifiedTokens::default();
        for number in 0..VERIFIED_TOKENS_MAX {
            cache.put((0, 0), digest(number), authenticated(), (1_000, 100));
        }
        assert!(cache.get(0, &digest(0), 100).is_some());
        cache.put((0, 0), digest(VERIFIED_TOKENS_MAX), authenticated(), (1_000, 100));
        assert_eq!((cache.tokens.len(), cache.order.len()), (VERIFIED_TOKENS_MAX, VERIFIED_TOKENS_MAX));
        assert!(cache.get(0, &digest(0), 100).is_some() && cache.get(0, &digest(1), 100).is_none());
    }
}
