//! So many for each owner at once; who has its own waits for itself and nobody else for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What each owner has under way.
pub(crate) struct Shares<K> {
    each: usize,
    taken: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// One that was taken; dropping it gives it back.
pub(crate) type Share = OwnedSemaphorePermit;

impl<K: Eq + Hash> Shares<K> {
    /// So many for each owner.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, taken: Mutex::default() }
    }

    /// Waits until the owner has one free.
    pub(crate) async fn take(&self, owner: K) -> Option<Share> {
        // Closed by nobody.
        self.of(owner).acquire_owned().await.ok()
    }

    /// One, if the owner has one free now.
    pub(crate) fn try_take(&self, owner: K) -> Option<Share> {
        self.of(owner).try_acquire_owned().ok()
    }

    fn of(&self, owner: K) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= MOST_KEPT {
            // Whoever has or awaits one holds its owner's.
            taken.retain(|_, share| Arc::strong_count(share) > 1);
        }
        Arc::clone(taken.entry(owner).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

/// Owners that are kept before those that have nothing are let go.
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
