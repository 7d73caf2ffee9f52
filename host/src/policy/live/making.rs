//! Making each image once, and not over and over when it cannot be made.
//!
//! Devices that need the same image at the same time wait for one making of it. Those that need others do not wait for
//! it, so that an interpreter that compiles for seconds holds up nobody else's policy. What is wrong with a component or
//! its settings is still wrong a moment later: for a while whoever asks is told so at once, and a fleet that waits for
//! its operator to mend something costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::{ImageError, Key};
use crate::clock;

/// What is being made, and what could not be made a moment ago.
pub(super) struct Making {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    at_once: Semaphore,
}

type Slot = tokio::sync::Mutex<Option<Failure>>;

/// Why an image could not be made, and when.
#[derive(Clone)]
struct Failure {
    at: Instant,
    error: Arc<ImageError>,
}

/// The right to make one image, for one at a time.
pub(super) struct Turn<'a> {
    failure: OwnedMutexGuard<Option<Failure>>,
    at_once: &'a Semaphore,
}

impl Making {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::default(), at_once: Semaphore::new(AT_ONCE) }
    }

    /// Waits until nobody else makes this image.
    pub(super) async fn turn(&self, key: Key) -> Turn<'_> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= MOST_SLOTS {
                slots.retain(|_, slot| {
                    slot.try_lock().map_or(true, |failure| failure.as_ref().is_some_and(Failure::is_fresh))
                });
            }
            Arc::clone(slots.entry(key).or_default())
        };
        Turn { failure: slot.lock_owned().await, at_once: &self.at_once }
    }
}

impl Turn<'_> {
    /// Why it could not be made, if that is not long ago.
    pub(super) fn failed(&self) -> Option<Arc<ImageError>> {
        self.failure.as_ref().filter(|failure| failure.is_fresh()).map(|failure| Arc::clone(&failure.error))
    }

    /// Waits until few enough other images are being made.
    pub(super) async fn room(&self) -> Option<SemaphorePermit<'_>> {
        // Closed by nobody.
        self.at_once.acquire().await.ok()
    }

    /// Keeps what came of it for those who wait, and for a while.
    pub(super) fn ended<T>(mut self, made: Result<T, ImageError>) -> Result<T, Arc<ImageError>> {
        made.map_err(|error| {
            let lasting = matches!(error, ImageError::Load(_) | ImageError::Configure(_));
            let error = Arc::new(error);
            *self.failure = lasting.then(|| Failure { at: clock::instant(), error: Arc::clone(&error) });
            error
        })
    }
}

impl Failure {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

/// Images that are made at once; how many components are compiled at once is bounded elsewhere.
const AT_ONCE: usize = 4;
/// How long a failure is told again without another try.
const FRESH: Duration = Duration::from_secs(5);
/// Slots that are kept before those that nobody needs are let go.
const MOST_SLOTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Digest;
    use crate::policy::rules::PluginLimits;

    fn key(name: &[u8]) -> Key {
        let plugin = "ours".parse().unwrap();
        Key { plugin, revision: Digest::of(name), settings: Digest::of(b"{}"), limits: PluginLimits::default() }
    }

    #[tokio::test]
    async fn one_that_is_being_made_holds_up_no_other() {
        let making = Making::new();
        let _held = making.turn(key(b"a")).await;
        making.turn(key(b"b")).await;
        let again = tokio::time::timeout(Duration::from_millis(10), making.turn(key(b"a"))).await;
        assert!(again.is_err(), "two made the same image at once");
    }

    #[tokio::test]
    async fn what_is_wrong_with_it_is_remembered_and_what_the_machine_lacked_is_not() {
        let making = Making::new();
        let interrupted = making.turn(key(b"a")).await.ended::<()>(Err(ImageError::Interrupted));
        assert!(interrupted.is_err());
        assert!(making.turn(key(b"a")).await.failed().is_none());
        let wrong = ImageError::Configure(crate::policy::image::ConfigureError::NotJson("no JSON".to_owned()));
        assert!(making.turn(key(b"a")).await.ended::<()>(Err(wrong)).is_err());
        let told = making.turn(key(b"a")).await.failed();
        assert!(told.is_some_and(|error| error.to_string().contains("no JSON")));
        assert!(making.turn(key(b"b")).await.failed().is_none());
    }

    #[tokio::test]
    async fn slots_that_nobody_needs_make_room() {
        let making = Making::new();
        for number in 0..3 * MOST_SLOTS {
            drop(making.turn(key(&number.to_le_bytes())).await);
        }
        assert!(making.slots.lock().unwrap().len() <= MOST_SLOTS);
    }
}
