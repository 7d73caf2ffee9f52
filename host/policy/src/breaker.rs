//! The circuit breaker of one revision of a plugin: devices do not wait for a broken policy to break again.
//!
//! A policy that loops occupies a worker until its deadline, for every device, and all policies share the workers.
//! Ending such a call limits the harm of one call; only skipping the calls limits the harm of all. So calls are
//! watched. When a revision is found broken, its calls are skipped at once: the resorts that the operator named are
//! asked (`rules`), or the device is told to wait.
//!
//! **Two signals** are used, because each alone misses what the other detects:
//!
//! | signal | detects | misses |
//! | --- | --- | --- |
//! | the calls of N devices in a row broke | a revision that breaks always, after a few calls, even if calls are rare | a revision that breaks for half of the devices: there is always a good call in between |
//! | too few calls in a time window were good | a revision that breaks for a part of the devices | quiet hours: a share of three calls means nothing, so a least number of calls is demanded |
//!
//! **Devices are counted, not calls.** A device whose payload breaks the policy comes again every few seconds. It
//! counts once. When it breaks the policy again, the policy is not called for this device for a time that doubles each
//! time; other devices are not affected. The calls of such a device do not open the breaker, and such a call does not
//! count as a probe's result. A policy that answered a moment ago needs four times as many devices in a row, because
//! devices with the same fault are often switched on together. While other devices are answered, the back-off does not
//! grow.
//!
//! The window is a ring of buckets, so that old calls drop out gradually and a burst is not forgotten at once.
//!
//! **Opening and closing.** While the breaker is open, it lets no call through until its back-off is over. Then it
//! lets one call at a time through, as a probe; all others are skipped until the probe ends. A probe that answers
//! closes the breaker. When the probes of as many devices as open a closed breaker have broken, it opens again for
//! twice as long, up to a limit. With fewer devices, the first ones would decide, and devices with a fault come first
//! because they come most often. If a probe never reports (its worker died), another one is allowed after some time.
//! The back-off is a random value in the upper half of its range, so that hosts that lost the same policy at the same
//! moment do not all try it at the same moment. A revision that opens again soon after it was closed continues with
//! its last back-off: otherwise a revision that succeeds only once at a time would be tried every second for ever.
//!
//! **Recovery starts from zero.** A closed breaker has an empty window, and the share counts again only after the
//! least number of calls. Otherwise failures from before the recovery would open it at the first new failure.
//!
//! **What is not a failure.** A policy that says no has answered (`reject`, `defer`, `abstain`). A policy that says
//! that it could not do its work (a fault) has answered too, quickly, and usually because of one device: if faults
//! counted, a batch of devices with a missing fact could disable the policy for all others. What the host could not do
//! (a full queue, a store that does not answer) says nothing about the policy. A call that began before the breaker
//! opened and ends after that changes nothing.
//!
//! **Cost.** While everything works, a call costs two loads and an addition: answered calls are counted in one word,
//! together with the number of their bucket. The lock is taken when a call broke, when the breaker is not closed, and
//! at the first call in each bucket. A few answers that arrive while it is being taken are not counted.
//!
//! There is one breaker for each name in an id scope: if two tenants publish the same component with different
//! settings, the breaker of one does not open that of the other.

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

/// The circuit breaker of one revision.
pub struct Breaker {
    limits: BreakerLimits,
    ambient: Ambient,
    age: Stopwatch,
    /// The number of a bucket, and how many calls have answered in it; or [`NOT_CALM`].
    calm: AtomicU64,
    machine: Mutex<Machine>,
}

impl Breaker {
    /// A new breaker, closed.
    #[must_use]
    pub fn new(limits: BreakerLimits, ambient: &Ambient) -> Self {
        let (ambient, age) = (ambient.clone(), Stopwatch::start(&ambient.clock));
        Self { machine: Mutex::new(Machine::new(limits)), limits, ambient, age, calm: AtomicU64::new(0) }
    }

    /// Whether a call may be made for a device now. If so, the caller must report with [`Breaker::tell`] how the call
    /// ended.
    ///
    /// # Errors
    ///
    /// The call must be skipped: for how long, and why.
    pub fn admit(&self, device: &str) -> Result<Pass, Skip> {
        if bucket_of(self.calm.load(Ordering::Relaxed)) != NOT_CALM {
            return Ok(Pass::ordinary());
        }
        let now = self.age.elapsed();
        self.lock().admit(device, now)
    }

    /// Reports how a call ended. Returns the reason if this call opened the breaker.
    pub fn tell(&self, pass: Pass, device: &str, ending: Ending) -> Option<Reason> {
        self.tell_at(pass, device, ending, self.age.elapsed())
    }

    /// The present state.
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
        // The state is consistent whenever another thread could see it.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bucket_of(calm: u64) -> u64 {
    calm >> 32
}

/// Instead of a bucket's number: the lock must be taken.
const NOT_CALM: u64 = u32::MAX as u64;
