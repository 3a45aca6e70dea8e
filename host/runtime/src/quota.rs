//! Resources shared by all clients: a total, and a maximum per peer, so that one peer cannot exhaust them. The owner
//! defines the unit (connections, bytes, …).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A shared amount.
#[derive(Debug)]
pub struct Quota {
    max: u64,
    peer_max: u64,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    total: u64,
    /// Amounts in use by peer, without zeros.
    peers: HashMap<Arc<str>, u64>,
}

/// An amount taken from a quota; returned on drop.
#[derive(Debug)]
pub struct Taken {
    quota: Arc<Quota>,
    peer: Arc<str>,
    amount: u64,
}

/// The quota is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// By all clients together.
    #[error("all clients together hold as much as they may")]
    Total,
    /// By this peer.
    #[error("this client holds its share")]
    Peer,
}

impl Quota {
    /// A quota of `max`, of which one peer may take `peer_percent` percent.
    pub fn new(max: u64, peer_percent: u64) -> Arc<Self> {
        let share = u128::from(max).saturating_mul(peer_percent.into()) / 100;
        let peer_max = u64::try_from(share).unwrap_or(max).clamp(1, max.max(1));
        Arc::new(Self { max, peer_max, used: Mutex::default(), freed: Notify::new() })
    }

    /// Maximum of one peer.
    pub fn peer_max(&self) -> u64 {
        self.peer_max
    }

    /// Takes an amount for a peer.
    ///
    /// # Errors
    /// [`QuotaError`]; nothing is taken then.
    pub fn take(self: &Arc<Self>, peer: &Arc<str>, amount: u64) -> Result<Taken, QuotaError> {
        self.add(peer, amount)?;
        Ok(Taken { quota: Arc::clone(self), peer: Arc::clone(peer), amount })
    }

    /// Like [`Quota::take`], but waits up to `patience` for others to release.
    ///
    /// # Errors
    /// [`QuotaError`] after that time, or at once if the amount exceeds `peer_max`.
    pub async fn wait(
        self: &Arc<Self>,
        peer: &Arc<str>,
        amount: u64,
        patience: Duration,
    ) -> Result<Taken, QuotaError> {
        let until = Instant::now() + patience;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no notification is missed.
            freed.as_mut().enable();
            let refused = match self.take(peer, amount) {
                Ok(taken) => return Ok(taken),
                Err(refused) => refused,
            };
            // An amount beyond a peer's maximum can never be granted.
            if amount > self.peer_max || tokio::time::timeout_at(until, freed).await.is_err() {
                return Err(refused);
            }
        }
    }

    fn add(&self, peer: &Arc<str>, amount: u64) -> Result<(), QuotaError> {
        let mut used = self.used();
        let total = used.total.checked_add(amount).filter(|total| *total <= self.max);
        let total = total.ok_or(QuotaError::Total)?;
        let before = used.peers.get(peer).copied().unwrap_or(0);
        let of_peer = before.checked_add(amount).filter(|held| *held <= self.peer_max);
        let of_peer = of_peer.ok_or(QuotaError::Peer)?;
        used.total = total;
        used.peers.insert(Arc::clone(peer), of_peer);
        Ok(())
    }

    fn give_back(&self, peer: &Arc<str>, amount: u64) {
        let mut used = self.used();
        used.total = used.total.saturating_sub(amount);
        if let Some(held) = used.peers.get_mut(peer) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                used.peers.remove(peer);
            }
        }
        drop(used);
        self.freed.notify_waiters();
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Changes the amount.
    ///
    /// # Errors
    /// [`QuotaError`]; the amount is unchanged then.
    pub fn resize(&mut self, amount: u64) -> Result<(), QuotaError> {
        match amount.checked_sub(self.amount) {
            Some(more) => self.quota.add(&self.peer, more)?,
            None => self.quota.give_back(&self.peer, self.amount - amount),
        }
        self.amount = amount;
        Ok(())
    }

    /// Amount taken.
    pub fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.quota.give_back(&self.peer, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn one_peer_takes_its_share_and_all_together_the_total() {
        let quota = Quota::new(10, 60);
        let six = quota.take(&peer("a"), 6).unwrap();
        assert_eq!(quota.take(&peer("a"), 1).unwrap_err(), QuotaError::Peer);
        let four = quota.take(&peer("b"), 4).unwrap();
        assert_eq!(quota.take(&peer("c"), 1).unwrap_err(), QuotaError::Total);
        drop(four);
        assert!(quota.take(&peer("c"), 4).is_ok());
        drop(six);
        assert!(quota.take(&peer("a"), 6).is_ok());
        assert!(quota.used().peers.is_empty(), "who holds nothing is forgotten");
    }

    #[test]
    fn a_part_grows_and_shrinks_within_the_same_bounds() {
        let quota = Quota::new(10, 50);
        let mut taken = quota.take(&peer("a"), 2).unwrap();
        assert_eq!(taken.resize(5), Ok(()));
        assert_eq!(taken.resize(6), Err(QuotaError::Peer));
        assert_eq!(taken.amount(), 5);
        assert_eq!(taken.resize(1), Ok(()));
        let other = quota.take(&peer("b"), 5).unwrap();
        let third = quota.take(&peer("c"), 4).unwrap();
        assert_eq!(taken.resize(2), Err(QuotaError::Total));
        drop((taken, other, third));
        assert_eq!(quota.used().total, 0);
    }

    #[test]
    fn a_share_is_never_nothing() {
        assert_eq!(Quota::new(1, 1).peer_max(), 1);
        assert_eq!(Quota::new(1_000, 100).peer_max(), 1_000);
    }

    #[tokio::test]
    async fn who_waits_is_served_when_others_give_back_and_gives_up_in_time() {
        let quota = Quota::new(2, 100);
        let both = quota.take(&peer("a"), 2).unwrap();
        let moment = Duration::from_millis(1);
        assert_eq!(quota.wait(&peer("b"), 1, moment).await.unwrap_err(), QuotaError::Total);
        let for_ever = Duration::from_secs(3_600);
        assert!(quota.wait(&peer("b"), 3, for_ever).await.is_err(), "it would never be free");
        let waiting = {
            let quota = Arc::clone(&quota);
            let patience = Duration::from_secs(60);
            tokio::spawn(async move { quota.wait(&peer("b"), 1, patience).await.is_ok() })
        };
        tokio::task::yield_now().await;
        drop(both);
        assert!(waiting.await.unwrap());
    }
}
