//! Limits how many permits each owner has at once. An owner at its limit waits for its own permits, and delays no other
//! owner.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits that each owner has taken.
pub(crate) struct Shares<K> {
    each: usize,
    taken: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// A permit. Dropping it gives it back.
pub(crate) type Share = OwnedSemaphorePermit;

impl<K: Eq + Hash> Shares<K> {
    /// At most `each` permits for every owner.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, taken: Mutex::default() }
    }

    /// Waits until the owner has a free permit.
    pub(crate) async fn take(&self, owner: K) -> Option<Share> {
        // Nobody closes this semaphore.
        self.of(owner).acquire_owned().await.ok()
    }

    /// A permit, if the owner has a free one now.
    pub(crate) fn try_take(&self, owner: K) -> Option<Share> {
        self.of(owner).try_acquire_owned().ok()
    }

    fn of(&self, owner: K) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= MOST_KEPT {
            // Whoever holds or awaits a permit also holds its owner's semaphore.
            taken.retain(|_, share| Arc::strong_count(share) > 1);
        }
        Arc::clone(taken.entry(owner).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

/// The number of owners that are kept. Beyond it, owners without permits are dropped.
const MOST_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn who_has_its_own_waits_and_others_do_not() {
        let shares = Shares::new(1);
        let mut wake = Context::from_waker(Waker::noop());
        let held = shares.take(("s", "a")).await;
        assert!(held.is_some());
        let mut again = pin!(shares.take(("s", "a")));
        assert!(again.as_mut().poll(&mut wake).is_pending());
        assert!(pin!(shares.take(("s", "b"))).poll(&mut wake).is_ready());
        assert!(pin!(shares.take(("t", "a"))).poll(&mut wake).is_ready());
        drop(held);
        assert!(again.poll(&mut wake).is_ready());
    }

    #[tokio::test]
    async fn owners_that_have_nothing_make_room() {
        let shares = Shares::new(1);
        let held = shares.take(0).await;
        for owner in 1..3 * MOST_KEPT {
            drop(shares.take(owner).await);
        }
        assert!(shares.taken.lock().unwrap().len() <= MOST_KEPT);
        assert!(shares.taken.lock().unwrap().contains_key(&0));
        drop(held);
    }
}
