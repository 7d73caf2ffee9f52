//! What a directory has answered, and for how long each answer counts.
//!
//! A directory is asked for few accounts at the same time, for each account only once, and not at all for a while after
//! it did not answer. So neither very many devices nor a wrong password makes the directory lock this server out.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Clock;
use tokio::sync::{Mutex as Turn, Semaphore};

use super::{Account, DirectoryFlaw};

/// What is known about a directory's accounts.
pub(super) struct Known {
    accounts: Mutex<HashMap<String, Arc<Slot>>>,
    turns: Semaphore,
    /// Until when the directory is not asked, and why.
    trouble: Mutex<Option<(Instant, String)>>,
    clock: Arc<dyn Clock>,
}

/// The answer about an account, with its time; the account may not exist. The lock is held by the request that asks.
type Slot = Turn<Option<(Instant, Option<Arc<Account>>)>>;

impl Known {
    /// Nothing is known yet.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { accounts: Mutex::default(), turns: Semaphore::new(AT_ONCE), trouble: Mutex::default(), clock }
    }

    /// The known answer about an account, or else the answer of `ask`.
    pub(super) async fn account<F: Future<Output = Result<Option<Account>, DirectoryFlaw>>>(
        &self,
        directory: &str,
        name: &str,
        ask: impl FnOnce() -> F,
    ) -> Result<Option<Arc<Account>>, DirectoryFlaw> {
        let slot = self.slot(name);
        let mut said = slot.lock().await;
        if let Some((asked, account)) = &*said
            && self.clock.instant().saturating_duration_since(*asked)
                < if account.is_some() { FRESH } else { FRESH_ABSENCE }
        {
            return Ok(account.clone());
        }
        self.may_be_asked()?;
        let _turn = self.turns.acquire().await;
        // A request before this one in the queue may have failed meanwhile.
        self.may_be_asked()?;
        let began = self.clock.instant();
        match ask().await {
            Ok(account) => {
                let account = account.map(Arc::new);
                *said = Some((began, account.clone()));
                if self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
                    tracing::info!(directory, "the directory answers again");
                }
                Ok(account)
            }
            Err(error) => {
                let pause = error.pause();
                tracing::error!(
                    directory, account = name, %error, not_asked_for_seconds = pause.as_secs(),
                    "a directory does not answer; devices that it is asked for are told to come back"
                );
                if pause > Duration::ZERO {
                    let until = self.clock.instant().checked_add(pause).unwrap_or(began);
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, error.to_string()));
                }
                Err(error)
            }
        }
    }

    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MOST_ACCOUNTS && !accounts.contains_key(name) {
            accounts.clear();
        }
        Arc::clone(accounts.entry(name.to_owned()).or_default())
    }

    fn may_be_asked(&self) -> Result<(), DirectoryFlaw> {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((until, why)) if self.clock.instant() < *until => Err(DirectoryFlaw::Away(why.clone())),
            _ => Ok(()),
        }
    }
}

/// How long an answer counts if there is such an account. A device that registers polls a few times.
const FRESH: Duration = Duration::from_secs(60);
const FRESH_ABSENCE: Duration = Duration::from_secs(30);
/// The number of accounts whose answers are kept.
const MOST_ACCOUNTS: usize = 10_000;
/// The number of questions to a directory at the same time.
const AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use landfall_domain::clock::ManualClock;

    use super::*;

    fn known() -> (Known, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::stopped_now());
        (Known::new(Arc::clone(&clock) as _), clock)
    }

    #[tokio::test]
    async fn an_account_is_asked_for_once_by_all_who_want_it() {
        let (known, asked) = (Arc::new(known().0), Arc::new(AtomicUsize::new(0)));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (known, asked) = (Arc::clone(&known), Arc::clone(&asked));
            all.spawn(async move {
                let ask = || async {
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok(None)
                };
                known.account("fleet", "dev-1", ask).await.unwrap().is_none()
            });
        }
        assert!(all.join_all().await.into_iter().all(|none| none));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_directory_that_does_not_answer_is_not_asked_for_others_at_once() {
        let (known, clock) = self::known();
        let refuses = || async { Err(DirectoryFlaw::Slow(Duration::from_secs(1))) };
        assert!(matches!(known.account("fleet", "dev-1", refuses).await, Err(DirectoryFlaw::Slow(_))));
        let answers = || async { Ok(None) };
        assert!(matches!(known.account("fleet", "dev-2", answers).await, Err(DirectoryFlaw::Away(_))));
        // Just before the end of the pause.
        clock.advance(DirectoryFlaw::Slow(Duration::from_secs(1)).pause() - Duration::from_millis(1));
        assert!(matches!(known.account("fleet", "dev-2", answers).await, Err(DirectoryFlaw::Away(_))));
        clock.advance(Duration::from_millis(1));
        assert!(known.account("fleet", "dev-2", answers).await.unwrap().is_none());
        // An attribute that is missing for one account says nothing about the directory as a whole.
        let (known, _) = self::known();
        let hides = || async { Err(DirectoryFlaw::Hidden { attribute: "objectSid", account: "dev-1".to_owned() }) };
        assert!(known.account("fleet", "dev-1", hides).await.is_err());
        assert!(known.account("fleet", "dev-2", answers).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_a_directory_said_counts_for_its_time_and_no_longer() {
        let ((known, clock), asked) = (known(), AtomicUsize::new(0));
        let absent = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(None)
        };
        for (span, times) in [(Duration::ZERO, 1), (FRESH_ABSENCE - SECOND, 1), (SECOND, 2), (FRESH_ABSENCE, 3)] {
            clock.advance(span);
            assert!(known.account("fleet", "dev-1", absent).await.unwrap().is_none());
            assert_eq!(asked.load(Ordering::SeqCst), times, "after {span:?} more");
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
}
