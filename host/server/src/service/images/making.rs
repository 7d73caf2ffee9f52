//! Makes each image only once, and does not keep trying when an image cannot be made.
//!
//! Devices that need the same image at the same time wait for one making of it. Devices that need another image do not
//! wait for it, so an interpreter that compiles for seconds holds up only its own policy: one image of a plugin of an
//! id scope is made at a time, and a scope leaves room for the others. An error in a component or its settings does not
//! go away by itself. So for a while everyone who asks gets the same error at once, and a fleet that waits for a repair
//! costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_domain::clock::{Clock, Stopwatch};
use landfall_domain::names::{IdScope, PluginName};
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::{ImageError, Key};
use crate::shares::{Share, Shares};

/// The images that are being made, and those that could not be made a short time ago.
pub(super) struct Making {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Lets one image of a plugin of an id scope be made at a time.
    plugins: Shares<(IdScope, PluginName)>,
    scopes: Shares<IdScope>,
    at_once: Semaphore,
    clock: Arc<dyn Clock>,
}

type Slot = tokio::sync::Mutex<Option<Failure>>;

/// Why an image could not be made, and when.
#[derive(Clone)]
struct Failure {
    age: Stopwatch,
    error: Arc<ImageError>,
}

/// The right to make one image. Only one caller has it at a time.
pub(super) struct Turn<'a> {
    failure: OwnedMutexGuard<Option<Failure>>,
    making: &'a Making,
    plugin: (IdScope, PluginName),
}

/// The room to make an image. Its permits are given back in the reverse order.
pub(super) struct Room<'a> {
    _all: Option<SemaphorePermit<'a>>,
    _scope: Option<Share>,
    _plugin: Option<Share>,
}

impl Making {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            slots: Mutex::default(),
            plugins: Shares::new(1),
            scopes: Shares::new(AT_ONCE - 1),
            at_once: Semaphore::new(AT_ONCE),
            clock,
        }
    }

    /// Waits until nobody else makes this image. `scope` is the id scope of the caller.
    pub(super) async fn turn(&self, key: Key, scope: &IdScope) -> Turn<'_> {
        let plugin = (scope.clone(), key.plugin.clone());
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= MOST_SLOTS {
                slots.retain(|_, slot| {
                    slot.try_lock().map_or(true, |failure| failure.as_ref().is_some_and(Failure::is_fresh))
                });
            }
            Arc::clone(slots.entry(key).or_default())
        };
        Turn { failure: slot.lock_owned().await, making: self, plugin }
    }
}

impl Turn<'_> {
    /// Why the image could not be made, if that is not long ago.
    pub(super) fn failed(&self) -> Option<Arc<ImageError>> {
        self.failure.as_ref().filter(|failure| failure.is_fresh()).map(|failure| Arc::clone(&failure.error))
    }

    /// Waits until few enough other images are being made: of the plugin, of the scope, and of all. A caller that waits
    /// for its own plugin or scope takes no room from others meanwhile.
    pub(super) async fn room(&self) -> Room<'_> {
        let plugin = self.making.plugins.take(self.plugin.clone()).await;
        let scope = self.making.scopes.take(self.plugin.0.clone()).await;
        // Nobody closes this semaphore.
        let all = self.making.at_once.acquire().await.ok();
        Room { _all: all, _scope: scope, _plugin: plugin }
    }

    /// Keeps the result for those who wait, and a failure for a while.
    pub(super) fn ended<T>(mut self, made: Result<T, ImageError>) -> Result<T, Arc<ImageError>> {
        made.map_err(|error| {
            let lasting = matches!(error, ImageError::Load(_) | ImageError::Configure(_));
            let error = Arc::new(error);
            let age = Stopwatch::start(&self.making.clock);
            *self.failure = lasting.then(|| Failure { age, error: Arc::clone(&error) });
            error
        })
    }
}

impl Failure {
    fn is_fresh(&self) -> bool {
        self.age.elapsed() < FRESH
    }
}

/// The number of images that are made at once. The number of components that are compiled at once is bounded elsewhere.
const AT_ONCE: usize = 4;
/// How long a failure is repeated without another try.
const FRESH: Duration = Duration::from_secs(5);
/// The number of slots that are kept. Beyond it, those that nobody needs are dropped.
const MOST_SLOTS: usize = 1024;

#[cfg(test)]
mod tests {
    use landfall_domain::clock::{ManualClock, SystemClock};
    use landfall_domain::names::Digest;
    use landfall_domain::plugin::rules::PluginLimits;

    use super::*;

    fn key(name: &[u8]) -> Key {
        let plugin = "ours".parse().unwrap();
        Key { plugin, revision: Digest::of(name), settings: Digest::of(b"{}"), limits: PluginLimits::default() }
    }

    fn scope() -> IdScope {
        "s".parse().unwrap()
    }

    #[tokio::test]
    async fn makings_that_wait_for_their_own_plugin_or_scope_take_no_room_from_others() {
        use std::future::Future;
        use std::pin::pin;
        use std::task::{Context, Poll, Waker};

        let making = Making::new(Arc::new(SystemClock));
        let mut wake = Context::from_waker(Waker::noop());
        let of = |plugin: &str, settings: &str| Key {
            plugin: plugin.parse().unwrap(),
            settings: Digest::of(settings.as_bytes()),
            ..key(b"a")
        };
        let mut turns = Vec::new();
        for settings in ["1", "2", "3", "4", "5"] {
            turns.push(making.turn(of("slow", settings), &scope()).await);
        }
        let mut rooms: Vec<_> = turns.iter().map(|turn| Box::pin(turn.room())).collect();
        let first: Vec<Poll<Room<'_>>> = rooms.iter_mut().map(|room| room.as_mut().poll(&mut wake)).collect();
        assert_eq!(first.iter().filter(|room| room.is_ready()).count(), 1, "one of a plugin at a time");

        // Another plugin of the scope goes on. All that one scope may make leave room for one image of another scope.
        let others = [making.turn(of("b", ""), &scope()).await, making.turn(of("c", ""), &scope()).await];
        let mut held = Vec::new();
        for turn in &others {
            match pin!(turn.room()).poll(&mut wake) {
                Poll::Ready(room) => held.push(room),
                Poll::Pending => panic!("another plugin waits for the slow one"),
            }
        }
        let last = making.turn(of("d", ""), &scope()).await;
        assert!(pin!(last.room()).poll(&mut wake).is_pending(), "the scope has its share");
        let other = making.turn(of("slow", "6"), &"t".parse().unwrap()).await;
        assert!(pin!(other.room()).poll(&mut wake).is_ready(), "another scope waits");
    }

    #[tokio::test]
    async fn one_that_is_being_made_holds_up_no_other() {
        let making = Making::new(Arc::new(SystemClock));
        let _held = making.turn(key(b"a"), &scope()).await;
        making.turn(key(b"b"), &scope()).await;
        let again = tokio::time::timeout(Duration::from_millis(10), making.turn(key(b"a"), &scope())).await;
        assert!(again.is_err(), "two made the same image at once");
    }

    #[tokio::test]
    async fn what_is_wrong_with_it_is_remembered_and_what_the_machine_lacked_is_not() {
        let clock = Arc::new(ManualClock::stopped_now());
        let making = Making::new(Arc::clone(&clock) as _);
        let interrupted = making.turn(key(b"a"), &scope()).await.ended::<()>(Err(ImageError::Interrupted));
        assert!(interrupted.is_err());
        assert!(making.turn(key(b"a"), &scope()).await.failed().is_none());
        let wrong = ImageError::Configure(landfall_policy::image::ConfigureError::NotJson("no JSON".to_owned()));
        assert!(making.turn(key(b"a"), &scope()).await.ended::<()>(Err(wrong)).is_err());
        let told = making.turn(key(b"a"), &scope()).await.failed();
        assert!(told.is_some_and(|error| error.to_string().contains("no JSON")));
        assert!(making.turn(key(b"b"), &scope()).await.failed().is_none());
        clock.advance(FRESH - Duration::from_millis(1));
        assert!(making.turn(key(b"a"), &scope()).await.failed().is_some());
        clock.advance(Duration::from_millis(1));
        assert!(making.turn(key(b"a"), &scope()).await.failed().is_none(), "it is tried again after a while");
    }

    #[tokio::test]
    async fn slots_that_nobody_needs_make_room() {
        let making = Making::new(Arc::new(SystemClock));
        for number in 0..3 * MOST_SLOTS {
            drop(making.turn(key(&number.to_le_bytes()), &scope()).await);
        }
        assert!(making.slots.lock().unwrap().len() <= MOST_SLOTS);
    }
}
