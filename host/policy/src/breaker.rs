//! The circuit breaker of one revision of a plugin: when a policy is broken, nobody is made to wait for it to break again.
//!
//! A policy that loops takes its whole deadline from a worker, for every device that comes, and workers are shared by all
//! policies. Ending each such call bounds the harm of one; only not making the call bounds the harm of all. So calls are
//! watched, and when a revision is found broken its calls are skipped at once: the resorts that the operator named are
//! asked (`rules`), or the device is told to wait.
//!
//! **Two signals**, because each alone misses what the other catches:
//!
//! | signal | catches | misses |
//! | --- | --- | --- |
//! | the calls of so many devices in a row broke | a revision that is broken through and through, after a handful of calls, however few there are | one that breaks for half of the devices: there is always a good call in between |
//! | too few of the calls in a window of time were good | exactly that | the quiet hours: a share of three calls says nothing, so a least number is demanded |
//!
//! **Devices, not calls, break a policy.** A device whose payload breaks it comes again every few seconds. It counts once;
//! when it breaks the policy again, it is left alone for a while that doubles each time, and the others are asked as ever.
//! Its calls open nothing, and as a probe it decides nothing. A policy that was well a moment ago takes four times as many
//! devices in a row, because those with the same fault are often switched on together, and while others are answered, the
//! back-off does not grow.
//!
//! The window is a ring of buckets, so that what is long past goes out bit by bit and a burst is not forgotten at the
//! stroke of a minute.
//!
//! **Opening and closing.** Open, the breaker lets no call through until its back-off is over. Then one call at a time is
//! let through as a probe; all others are skipped until it ends. A probe that answers closes the breaker. When the probes
//! of as many devices as open a closed breaker break, it opens again for twice as long, up to a limit: with fewer, the
//! devices that came first would decide, and those with a fault come first because they come most often. A probe that is never heard of again (its worker died) makes room for another
//! after a while. The back-off is drawn from its upper half, so that hosts that lost the same policy at the same moment do
//! not try it at the same moment. A revision that opens again soon after it was closed goes on where its back-off was: one
//! that can do a single call and no more must not be tried every second for ever.
//!
//! **Recovery is a cold start.** A closed breaker knows nothing: the window is empty, and the share counts again only when
//! the least number of calls has been made. What broke before the recovery would otherwise open it at the first slip.
//!
//! **What is not a failure.** A policy that says no has answered (`reject`, `defer`, `abstain`). One that says that it could
//! not (a fault) has answered too, quickly and in order, and usually of one device: if that counted, a crate of devices
//! with a missing fact could take the policy from all others. What the host could not do (a full queue, a store that does
//! not answer) says nothing of the policy. A call that began before the breaker opened and ends after it changes nothing.
//!
//! **What it costs.** While all is well, two loads and an addition: calls that answer are counted in one word, with the
//! number of the bucket that they belong to. The lock is taken when a call broke, when the breaker is not closed, and at
//! the first call of each bucket. A few answers that fall into the moment of taking it are not counted.
//!
//! It is kept for one name in one id scope: two tenants that publish the same component with settings of their own do
//! not open each other's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use landfall_domain::clock::{Ambient, Stopwatch};

use self::machine::Machine;
pub use self::machine::{BreakerLimits, Ending, Pass, Reason, Shut, Skip, State};
pub use self::suspects::Held;

mod machine;
mod suspects;
#[cfg(test)]
mod tests;

/// The breaker of one revision.
pub struct Breaker {
    limits: BreakerLimits,
    ambient: Ambient,
    age: Stopwatch,
    /// The number of a bucket, and how many calls have answered in it; or [`NOT_CALM`].
    calm: AtomicU64,
    machine: Mutex<Machine>,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(limits: BreakerLimits, ambient: &Ambient) -> Self {
        let (ambient, age) = (ambient.clone(), Stopwatch::start(&ambient.clock));
        Self { machine: Mutex::new(Machine::new(limits)), limits, ambient, age, calm: AtomicU64::new(0) }
    }

    /// Whether a call may be made for a device now. Whoever makes it tells how it ended.
    ///
    /// # Errors
    ///
    /// It is not to be made: how long that goes on, and why.
    pub fn admit(&self, device: &str) -> Result<Pass, Skip> {
        if bucket_of(self.calm.load(Ordering::Relaxed)) != NOT_CALM {
            return Ok(Pass::ordinary());
        }
        let now = self.age.elapsed();
        self.lock().admit(device, now)
    }

    /// Tells how a call ended; answers why the breaker opened, if it did because of this one.
    pub fn tell(&self, pass: Pass, device: &str, ending: Ending) -> Option<Reason> {
        self.tell_at(pass, device, ending, self.age.elapsed())
    }

    /// What it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().state(self.age.elapsed())
    }

    fn tell_at(&self, pass: Pass, device: &str, ending: Ending, now: Duration) -> Option<Reason> {
        let bucket = u64::from(self.limits.bucket_at(now));
        if ending == Ending::Answered && bucket_of(self.calm.load(Ordering::Relaxed)) == bucket {
            self.calm.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let mut machine = self.lock();
        let counted = self.calm.swap(NOT_CALM << 32, Ordering::Relaxed);
        if let Ok(bucket) = u32::try_from(bucket_of(counted))
            && bucket_of(counted) != NOT_CALM
        {
            machine.add_answers(bucket, u32::try_from(counted & u64::from(u32::MAX)).unwrap_or(u32::MAX), now);
        }
        let opened = machine.tell(pass, device, ending, now, || self.chance());
        if machine.is_calm() {
            self.calm.store(bucket << 32, Ordering::Relaxed);
        }
        opened
    }

    fn chance(&self) -> u64 {
        u64::from_le_bytes(self.ambient.random())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Machine> {
        // Its numbers are whole at every moment that another could see them.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bucket_of(calm: u64) -> u64 {
    calm >> 32
}

/// In the place of a bucket's number: the lock is to be taken.
const NOT_CALM: u64 = u32::MAX as u64;
