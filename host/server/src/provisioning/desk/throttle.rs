//! How often a device may ask. This is checked before anything is read, verified or looked up.
//!
//! There are three measures: the address, the id scope, and the registration id together with the network that asks for
//! it. The id alone is not a measure: a stranger who knows only the id could use up the device's share. From another
//! network it cannot. Each measure is a leaky bucket that stores one instant: when it will be empty ("GCRA", ATM Forum
//! TM 4.0, 4.4.2). A request that would overfill the bucket is told when to come again, and is not counted.
//!
//! A random part of up to half is added to that time. Otherwise a fleet that is powered up at once would come back at
//! once as well.
//!
//! The memory is bounded by a number of buckets for each measure. If there are too many, the empty ones are dropped,
//! and if that is not enough, all of them. So who sends very many different names only gives everybody a fresh start.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Ambient;
use landfall_domain::names::{IdScope, RegistrationId};

use crate::config::ThrottleLimits;
use crate::network;

pub(in crate::provisioning) struct Throttle {
    addresses: Buckets<IpAddr>,
    scopes: Buckets<IdScope>,
    devices: Buckets<(IdScope, String, IpAddr)>,
    passwords: Buckets<(IdScope, String, IpAddr)>,
    passwords_of_address: Buckets<IpAddr>,
    passwords_of_account: Buckets<(IdScope, String)>,
    strangers: Buckets<()>,
    strangers_of_address: Buckets<IpAddr>,
    ambient: Ambient,
}

/// A request came too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("asked too often ({measure}); come again in {retry_after} s")]
pub struct TooOften {
    /// The measure that was full: a word for metrics.
    pub measure: &'static str,
    /// After how many seconds to come again.
    pub retry_after: u64,
}

impl Throttle {
    /// A throttle whose buckets are all empty.
    pub(crate) fn new(limits: &ThrottleLimits, ambient: Ambient) -> Self {
        let second = Duration::from_secs(1);
        Self {
            addresses: Buckets::new(limits.address_per_second, second, limits.address_burst),
            scopes: Buckets::new(limits.scope_per_second, second, limits.scope_burst),
            devices: Buckets::new(limits.device_per_minute, second * 60, limits.device_burst),
            passwords: Buckets::new(limits.password_per_minute, second * 60, limits.password_burst),
            passwords_of_address: a_minutes(limits.password_address_per_minute),
            passwords_of_account: a_minutes(limits.password_account_per_minute),
            strangers: of_strangers(limits.strangers_kept_per_minute),
            strangers_of_address: of_strangers(limits.strangers_kept_per_address_per_minute),
            ambient,
        }
    }

    /// Whether the ledger keeps one more refusal of a stranger. What exceeds the share of one address takes nothing of
    /// the share of all.
    pub(in crate::provisioning) fn keeps_a_strangers(&self, source: IpAddr) -> bool {
        let now = self.ambient.instant();
        self.strangers_of_address.pour(now, || network::of(source)).is_ok() && self.strangers.pour(now, || ()).is_ok()
    }

    /// Counts an attempt at an account's password, unless there were too many. One network gets few attempts, so that a
    /// stranger in another network does not lock the device out. All networks together get more, so that nobody can
    /// guess from many places.
    pub(in crate::provisioning) fn try_password(
        &self,
        source: IpAddr,
        scope: &IdScope,
        id: &RegistrationId,
    ) -> Result<(), TooOften> {
        let (now, network) = (self.ambient.instant(), network::of(source));
        let account = || (scope.clone(), id.key().to_owned());
        let tried = (self.passwords.pour(now, || (scope.clone(), id.key().to_owned(), network)))
            .and_then(|()| self.passwords_of_address.pour(now, || network))
            .and_then(|()| self.passwords_of_account.pour(now, account));
        tried.map_err(|wait| TooOften { measure: "password", retry_after: self.jittered(wait) })
    }

    /// Counts a request, unless one of the measures is full.
    pub(in crate::provisioning) fn admit(
        &self,
        source: IpAddr,
        scope: &IdScope,
        id: &RegistrationId,
    ) -> Result<(), TooOften> {
        let now = self.ambient.instant();
        let network = network::of(source);
        let device = || (scope.clone(), id.key().to_owned(), network);
        let full = |measure| move |wait| (measure, wait);
        let judged = (self.addresses.pour(now, || network).map_err(full("address")))
            .and_then(|()| self.devices.pour(now, device).map_err(full("registration-id")))
            .and_then(|()| self.scopes.pour(now, || scope.clone()).map_err(full("id-scope")));
        judged.map_err(|(measure, wait)| TooOften { measure, retry_after: self.jittered(wait) })
    }

    fn jittered(&self, wait: Duration) -> u64 {
        let [chance] = self.ambient.random::<1>();
        let more = wait.mul_f64(f64::from(chance) / 510.0);
        // At least one full second, and one more by chance: most waits are shorter than a second, so their random part
        // would be lost.
        (wait + more).as_secs() + 1 + u64::from(chance & 1)
    }
}

/// Buckets that hold the requests of one minute.
fn a_minutes<K: Eq + Hash>(requests: u32) -> Buckets<K> {
    Buckets::new(requests, Duration::from_secs(60), requests)
}

/// Buckets that hold the strangers' refusals of [`STRANGERS_BURST_MINUTES`] minutes.
fn of_strangers<K: Eq + Hash>(kept: u32) -> Buckets<K> {
    Buckets::new(kept, Duration::from_secs(60), kept.saturating_mul(STRANGERS_BURST_MINUTES))
}

/// The buckets of one measure.
struct Buckets<K> {
    /// When each bucket is empty again. A bucket that is not in the map is empty.
    empty_at: Mutex<HashMap<K, Instant>>,
    /// How long it takes to drain one request. `None` means that nothing is limited.
    drain: Option<Duration>,
    /// How far ahead of now a bucket's instant may lie.
    depth: Duration,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(requests: u32, in_time: Duration, burst: u32) -> Self {
        let drain = in_time.checked_div(requests);
        let depth = drain.unwrap_or_default().saturating_mul(burst.max(1));
        Self { empty_at: Mutex::default(), drain, depth }
    }

    /// Counts one request, or says after which time there is room for it.
    fn pour(&self, now: Instant, key: impl FnOnce() -> K) -> Result<(), Duration> {
        let Some(drain) = self.drain else { return Ok(()) };
        let mut buckets = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_BUCKETS {
            buckets.retain(|_, empty_at| *empty_at > now);
            if buckets.len() >= MOST_BUCKETS {
                buckets.clear();
            }
        }
        let empty_at = buckets.entry(key()).or_insert(now);
        let filled = (*empty_at).max(now) + drain;
        let too_far = filled.saturating_duration_since(now).saturating_sub(self.depth);
        if !too_far.is_zero() {
            return Err(too_far);
        }
        *empty_at = filled;
        Ok(())
    }
}

/// How many minutes' worth of strangers' refusals may be kept at once: a new factory that is tried out is a stranger
/// too.
const STRANGERS_BURST_MINUTES: u32 = 10;
/// The most buckets of one measure, about 100 bytes each.
const MOST_BUCKETS: usize = 100_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let (buckets, now) = (Buckets::new(2, SECOND, 3), Ambient::system().instant());
        for _ in 0..3 {
            assert_eq!(buckets.pour(now, || "a"), Ok(()));
        }
        assert_eq!(buckets.pour(now, || "a"), Err(SECOND / 2));
        assert_eq!(buckets.pour(now, || "b"), Ok(()), "another's bucket is its own");
        assert_eq!(buckets.pour(now + SECOND / 2, || "a"), Ok(()));
        assert_eq!(buckets.pour(now + SECOND / 2, || "a"), Err(SECOND / 2));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (buckets, now) = (Buckets::new(0, SECOND, 0), Ambient::system().instant());
        assert!((0..10_000).all(|_| buckets.pour(now, || "a").is_ok()));
    }

    #[test]
    fn a_stranger_elsewhere_does_not_use_up_a_devices_share() {
        let limits =
            ThrottleLimits { address_per_second: 0, device_per_minute: 1, device_burst: 1, ..Default::default() };
        let throttle = Throttle::new(&limits, Ambient::system());
        let (scope, id) = ("0ne1".parse().unwrap(), "pump-1".parse().unwrap());
        let ask = |source: &str| throttle.admit(source.parse().unwrap(), &scope, &id).map_err(|full| full.measure);
        assert_eq!(ask("192.0.2.1"), Ok(()));
        assert_eq!(ask("192.0.2.1"), Err("registration-id"));
        assert_eq!(ask("::ffff:192.0.2.1"), Err("registration-id"), "the same address in another writing");
        assert_eq!(ask("192.0.2.2"), Ok(()));
        assert_eq!(ask("2001:db8::1"), Ok(()));
        assert_eq!(ask("2001:db8::ffff:2"), Err("registration-id"), "the same /64");
    }

    #[test]
    fn passwords_are_tried_seldom_from_one_network_and_not_without_end_from_all() {
        let limits = ThrottleLimits {
            password_per_minute: 1,
            password_burst: 2,
            password_address_per_minute: 4,
            password_account_per_minute: 5,
            ..Default::default()
        };
        let throttle = Throttle::new(&limits, Ambient::system());
        let scope = "0ne1".parse().unwrap();
        let tries = |source: &str, id: &str| {
            let (source, id) = (source.parse().unwrap(), id.parse().unwrap());
            (0..9).take_while(|_| throttle.try_password(source, &scope, &id).is_ok()).count()
        };
        assert_eq!(tries("192.0.2.1", "meter-1"), 2);
        assert_eq!((tries("192.0.2.1", "meter-2"), tries("192.0.2.1", "meter-3")), (2, 0), "one address");
        assert_eq!(tries("192.0.2.2", "meter-1"), 2, "a stranger elsewhere does not keep the device out");
        assert_eq!((tries("192.0.2.3", "meter-1"), tries("192.0.2.4", "meter-1")), (1, 0), "one account");
    }

    #[test]
    fn the_buckets_are_bounded() {
        let (buckets, now) = (Buckets::new(1, SECOND, 1), Ambient::system().instant());
        for name in 0..2 * MOST_BUCKETS {
            assert_eq!(buckets.pour(now, || name), Ok(()));
        }
        assert!(buckets.empty_at.lock().unwrap().len() <= MOST_BUCKETS);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_get_through(
            rate in 1_u32..50,
            burst in 1_u32..20,
            pauses in prop::collection::vec(0_u64..2_000, 1..200),
        ) {
            let (buckets, start) = (Buckets::new(rate, SECOND, burst), Ambient::system().instant());
            let mut now = start;
            let mut through = 0_u32;
            for pause in pauses {
                now += Duration::from_millis(pause);
                match buckets.pour(now, || ()) {
                    Ok(()) => through += 1,
                    // A request that comes again after the time that it was told is admitted.
                    Err(wait) => {
                        now += wait;
                        prop_assert_eq!(buckets.pour(now, || ()), Ok(()));
                        through += 1;
                    }
                }
            }
            let allowed = f64::from(burst) + (now - start).as_secs_f64() * f64::from(rate);
            prop_assert!(f64::from(through) <= allowed + 1e-3, "{} of {}", through, allowed);
        }
    }
}
